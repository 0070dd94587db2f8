//! How much of one image another has already, block by block: what an update from the one to the other would move.
//!
//! ```text
//! old ─blocks──▶ Known: the digests of all of them that are not zero
//! old ─blocks─┐
//! new ─blocks─┴▶ Counts: as in the old one at the same place · zero · known · to be moved
//! ```
//!
//! Both are read from front to end, and nothing is kept of them but the digests of the blocks that differ from each other:
//! 32 bytes for each.

mod blocks;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::AddAssign;

use serde::Serialize;

use crate::error::Result;
pub use blocks::{BLOCK_SIZES, Blocks};
use blocks::{Block, Cursor, What};

/// The blocks that need not be moved: those of the old image, and of the new one what has come so far.
#[derive(Debug, Default)]
pub struct Known(HashSet<[u8; 32]>);

impl Known {
    /// Add all of `old`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn add(&mut self, old: &Blocks) -> Result<()> {
        let mut cursor = Cursor::new(old)?;
        while let Some(block) = cursor.next()? {
            if !block.is_zero() {
                self.0.insert(block.digest());
            }
        }
        Ok(())
    }
}

/// What is said of the blocks of a new image, beside those of an old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All there are in the new one.
    pub blocks: u64,
    /// Of these, of zeroes.
    pub zero: u64,
    /// Not as in the old one at the same place.
    pub differ: u64,
    /// Of those that differ, in the old one at another place, or in the new one before.
    pub elsewhere: u64,
    /// Of those that differ, neither zero nor anywhere.
    pub new: u64,
    /// Bytes of the new ones: as they are stored, in an update packed.
    pub moves: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.blocks += more.blocks;
        self.zero += more.zero;
        self.differ += more.differ;
        self.elsewhere += more.elsewhere;
        self.new += more.new;
        self.moves += more.moves;
    }
}

/// Count the blocks of `new` beside those of `old`, if it has a counterpart. `known` has the blocks of all of the old image,
/// and gets what is new.
///
/// # Errors
/// If one of them cannot be read.
pub fn count(old: Option<&Blocks>, new: &Blocks, known: &mut Known) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut old = old.map(Cursor::new).transpose()?;
    let mut new = Cursor::new(new)?;
    while let Some(block) = new.next()? {
        let before = match &mut old {
            Some(old) => old.next()?,
            None => None,
        };
        counts.take(before.as_ref(), &block, known);
    }
    Ok(counts)
}

impl Counts {
    fn take(&mut self, before: Option<&Block<'_>>, block: &Block<'_>, known: &mut Known) {
        let is_zero = block.is_zero();
        self.blocks += 1;
        self.zero += u64::from(is_zero);
        if before.is_some_and(|before| before.is_same(block)) {
            return;
        }
        self.differ += 1;
        if is_zero {
            return;
        }
        if known.0.insert(block.digest()) {
            self.new += 1;
            self.moves += match block.what {
                What::Listed { frame_len, .. } => frame_len,
                What::Zero | What::Bytes(_) => block.len as u64,
            };
        } else {
            self.elsewhere += 1;
        }
    }
}
