//! A root whose blocks are checked when they are read: its hashes lie behind it on the same disk, since there is no table for
//! a partition of theirs.
//!
//! ```text
//! 0      the file system      hash offset                    end
//! │ what is hashed            │ superblock │ tree of hashes  │
//! ```
//!
//! So `veritysetup format --hash-offset` has it.

use super::root::Root;
use super::words::Checked;
use crate::engine::Run;
use crate::error::Result;
use crate::extent::{Extent, Extents};
use crate::fs::Contents;
use crate::fs::verity::{self, RootHash, Sealed};
use crate::seed::Seed;

/// `root` with its hashes behind it, and what its kernel is told of them. The seed gives what is random of them.
///
/// # Errors
/// If it cannot be read, or the digests cannot be kept.
pub(super) fn seal(root: Root, seed: &Seed, run: &Run<'_>) -> Result<(Root, Checked)> {
    let Root { mut placed, contents, mut part } = root;
    let (salt, uuid) = (seed.derive("root verity salt"), seed.uuid("root verity"));
    let Sealed { root_hash, hashes } = verity::seal(&contents, &salt, uuid, run)?;
    let checked = Checked { root_hash, hash_offset: contents.size };
    let contents = behind(contents, hashes);
    placed.size = contents.size;
    part.needed += contents.size - checked.hash_offset;
    part.placed.size = contents.size;
    Ok((Root { placed, contents, part }, checked))
}

/// One behind the other.
fn behind(data: Contents, hashes: Contents) -> Contents {
    let size = data.size + hashes.size;
    Contents { size, extents: Box::new(Both { data, hashes }) }
}

struct Both {
    data: Contents,
    hashes: Contents,
}

impl Extents for Both {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let Self { data, hashes } = self;
        let moved = |extent: Extent| Extent { offset: data.size + extent.offset, ..extent };
        Box::new(data.extents.iter().chain(hashes.extents.iter().map(moved)))
    }
}

/// What the report says of it.
pub(super) fn notes(root_hash: RootHash) -> [String; 2] {
    [
        format!("/: each block is checked when it is read (verity), by the root hash {root_hash}"),
        "integrity, not sealed: nothing signs the root hash, so whoever writes to vm.json can start another root"
            .to_owned(),
    ]
}
