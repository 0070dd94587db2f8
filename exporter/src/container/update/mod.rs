//! What brings a machine with two slots for roots up to date: a folder that any web server hands out as it is.
//!
//! ```text
//! ID_VERSION.root.zst      the root of the first slot, a frame of zstd for each block
//! ID_VERSION.root.gz       the same in gzip, where the machine has systemd-sysupdate
//! ID_VERSION.root.index    what each block has, and how long its frame is
//! ID_VERSION.boot.tar.zst  kernels and menu, where GRUB reads no root; the image of a root with verity
//! manifest.json            what the update is, and which file has which part of it
//! ID_VERSION.root.placement  where the files of an ext4 lie, for the build of the next version; machines need it not
//! SHA256SUMS               of all the others, as sha256sum writes it
//! SHA256SUMS.minisig       that list, signed, where there is a key
//! SHA256SUMS.gpg           the same for systemd-sysupdate
//! ```
//!
//! `SHA256SUMS` and the names with a version are what sysupdate.d(5) looks for.

mod archive;
mod blocks;
mod folder;
mod gzip;
mod index;
mod manifest;
mod read;
mod sign;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use archive::Archive;
pub use blocks::Blocks;
pub(super) use folder::Writer as FolderWriter;
pub(super) use index::Index;
pub use index::{BLOCK, Entry};
pub(super) use manifest::{Listed, sums};
pub use read::Described;
pub use sign::Signer;
pub(crate) use sign::require_one_each;

use super::members::FileName;
use super::rauc::Bundle;
use super::{Format, Members, image};
use crate::architecture::Architecture;
use crate::engine::CHUNK;
use crate::error::{Error, Kind, Result};

/// What an image says that it has in its layer.
pub const CONTENT: &str = "update";

const ID_LABEL: &str = "io.vmimage.update.id";
const COMPATIBLE_LABEL: &str = "io.vmimage.update.compatible";

const ROOT: &str = ".root.zst";
/// Of which the transfer files of the machine name it.
pub const GZIP: &str = ".root.gz";
const INDEX: &str = ".root.index";
const KERNELS: &str = ".boot.tar.zst";
const PLACEMENT: &str = ".root.placement";
const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";

/// The files of an update.
pub(super) const FILES: &[FileName] = &[
    FileName::Ends(ROOT),
    FileName::MayEnd(GZIP),
    FileName::Ends(INDEX),
    FileName::MayEnd(KERNELS),
    FileName::MayEnd(PLACEMENT),
    FileName::Is(MANIFEST),
    FileName::Is(SUMS),
    FileName::MayBe(sign::MINISIG),
    FileName::MayBe(sign::GPG),
];

/// The update that comes of a build, beside its disk.
#[derive(Clone, Debug)]
pub struct Update {
    /// What the system is, the same in all its versions; part of file names.
    pub id: String,
    /// Which build of it; part of file names.
    pub version: String,
    /// The machines that it is for.
    pub compatible: String,
    /// Their instruction set.
    pub architecture: Architecture,
    /// The boot loader that it is started by: `grub`, `systemd-boot`.
    pub loader: &'static str,
    /// Where on the disk the file system of the root lies, in bytes: it begins at a multiple of [`CHUNK`].
    pub root: Range<u64>,
    /// What starts the root, if that is beside it.
    pub kernels: Option<Archive>,
    /// Whether systemd-sysupdate takes it, too, which unpacks no zstd.
    pub has_gzip: bool,
    /// When it was built, in seconds since the epoch.
    pub time: u32,
    /// Who signs it, each by a key of another kind.
    pub signers: Vec<Signer>,
    /// Where the files of the root lie, if that is an ext4.
    pub placement: Option<Arc<[u8]>>,
    /// What makes a bundle of RAUC of it, if that is wanted.
    pub bundle: Option<Bundle>,
}

impl Update {
    /// The name of a file.
    fn file(&self, end: &str) -> String {
        format!("{}_{}{end}", self.id, self.version)
    }

    /// That its names are those of files, and the root is of a disk of `size` bytes.
    pub(super) fn check(&self, size: u64) -> Result<()> {
        let named = Members::new(Format::Update).add(&self.file(ROOT));
        named.map_err(|why| Error::new(Kind::Input, "update", why))?;
        require_one_each(&self.signers)?;
        let Range { start, end } = self.root;
        if start < end && end <= size && start.is_multiple_of(CHUNK as u64) {
            return Ok(());
        }
        let message = format!("bytes {start} to {end} of a disk of {size} are no root of an update");
        Err(Error::new(Kind::Input, "update", message))
    }
}

/// The labels and annotations of an image with an update of this id and version for these machines.
pub fn labels(id: &str, version: &str, compatible: &str) -> [(String, String); 3] {
    [(image::VERSION, version), (ID_LABEL, id), (COMPATIBLE_LABEL, compatible)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// Whether there is the folder of an update.
pub fn is_update(path: &Path) -> bool {
    [MANIFEST, SUMS].iter().all(|name| path.join(name).is_file())
}

/// Why nothing is read of it as of a disk.
pub(super) fn no_disk(path: &Path) -> Error {
    Error::new(Kind::NotFound, path.display().to_string(), "is an update, and no disk is in it")
        .with_hint("name the disk that was built with it")
}
