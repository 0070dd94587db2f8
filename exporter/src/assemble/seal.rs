//! A root whose blocks are checked when they are read: its hashes, which are made when it has its place and nothing is
//! written yet, and all that names the hash of them.

use super::boot_loader::WithRootHash;
use super::draft::Draft;
use super::grub_key::GrubKey;
use super::lay_out::Open;
use super::resolve::Named;
use crate::boot::verity::Verified;
use crate::disk::{ALIGNMENT, Unplaced};
use crate::engine::Run;
use crate::error::{Error, Kind, Result};
use crate::fs::Contents;
use crate::fs::verity::{self, RootHash, Sealed};
use crate::pki::Signer;
use crate::seed::{Seed, Uuid};
use crate::spec::Spec;
use crate::spec::layout::{Content, Hashes};

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

    /// Hash the root, which has its content, and let all have what follows: the hashes and their signature their place, and
    /// the ESP the root hash. It stays as large as it was counted.
    pub(super) fn apply(&self, open: &mut [Open<'_>], run: &Run<'_>) -> Result<Verified> {
        let root = open.iter_mut().find(|each| each.named.slot.content == Content::Root);
        let (at, data) = root
            .and_then(|root| Some((root.named.slot.hashes, root.content.take()?)))
            .ok_or_else(|| Error::new(Kind::Input, "verity", "there is no root that could be checked"))?;
        let sealed = verity::seal(&data, &self.salt, self.uuid, run)?;
        let hash_offset = (at == Some(Hashes::Within)).then_some(data.size);
        let verified = Verified { root_hash: sealed.root_hash, hash_offset };
        match hash_offset {
            None => beside(open, sealed, data),
            Some(_) => fill(open, &Content::Root, |root| root.content = Some(sealed.behind(data))),
        }
        if let Some(signer) = &self.signer {
            let signature = verity::signature(verified.root_hash, signer)?;
            fill(open, &Content::Signature, |each| {
                each.needed = signature.size;
                each.content = Some(signature);
            });
        }
        for each in open {
            if let (Content::Esp, Draft::Fat(tree, _)) = (&each.named.slot.content, &mut each.draft) {
                *tree = (self.esp)(verified)?;
            }
        }
        Ok(verified)
    }
}

/// The hashes on their partition; both have the UUIDs that they are found by.
fn beside(open: &mut [Open<'_>], sealed: Sealed, data: Contents) {
    let Sealed { root_hash, hashes } = sealed;
    let [of_root, of_hashes] = root_hash.partitions();
    fill(open, &Content::Root, |root| {
        root.placed.id = of_root.into();
        root.content = Some(data);
    });
    fill(open, &Content::Hashes, |each| {
        each.placed.id = of_hashes.into();
        each.needed = hashes.size;
        each.content = Some(hashes);
    });
}

fn fill<'a>(open: &mut [Open<'a>], content: &Content, with: impl FnOnce(&mut Open<'a>)) {
    if let Some(each) = open.iter_mut().find(|each| each.named.slot.content == *content) {
        with(each);
    }
}

/// What a partition has to have room for: of a root with its hashes behind it, these too.
pub(super) fn needed(named: &Named, minimum: u64) -> u64 {
    if has_both(named) { verity::joined_len(minimum) } else { minimum }
}

/// The room that is left in it for its content.
pub(super) fn room(named: &Named, size: u64) -> u64 {
    if has_both(named) { verity::data_len(size) } else { size }
}

fn has_both(named: &Named) -> bool {
    named.slot.hashes == Some(Hashes::Within)
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
