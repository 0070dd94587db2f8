//! Directories: blocks of entries in the order of the bytes of their names, `.` and `..` among them.
//!
//! ```text
//! ┌────────┬────────┬────────┬──────┬──────┬──────┬───────┐
//! │ dirent │ dirent │ dirent │ name │ name │ name │ zeroes│   no entry lies in two blocks
//! └────────┴────────┴────────┴──────┴──────┴──────┴───────┘
//! ```
//!
//! Kernels look for the block by the first names of blocks, and in it by the names.

use std::mem::size_of;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U64};

use super::format::{BLOCK_SIZE, Dirent};
use crate::tree::{InodeId, Tree};

/// An entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    name: &'a [u8],
    pub(super) id: InodeId,
}

/// A directory, its entries sorted.
pub(super) struct Directory<'a>(Vec<Entry<'a>>);

impl<'a> Directory<'a> {
    /// The directory `id`, which lies in `parent`.
    pub(super) fn new(tree: &'a Tree, id: InodeId, parent: InodeId) -> Self {
        let named = tree.entries(id).into_iter().flatten().map(|(name, &id)| Entry { name, id });
        let dots = [Entry { name: b".", id }, Entry { name: b"..", id: parent }];
        let mut entries: Vec<_> = dots.into_iter().chain(named).collect();
        entries.sort_by_key(|entry| entry.name);
        Self(entries)
    }

    /// The entries of each block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &[Entry<'a>]> {
        let mut left = self.0.as_slice();
        std::iter::from_fn(move || {
            let mut len = 0;
            let fits = |entry: &&Entry<'_>| {
                len += entry.len();
                len <= BLOCK_SIZE
            };
            let (block, rest) = left.split_at(left.iter().take_while(fits).count());
            left = rest;
            (!block.is_empty()).then_some(block)
        })
    }

    /// Bytes of it: the last block ends with the last name.
    pub(super) fn len(&self) -> u64 {
        let (mut blocks, mut last) = (0, 0);
        for block in self.blocks() {
            (blocks, last) = (blocks + 1, block.iter().map(Entry::len).sum::<usize>());
        }
        ((blocks - 1) * BLOCK_SIZE + last) as u64
    }
}

impl Entry<'_> {
    fn len(&self) -> usize {
        size_of::<Dirent>() + self.name.len()
    }
}

/// Fill a block with these entries; `inode` gives the number and the type of each.
pub(super) fn render(entries: &[Entry<'_>], inode: impl Fn(InodeId) -> (u32, u8), out: &mut [u8]) {
    let mut name_at = size_of::<Dirent>() * entries.len();
    for (number, entry) in entries.iter().enumerate() {
        let (nid, file_type) = inode(entry.id);
        let dirent =
            Dirent { nid: U64::new(nid.into()), nameoff: U16::new(name_at as u16), file_type, reserved: 0 };
        out[number * size_of::<Dirent>()..][..size_of::<Dirent>()].copy_from_slice(dirent.as_bytes());
        out[name_at..][..entry.name.len()].copy_from_slice(entry.name);
        name_at += entry.name.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;

    #[test]
    fn entries_are_sorted_with_the_dots_and_lie_in_one_block() {
        // 12 + 188 bytes each: 20 of them and the dots are one block.
        let names: Vec<_> = (0..25).map(|number| format!("/{number:0>188}")).chain(["/-".into()]).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        let tree = tree(&files);
        let directory = Directory::new(&tree, Tree::ROOT, Tree::ROOT);
        let blocks: Vec<_> = directory.blocks().collect();
        assert_eq!(blocks.iter().map(|block| block.len()).collect::<Vec<_>>(), [23, 5]);
        let first: Vec<_> = blocks[0].iter().take(3).map(|entry| entry.name).collect();
        assert_eq!(first, [&b"-"[..], b".", b".."]);
        assert_eq!(directory.len(), 4096 + 5 * 200);

        let mut out = vec![0; 1000];
        render(blocks[1], |_| (7, 1), &mut out);
        assert_eq!(out[..12], [7, 0, 0, 0, 0, 0, 0, 0, 60, 0, 1, 0]);
        assert_eq!(&out[60..248], format!("{:0>188}", 20).as_bytes());
    }

    #[test]
    fn an_empty_one_has_its_dots() {
        let tree = tree(&[]);
        assert_eq!(Directory::new(&tree, Tree::ROOT, Tree::ROOT).len(), 2 * 12 + 3);
    }
}
