//! Extent trees: where the blocks of an inode lie.
//!
//! ```text
//! i_block: header, up to 4 entries ─▶ blocks of up to 340 entries … ─▶ leaves: logical block, length, block
//! ```
//!
//! The tree is built from the leaves up, each block full but the last of its level. Its blocks are
//! numbered in that order too: all leaves, then the level above them, and so on.
//! See [ifork.rst](https://docs.kernel.org/filesystems/ext4/ifork.html) ("Extent Tree").

use std::mem::size_of;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use super::csum::Crc32c;
use super::format::{BLOCK_SIZE, EXTENT_MAGIC, ExtentHeader, ExtentIndex, ExtentLeaf};

/// Entries in `i_block`.
pub(super) const ROOT_ENTRIES: usize = 4;
/// Entries in a block; behind them is room for the checksum.
const BLOCK_ENTRIES: usize = (BLOCK_SIZE - size_of::<ExtentHeader>()) / size_of::<ExtentLeaf>();

/// Blocks in a row, in a file and on disk; at most as many as one extent can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// First block in the file.
    pub(super) logical: u32,
    /// First block on disk.
    pub(super) physical: u32,
    /// Number of blocks.
    pub(super) len: u32,
}

/// Blocks that the tree of so many runs needs beside the inode.
pub(super) fn block_count(runs: usize) -> usize {
    levels(runs).sum()
}

/// Blocks of each level, leaves first; none if all fits the inode.
fn levels(runs: usize) -> impl Iterator<Item = usize> {
    let mut entries = runs;
    std::iter::from_fn(move || {
        (entries > ROOT_ENTRIES).then(|| {
            entries = entries.div_ceil(BLOCK_ENTRIES);
            entries
        })
    })
}

/// An inode's extent tree: its runs, and the blocks its nodes lie in.
#[derive(Clone, Debug, Default)]
pub(super) struct ExtentTree {
    pub(super) runs: Vec<Run>,
    pub(super) blocks: Vec<u32>,
}

impl ExtentTree {
    /// The root, as it lies in `i_block`.
    pub(super) fn root(&self) -> [u8; 60] {
        let mut out = [0; 60];
        let depth = levels(self.runs.len()).count();
        self.write_node(depth, 0, ROOT_ENTRIES, &mut out);
        out
    }

    /// Block `number` of the tree of an inode, which `inode` is the checksum's begin of.
    pub(super) fn render_block(&self, number: usize, inode: Crc32c, out: &mut [u8]) {
        let (mut depth, mut index) = (0, number);
        for blocks in levels(self.runs.len()) {
            if index < blocks {
                break;
            }
            index -= blocks;
            depth += 1;
        }
        self.write_node(depth, index, BLOCK_ENTRIES, out);
        let tail = size_of::<ExtentHeader>() + BLOCK_ENTRIES * size_of::<ExtentLeaf>();
        let sum = inode.with(&out[..tail]).value();
        out[tail..][..4].copy_from_slice(&sum.to_le_bytes());
    }

    /// Node `index` of the level `depth` above the leaves, with room for `max` entries.
    fn write_node(&self, depth: usize, index: usize, max: usize, out: &mut [u8]) {
        let below: usize = levels(self.runs.len()).take(depth.saturating_sub(1)).sum();
        let children = match depth {
            0 => self.runs.len(),
            depth => levels(self.runs.len()).nth(depth - 1).expect("a level above the leaves has one below"),
        };
        let entries = index * max..children.min((index + 1) * max);
        let header = ExtentHeader {
            eh_magic: U16::new(EXTENT_MAGIC),
            eh_entries: U16::new(entries.len() as u16),
            eh_max: U16::new(max as u16),
            eh_depth: U16::new(depth as u16),
            eh_generation: U32::ZERO,
        };
        let (head, slots) = out.split_at_mut(size_of::<ExtentHeader>());
        head.copy_from_slice(header.as_bytes());
        for (child, slot) in entries.zip(slots.chunks_exact_mut(size_of::<ExtentLeaf>())) {
            match depth {
                0 => slot.copy_from_slice(leaf(self.runs[child]).as_bytes()),
                depth => {
                    let first = self.runs[child * BLOCK_ENTRIES.pow(depth as u32)].logical;
                    slot.copy_from_slice(index_entry(first, self.blocks[below + child]).as_bytes());
                }
            }
        }
    }
}

fn leaf(run: Run) -> ExtentLeaf {
    ExtentLeaf {
        ee_block: U32::new(run.logical),
        ee_len: U16::new(run.len as u16),
        ee_start_hi: U16::ZERO,
        ee_start_lo: U32::new(run.physical),
    }
}

fn index_entry(logical: u32, block: u32) -> ExtentIndex {
    ExtentIndex {
        ei_block: U32::new(logical),
        ei_leaf_lo: U32::new(block),
        ei_leaf_hi: U16::ZERO,
        ei_unused: U16::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_runs_fit_the_inode_and_1360_one_level() {
        for (runs, blocks) in
            [(0, 0), (4, 0), (5, 1), (340, 1), (341, 2), (1360, 4), (1361, 5 + 1), (462_400, 1364)]
        {
            assert_eq!(block_count(runs), blocks, "{runs} runs");
        }
    }

    #[test]
    fn an_inner_node_names_the_first_block_below_each_child() {
        let runs = (0..1361).map(|n| Run { logical: 2 * n, physical: 9000 + n, len: 1 }).collect();
        let blocks = (100..106).collect();
        let tree = ExtentTree { runs, blocks };
        let root = tree.root();
        assert_eq!(root[..8], [0x0a, 0xf3, 1, 0, 4, 0, 2, 0], "one entry, depth 2");
        assert_eq!(root[12..20], [0, 0, 0, 0, 105, 0, 0, 0]);
        let mut node = [0; BLOCK_SIZE];
        tree.render_block(5, Crc32c::START, &mut node);
        assert_eq!(node[..8], [0x0a, 0xf3, 5, 0, 84, 1, 1, 0]);
        assert_eq!(node[24..32], [0xa8, 2, 0, 0, 101, 0, 0, 0], "the second leaf begins at block 680");
    }
}
