//! Where the blocks of an inode lie, one extent after the other: those of an extent tree, or of a block map as ext2
//! and ext3 have it.
//!
//! Nothing is collected: between two extents there are only the nodes above the next one in memory. What comes
//! must lie behind what came, so that no node and no block of a file is met twice.

use std::mem::size_of;

use zerocopy::FromBytes;

use super::{InodeOnDisk, Volume, corrupt};
use crate::error::{Error, Result};
use crate::fs::ext4::csum::Crc32c;
use crate::fs::ext4::format::{EXTENT_BLOCKS_MAX, EXTENT_MAGIC, ExtentHeader, ExtentIndex, ExtentLeaf};
use crate::fs::ext4::sums;
use crate::read_at::ReadAt;

/// The deepest extent tree (`EXT4_MAX_EXTENT_DEPTH`).
const DEPTH_MAX: u16 = 5;
/// Pointers in `i_block` that lead to blocks of the file, before the three to blocks of pointers.
const DIRECT_POINTERS: usize = 12;

/// Blocks of a file that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fs::ext4) struct Extent {
    /// First block of the file.
    pub(in crate::fs::ext4) logical: u64,
    /// First block of the volume.
    pub(in crate::fs::ext4) physical: u64,
    /// How many.
    pub(in crate::fs::ext4) blocks: u64,
    /// Or else the blocks are reserved, and read as zeros.
    pub(in crate::fs::ext4) is_written: bool,
}

impl Extent {
    fn new(leaf: &ExtentLeaf) -> Self {
        let len = u32::from(leaf.ee_len.get());
        // Longer ones are not initialised, and as long as what is above the limit.
        let is_written = len <= EXTENT_BLOCKS_MAX;
        Self {
            logical: leaf.ee_block.get().into(),
            physical: u64::from(leaf.ee_start_hi.get()) << 32 | u64::from(leaf.ee_start_lo.get()),
            blocks: u64::from(if is_written { len } else { len - EXTENT_BLOCKS_MAX }),
            is_written,
        }
    }
}

/// The extents of a file or directory, ascending and apart.
pub(super) fn of<'v, V: ReadAt + ?Sized>(
    volume: &'v Volume<'_, V>,
    inode: &InodeOnDisk,
) -> Box<dyn Iterator<Item = Result<Extent>> + 'v> {
    // What is in the inode is in no block, nor is what is empty.
    if inode.is_inline() || !inode.has_extents() && inode.size() == 0 {
        return Box::new(std::iter::empty());
    }
    match inode.has_extents() {
        true => Box::new(Tree::new(volume, inode)),
        false => Box::new(Map::new(volume, inode)),
    }
}

fn broken() -> Error {
    corrupt("an extent tree is broken")
}

/// Goes through an extent tree.
struct Tree<'v, 'a, V: ?Sized> {
    volume: &'v Volume<'a, V>,
    /// What the checksums of its nodes begin with.
    sum: Option<Crc32c>,
    /// The root until it is read.
    root: Option<Vec<u8>>,
    /// The node of the next entry, and those above it.
    path: Vec<Node>,
    /// The first block of the file that may come next, and that the entry above a leaf may name next.
    next_leaf: u64,
    next_index: u64,
}

/// Entries of a node that are still to come.
struct Node {
    depth: u16,
    entries: std::vec::IntoIter<[u8; size_of::<ExtentLeaf>()]>,
}

impl Node {
    /// `depth` is known of all but the root.
    fn new(bytes: &[u8], depth: Option<u16>) -> Result<Self> {
        let (header, rest) = ExtentHeader::read_from_prefix(bytes).map_err(|_| broken())?;
        let own = header.eh_depth.get();
        let has_depth = depth.map_or(own <= DEPTH_MAX, |depth| own == depth);
        let (entries, _) = rest.as_chunks();
        let entries = entries.get(..header.eh_entries.get().into()).ok_or_else(broken)?;
        let is_possible = own == 0 || !entries.is_empty();
        match header.eh_magic.get() == EXTENT_MAGIC && has_depth && is_possible {
            true => Ok(Self { depth: own, entries: Vec::from(entries).into_iter() }),
            false => Err(broken()),
        }
    }
}

impl<'v, 'a, V: ReadAt + ?Sized> Tree<'v, 'a, V> {
    fn new(volume: &'v Volume<'a, V>, inode: &InodeOnDisk) -> Self {
        let root = Some(inode.fields().i_block.to_vec());
        Self { volume, sum: volume.inode_sum(inode), root, path: Vec::new(), next_leaf: 0, next_index: 0 }
    }

