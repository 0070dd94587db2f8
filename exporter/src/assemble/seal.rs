//! A root whose blocks are checked when they are read: its hashes, which are made when it has its place and nothing is
//! written yet, and all that names the hash of them.

use super::boot_loader::WithRootHash;
use super::draft::Draft;
use super::resolve::Named;
use crate::disk::{ALIGNMENT, Placed, Unplaced};
use crate::engine::Run;
use crate::error::Result;
use crate::fs::Contents;
use crate::fs::verity::{self, RootHash, Sealed};
use crate::seed::{Seed, Uuid};
use crate::spec::layout::Content;

/// What is asked of it.
pub(super) struct Seal {
    salt: [u8; 32],
    uuid: Uuid,
    esp: WithRootHash,
}

impl Seal {
    /// With what UEFI reads, which names the root hash.
    pub(super) fn new(seed: &Seed, esp: WithRootHash) -> Self {
        Self { salt: seed.derive("root verity salt"), uuid: seed.uuid("root verity"), esp }
    }

    /// The hashes of a root.
    pub(super) fn hash(&self, root: &Contents, run: &Run<'_>) -> Result<Sealed> {
        verity::seal(root, &self.salt, self.uuid, run)
    }

    /// Have the ESP name the root hash; it stays as large as it was counted.
    pub(super) fn tell(&self, root_hash: RootHash, partitions: &[Named], drafts: &mut [Draft]) -> Result<()> {
        for (named, draft) in partitions.iter().zip(drafts) {
            if let (Content::Esp, Draft::Fat(tree, _)) = (&named.slot.content, draft) {
                *tree = (self.esp)(root_hash)?;
            }
        }
        Ok(())
    }
}

/// Let a root and its hashes, which are the next one, have the UUIDs that they are found by.
pub(super) fn name(root_hash: RootHash, pair: &mut [Placed]) {
    for (placed, uuid) in pair.iter_mut().zip(root_hash.partitions()) {
        placed.id = uuid.into();
    }
}

/// The same with room for the hashes of what is in front of them. That has no share of the disk, and so no more than it
/// needs.
pub(super) fn with_hashes(partitions: &[Named], mut requests: Vec<Unplaced>) -> Vec<Unplaced> {
    let hashes = partitions.iter().enumerate().filter(|(_, named)| named.slot.content == Content::Hashes);
    for at in hashes.filter_map(|(at, _)| at.checked_sub(1)) {
        let data = requests[at].least.max(1).div_ceil(ALIGNMENT).saturating_mul(ALIGNMENT);
        requests[at + 1].least = verity::partition_len(data);
    }
    requests
}

/// What the report says of it.
pub(super) fn notes(root_hash: RootHash) -> [String; 2] {
    [
        format!("/: each block is checked when it is read (verity), by the root hash {root_hash}"),
        "integrity, not sealed: nothing signs the root hash, so whoever writes to the ESP can start another root"
            .to_owned(),
    ]
}
