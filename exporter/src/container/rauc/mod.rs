//! A bundle of RAUC (<https://rauc.readthedocs.io/en/latest/reference.html#sec-ref-formats>), of the format `verity`: the root
//! of the first slot for `rauc install`.
//!
//! ```text
//! ┌──────────────────────────────────────────────────────────┬───────────┬──────────────────┬────────────┐
//! │ squashfs: manifest.raucm, rootfs.ext4, .block-hash-index │ hash tree │ CMS of the whole │ its length │
//! │                                                          │           │ manifest, DER    │ 8 bytes    │
//! └──────────────────────────────────────────────────────────┴───────────┴──────────────────┴────────────┘
//! ```
//!
//! The signed manifest has the root digest and the salt of the tree, which has the rest. All of it is written in the pass
//! over the disk; RAUC 1.8 and later read it.

mod appended;
mod manifest;
mod purpose;
mod sign;
mod writer;

use std::path::Path;

use crate::error::{Error, Kind};
use crate::fs::squashfs;
use crate::pki::Signer;
use crate::read_at::ReadAt;
pub(crate) use manifest::escaped;
pub use purpose::Purpose;
pub(super) use writer::Writer;

/// RAUC reads no longer signature (`MAX_BUNDLE_SIGNATURE_SIZE`).
const MAX_SIGNATURE: u64 = 64 << 10;
/// Bytes of its length.
const LENGTH: u64 = 8;
/// What DER begins with.
const SEQUENCE: u8 = 0x30;

/// What makes a bundle of an update.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Who signs it.
    pub signer: Signer,
    /// The salt of its hash tree.
    pub salt: [u8; 32],
    /// The time of the files in it and of the signature, in seconds since 1970.
    pub time: i64,
}

/// Whether a file has the parts of a bundle. Nothing in it is believed.
pub(super) fn is_bundle<F: ReadAt>(file: &F) -> bool {
    let starts_with = |at: u64, expected: &[u8]| {
        let mut found = vec![0; expected.len()];
        file.read_at(at, &mut found).is_ok_and(|()| found == expected)
    };
    let signature = signature_at(file).filter(|at| at.is_multiple_of(4096));
    signature.is_some_and(|at| starts_with(at, &[SEQUENCE]) && starts_with(0, squashfs::SIGNATURE))
}

/// Where the signature begins, if the file ends with its length.
fn signature_at<F: ReadAt>(file: &F) -> Option<u64> {
    let end = file.size().checked_sub(LENGTH)?;
    let mut length = [0; LENGTH as usize];
    file.read_at(end, &mut length).ok()?;
    let length = Some(u64::from_be_bytes(length)).filter(|length| *length <= MAX_SIGNATURE)?;
    end.checked_sub(length)
}

/// Why nothing is read of it as of a disk.
pub(super) fn no_disk(path: &Path) -> Error {
    Error::new(Kind::NotFound, path.display().to_string(), "is a bundle of RAUC, and no disk is in it")
        .with_hint("name the disk that was built with it; rauc info shows the bundle")
}