    fn advance(&mut self) -> Result<Option<Extent>> {
        if let Some(root) = self.root.take() {
            self.path.push(Node::new(&root, None)?);
        }
        while let Some(node) = self.path.last_mut() {
            match (node.entries.next(), node.depth) {
                (None, _) => _ = self.path.pop(),
                (Some(entry), 0) => return self.leaf(&zerocopy::transmute!(entry)).map(Some),
                (Some(entry), depth) => {
                    let below = self.below(&zerocopy::transmute!(entry), depth - 1)?;
                    self.path.push(below);
                }
            }
        }
        Ok(None)
    }

    fn leaf(&mut self, leaf: &ExtentLeaf) -> Result<Extent> {
        let extent = Extent::new(leaf);
        if extent.blocks == 0 {
            return Err(broken());
        }
        if extent.logical < self.next_leaf {
            return Err(corrupt("the extents of a file overlap"));
        }
        self.next_leaf = extent.logical + extent.blocks;
        self.next_index = self.next_leaf;
        self.volume.check_blocks(extent.physical, extent.blocks)?;
        Ok(extent)
    }

    fn below(&mut self, index: &ExtentIndex, depth: u16) -> Result<Node> {
        let first = u64::from(index.ei_block.get());
        // The first entry of a node above the leaves repeats the one that leads to it.
        let least = if depth == 0 { self.next_index } else { self.next_leaf };
        if first < least {
            return Err(corrupt("the extents of a file overlap"));
        }
        if depth == 0 {
            self.next_index = first + 1;
        }
        let block = u64::from(index.ei_leaf_hi.get()) << 32 | u64::from(index.ei_leaf_lo.get());
        let bytes = self.volume.block(block)?;
        let sum = self.sum.map(|sum| sums::extent_node(&bytes, sum)).transpose()?;
        sums::check(&bytes, sum, "an extent tree")?;
        Node::new(&bytes, Some(depth))
    }
}

impl<V: ReadAt + ?Sized> Iterator for Tree<'_, '_, V> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        // Behind what is broken nothing follows.
        if matches!(next, Some(Err(_))) {
            self.path.clear();
        }
        next
    }
}

/// Goes through a block map: pointers to blocks, to blocks of such pointers, and so on.
struct Map<'v, 'a, V: ?Sized> {
    volume: &'v Volume<'a, V>,
    /// The pointers that come next, and those above them.
    path: Vec<Pointers>,
    /// The block of the file that comes next, and the one behind the last.
    logical: u64,
    end: u64,
}

struct Pointers {
    /// The levels of blocks of pointers below each, and the pointer.
    left: std::vec::IntoIter<(u32, u32)>,
}

impl Pointers {
    fn new(bytes: &[u8], level: impl Fn(usize) -> u32) -> Self {
        let (words, _) = bytes.as_chunks();
        let left = words.iter().enumerate().map(|(index, word)| (level(index), u32::from_le_bytes(*word)));
        Self { left: left.collect::<Vec<_>>().into_iter() }
    }
}

impl<'v, 'a, V: ReadAt + ?Sized> Map<'v, 'a, V> {
    fn new(volume: &'v Volume<'a, V>, inode: &InodeOnDisk) -> Self {
        let level = |index: usize| (index + 1).saturating_sub(DIRECT_POINTERS) as u32;
        let path = vec![Pointers::new(&inode.fields().i_block, level)];
        Self { volume, path, logical: 0, end: inode.size().div_ceil(volume.block_size()) }
    }

    fn advance(&mut self) -> Result<Option<Extent>> {
        while let Some(pointers) = self.path.last_mut().filter(|_| self.logical < self.end) {
            match pointers.left.next() {
                None => _ = self.path.pop(),
                Some((level, 0)) => {
                    let blocks = (self.volume.block_size() / size_of::<u32>() as u64).saturating_pow(level);
                    self.logical = self.logical.saturating_add(blocks);
                }
                Some((0, pointer)) => return self.block(pointer.into()).map(Some),
                Some((level, pointer)) => {
                    let below = self.volume.block(pointer.into())?;
                    self.path.push(Pointers::new(&below, |_| level - 1));
                }
            }
        }
        Ok(None)
    }

    fn block(&mut self, physical: u64) -> Result<Extent> {
        self.volume.check_blocks(physical, 1)?;
        let logical = self.logical;
        self.logical += 1;
        Ok(Extent { logical, physical, blocks: 1, is_written: true })
    }
}

impl<V: ReadAt + ?Sized> Iterator for Map<'_, '_, V> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            self.path.clear();
        }
        next
    }
}
