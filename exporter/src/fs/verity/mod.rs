//! dm-verity (<https://docs.kernel.org/admin-guide/device-mapper/verity.html>): format version 1, SHA-256, blocks of 4096
//! bytes.
//!
//! ```text
//! superblock │ level 2: 1 block  │ level 1: n / 128² blocks │ level 0: n / 128 blocks
//!            │  └▶ root hash        digests of level 0         digests of the data
//! ```
//!
//! Whoever writes the data says the digest of each block, in order: the [`Tree`] needs a block for each of its levels, and
//! nothing is read again. A bundle of RAUC has the tree alone; a hash partition begins with a [superblock](format), and
//! [`seal`] makes one of data that has its place and is not written yet. Who has signed its root hash says a
//! [`signature`] partition.

mod format;
mod seal;
mod signature;
#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

use crate::error::Result;
pub use seal::{RootHash, Sealed, partition_len, seal};
pub use signature::{SIGNATURE_MAX, signature};

/// Bytes of a block, of data as of digests.
pub(crate) const BLOCK: usize = 4096;
/// Bytes of a digest.
pub(crate) const DIGEST: usize = 32;
/// Digests in a block.
const DIGESTS: u64 = (BLOCK / DIGEST) as u64;

/// What goes in front of each block that is hashed.
pub(crate) type Salt = [u8; 32];

/// Takes a block, and its first byte in the tree.
type Write<'a> = dyn FnMut(&[u8], u64) -> Result<()> + Send + 'a;

/// The digest of a block.
pub(crate) fn digest(salt: &Salt, block: &[u8]) -> [u8; DIGEST] {
    Sha256::new().chain_update(salt).chain_update(block).finalize().into()
}

/// Makes the tree over so many blocks of data.
pub(crate) struct Tree<'a> {
    salt: &'a Salt,
    /// The digests of the data first, though they lie last.
    levels: Vec<Level>,
    root: [u8; DIGEST],
    write: &'a mut Write<'a>,
}

struct Level {
    /// Where its next block goes, in bytes from the start of the tree.
    at: u64,
    /// That block, as far as its digests are known.
    block: Vec<u8>,
}

/// How many blocks each level has, that of the digests of `data` blocks first. One block of data needs none: its digest
/// is the root.
fn levels(data: u64) -> impl Iterator<Item = u64> {
    let above = |blocks: &u64| (*blocks > 1).then(|| blocks.div_ceil(DIGESTS));
    std::iter::successors(above(&data), above)
}

/// Bytes of the tree over `data` blocks.
pub(crate) fn tree_len(data: u64) -> u64 {
    levels(data).sum::<u64>() * BLOCK as u64
}

impl<'a> Tree<'a> {
    /// The tree over `data` blocks, which `write` takes block by block, not in their order.
    pub(crate) fn new(data: u64, salt: &'a Salt, write: &'a mut Write<'a>) -> Self {
        let mut at = tree_len(data);
        let level = |blocks| {
            at -= blocks * BLOCK as u64;
            Level { at, block: Vec::with_capacity(BLOCK) }
        };
        Self { salt, levels: levels(data).map(level).collect(), root: [0; DIGEST], write }
    }

    /// Take the digest of the next block of data.
    ///
    /// # Errors
    /// What `write` has to say.
    pub(crate) fn push(&mut self, digest: &[u8; DIGEST]) -> Result<()> {
        self.push_at(0, digest)
    }

    fn push_at(&mut self, level: usize, digest: &[u8; DIGEST]) -> Result<()> {
        let Some(Level { block, .. }) = self.levels.get_mut(level) else {
            self.root = *digest;
            return Ok(());
        };
        block.extend(digest);
        if block.len() == BLOCK { self.close(level) } else { Ok(()) }
    }

    /// Write the block of a level, and tell the one above.
    fn close(&mut self, level: usize) -> Result<()> {
        let Level { at, block } = &mut self.levels[level];
        block.resize(BLOCK, 0);
        (self.write)(block, *at)?;
        let digest = digest(self.salt, block);
        block.clear();
        *at += BLOCK as u64;
        self.push_at(level + 1, &digest)
    }

    /// Write what is left; the root digest.
    ///
    /// # Errors
    /// What `write` has to say.
    pub(crate) fn finish(mut self) -> Result<[u8; DIGEST]> {
        for level in 0..self.levels.len() {
            if !self.levels[level].block.is_empty() {
                self.close(level)?;
            }
        }
        Ok(self.root)
    }
}
