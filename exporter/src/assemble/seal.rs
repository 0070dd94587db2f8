//! A root whose blocks are checked when they are read: its hashes, which are made when it has its place and nothing is
//! written yet, and all that names the hash of them.

use super::boot_loader::WithRootHash;
use super::draft::Draft;
use super::grub_key::GrubKey;
use super::lay_out::Open;
use super::resolve::Named;
use crate::disk::{ALIGNMENT, Unplaced};
use crate::engine::Run;
use crate::error::{Error, Kind, Result};
use crate::fs::verity::{self, RootHash, Sealed};
use crate::pki::Signer;
use crate::seed::{Seed, Uuid};
use crate::spec::Spec;
use crate::spec::layout::Content;

/// What is asked of it.
pub(super) struct Seal {
    salt: [u8; 32],
    uuid: Uuid,
    esp: WithRootHash,
    /// Who signs the root hash by itself, for those who look for that beside the hashes.
    signer: Option<Signer>,
}

impl Seal {
    /// With what UEFI reads, which names the root hash, and who signs that, if somebody does.
    pub(super) fn new(seed: &Seed, esp: WithRootHash, signer: Option<Signer>) -> Self {
        Self { salt: seed.derive("root verity salt"), uuid: seed.uuid("root verity"), esp, signer }
    }

    /// Hash the root, which has its content, and let all have what follows: the hashes and their signature their
    /// partitions, root and hashes the UUIDs that they are found by, and the ESP the root hash. It stays as large as it was counted.
    pub(super) fn apply(&self, open: &mut [Open<'_>], run: &Run<'_>) -> Result<RootHash> {
        let root = open.iter().filter(|each| each.named.slot.content == Content::Root);
        let root = root.filter_map(|each| each.content.as_ref()).next();
        let root =
            root.ok_or_else(|| Error::new(Kind::Input, "verity", "there is no root that could be checked"))?;
        let Sealed { root_hash, hashes } = verity::seal(root, &self.salt, self.uuid, run)?;
        let [of_root, of_hashes] = root_hash.partitions();
        let mut hashes = Some(hashes);
        for Open { named, needed, placed, draft, content } in open {
            match (&named.slot.content, draft) {
                (Content::Root, _) => placed.id = of_root.into(),
                (Content::Hashes, _) => {
                    placed.id = of_hashes.into();
                    *content = hashes.take();
                    *needed = content.as_ref().map_or(0, |hashes| hashes.size);
                }
                (Content::Signature, _) => {
                    let signer = self.signer.as_ref();
                    *content = signer.map(|signer| verity::signature(root_hash, signer)).transpose()?;
                    *needed = content.as_ref().map_or(0, |signature| signature.size);
                }
                (Content::Esp, Draft::Fat(tree, _)) => *tree = (self.esp)(root_hash)?,
                _ => {}
            }
        }
        Ok(root_hash)
    }
}

/// The same with room for the hashes of what is in front of them, and for their signature. That has no share of the disk, and so no more than it
/// needs.
pub(super) fn with_hashes(partitions: &[Named], mut requests: Vec<Unplaced>) -> Vec<Unplaced> {
    let mut before = 1;
    for (named, request) in partitions.iter().zip(&mut requests) {
        match named.slot.content {
            Content::Hashes => {
                let data: u64 = before;
                request.least = verity::partition_len(data.div_ceil(ALIGNMENT).saturating_mul(ALIGNMENT));
            }
            Content::Signature => request.least = verity::SIGNATURE_MAX,
            _ => {}
        }
        before = request.least.max(1);
    }
    requests
}

/// Who answers for the root hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealer {
    Nobody,
    /// The key that signs for the firmware, by the image of the kernel.
    Firmware,
    /// The key that GRUB knows; and whether the firmware knows GRUB.
    Grub {
        is_signed: bool,
        takes_bios: bool,
    },
}

impl Sealer {
    pub(super) fn of(spec: &Spec, key: Option<&GrubKey>) -> Self {
        match key {
            Some(key) => Self::Grub { is_signed: key.is_signed(), takes_bios: spec.firmware.takes_bios() },
            None if spec.starts_ukis() && spec.secure_boot.key.is_some() => Self::Firmware,
            None => Self::Nobody,
        }
    }

    fn note(self) -> &'static str {
        match self {
            Self::Nobody => {
                "integrity, not sealed: nothing signs the root hash, so whoever writes to the ESP can start another root"
            }
            Self::Firmware => {
                "sealed: the root hash is signed with the kernel, for a firmware that knows the key and starts nothing else"
            }
            Self::Grub { is_signed: true, takes_bios: false } => {
                "sealed by GRUB's key: the root hash is signed, and GRUB too, for a firmware that knows its key and starts nothing else"
            }
            Self::Grub { is_signed: true, takes_bios: true } => {
                "sealed by GRUB's key: the root hash is signed, and GRUB too, for a firmware that knows its key and starts nothing else; \
                 a BIOS checks nothing: where one starts the disk, whoever writes to it can put another GRUB there"
            }
            Self::Grub { is_signed: false, .. } => {
                "sealed by GRUB's key, but for GRUB itself: the root hash is signed, and no firmware checks GRUB, so whoever writes to \
                 the disk can put another one there"
            }
        }
    }
}

/// What the report says of it.
pub(super) fn notes(root_hash: RootHash, sealer: Sealer) -> [String; 2] {
    [
        format!("/: each block is checked when it is read (verity), by the root hash {root_hash}"),
        sealer.note().to_owned(),
    ]
}
