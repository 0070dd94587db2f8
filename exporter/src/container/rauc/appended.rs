//! The squashfs of a bundle on its way to the file: hashed block by block for the tree that follows it.

use std::path::Path;

use crate::container::place::Place;
use crate::container::spill::Spill;
use crate::error::Result;
use crate::fs::squashfs::DATA_AT;
use crate::fs::verity::{self, BLOCK, DIGEST, Salt, Tree, tree_len};

/// The bytes behind the superblock, which is known last: it has the first block of [`BLOCK`] bytes for itself.
pub(super) struct Appended<'a> {
    place: &'a dyn Place,
    salt: &'a Salt,
    /// Bytes so far, those of the first block among them.
    len: u64,
    /// The end of them, as far as it is no whole block.
    open: Vec<u8>,
    /// Of the blocks but the first.
    digests: Spill,
}

const _: () = assert!(DATA_AT == BLOCK as u64);

/// What the tree came to.
pub(super) struct Verity {
    pub(super) root: [u8; DIGEST],
    /// Bytes of the tree.
    pub(super) len: u64,
    /// Where in the file it ends.
    pub(super) end: u64,
}

impl<'a> Appended<'a> {
    pub(super) fn new(place: &'a dyn Place, salt: &'a Salt, folder: &Path) -> Result<Self> {
        let open = Vec::with_capacity(BLOCK);
        Ok(Self { place, salt, len: DATA_AT, open, digests: Spill::new(folder)? })
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.place.write_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        let (fill, rest) = bytes.split_at(bytes.len().min((BLOCK - self.open.len()) % BLOCK));
        self.open.extend(fill);
        if self.open.len() == BLOCK {
            self.digests.append(&verity::digest(self.salt, &self.open))?;
            self.open.clear();
        }
        let (blocks, rest) = rest.as_chunks::<BLOCK>();
        for block in blocks {
            self.digests.append(&verity::digest(self.salt, block))?;
        }
        self.open.extend(rest);
        Ok(())
    }

    /// Write the superblock, and the tree over all.
    pub(super) fn finish(mut self, superblock: &[u8]) -> Result<Verity> {
        let padding = self.len.next_multiple_of(BLOCK as u64) - self.len;
        self.append(&vec![0; padding as usize])?;
        let mut first = superblock.to_vec();
        first.resize(BLOCK, 0);
        self.place.write_at(&first, 0)?;

        let (blocks, at) = (self.len / BLOCK as u64, self.len);
        let mut write = |block: &[u8], offset: u64| self.place.write_at(block, at + offset);
        let mut tree = Tree::new(blocks, self.salt, &mut write);
        tree.push(&verity::digest(self.salt, &first))?;
        self.digests
            .read(BLOCK, |digests| digests.as_chunks().0.iter().try_for_each(|digest| tree.push(digest)))?;
        let len = tree_len(blocks);
        Ok(Verity { root: tree.finish()?, len, end: at + len })
    }
}
