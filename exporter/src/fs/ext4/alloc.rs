//! Which blocks belong to what.
//!
//! One cursor goes once over the disk, around the metadata whose place is fixed, so that all is used
//! below it and all is free above it. In order: the resize inode's block, the journal, all directories
//! (a walk over names then reads one area), then the files in the order of the tree, each followed by
//! its own extent blocks and attributes. Files that lie in archives come after all others and in the
//! order of the archives, so that writing the disk decodes each archive once.
//!
//! Where the layout of an earlier build is given, all but the first two find their places in [`super::keep`].

use std::ops::Range;

use super::census::Census;
use super::dir::LOST_FOUND_BLOCKS;
use super::extent_tree::{ExtentTree, Run, block_count};
use super::format::{BLOCK_SIZE, EXTENT_BLOCKS_MAX};
use super::geometry::Geometry;
use super::inode::{Blocks, is_fast_symlink};
use super::{journal, ranges, xattr};
use crate::fs::order;
use crate::tree::{Inode, InodeKind, Tree};

/// The blocks of everything that has no fixed place.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) own: OwnFiles,
    pub(super) places: Places,
    /// All blocks in use, the fixed ranges among them.
    pub(super) used: Vec<Range<u32>>,
}

/// The blocks of what is not of the tree: they come first, so the same geometry has them in the same place.
#[derive(Debug)]
pub(super) struct OwnFiles {
    /// The double-indirect block of the resize inode.
    pub(super) resize: u32,
    pub(super) journal: ExtentTree,
    /// Empty if the tree has its own.
    pub(super) lost_found: ExtentTree,
    /// The first block above them.
    pub(super) end: u32,
}

/// The blocks of the nodes of the census.
#[derive(Debug)]
pub(super) enum Places {
    /// The block from which on each found its place in one sweep: the place itself follows from it and needs no memory.
    Swept(Vec<u32>),
    /// Wherever an earlier build had them, and there was room.
    Kept(Vec<Blocks>),
}

impl Allocation {
    /// Find place for all of `tree`; an error is the number of blocks that are missing.
    pub(super) fn new(tree: &Tree, census: &Census, geometry: &Geometry) -> Result<Self, u64> {
        let journal_blocks = journal::size_in_blocks(geometry.blocks);
        // A quick no, before the disk is gone over.
        let least = census.blocks + u64::from(journal_blocks) + 1;
        match least.checked_sub(u64::from(geometry.free_blocks())) {
            None | Some(0) => {}
            Some(missing) => return Err(missing),
        }
        let mut cursor = Cursor::new(geometry, 0);
        let own = cursor.place_own(census, journal_blocks);
        let mut starts = vec![0; census.nodes.len()];
        for index in disk_order(tree, census) {
            starts[index] = cursor.at as u32;
            cursor.place_node(tree, census, index);
        }
        match cursor.at.saturating_sub(u64::from(geometry.blocks)) {
            0 => {
                let end = cursor.at as u32;
                let above = geometry.fixed_in(end..geometry.blocks);
                let used = ranges::merged(std::iter::once(0..end).chain(above));
                Ok(Self { own, places: Places::Swept(starts), used })
            }
            missing => Err(missing),
        }
    }

    /// The blocks of a node of the census; all arguments are those it was made of.
    pub(super) fn node(&self, tree: &Tree, census: &Census, geometry: &Geometry, index: usize) -> Blocks {
        match &self.places {
            Places::Swept(starts) => Cursor::new(geometry, starts[index]).place_node(tree, census, index),
            Places::Kept(places) => places[index].clone(),
        }
    }
}

impl OwnFiles {
    /// Find place for them; `None` if there is none.
    pub(super) fn new(census: &Census, geometry: &Geometry) -> Option<Self> {
        let mut cursor = Cursor::new(geometry, 0);
        let own = cursor.place_own(census, journal::size_in_blocks(geometry.blocks));
        (cursor.at <= u64::from(geometry.blocks)).then_some(own)
    }
}

/// The blocks of a node that hold content, as ranges of the file.
pub(super) fn content_blocks(tree: &Tree, census: &Census, index: usize) -> Vec<Range<u64>> {
    match &tree.inode(census.nodes[index].id).kind {
        InodeKind::Directory(_) => {
            first(census.directory_node(index).map_or(0, |directory| directory.blocks))
        }
        InodeKind::File(content) => content.data_blocks(BLOCK_SIZE),
        InodeKind::Symlink(target) if !is_fast_symlink(target) => first(1),
        _ => Vec::new(),
    }
}

/// The nodes of the census in the order of their blocks.
pub(super) fn disk_order<'a>(tree: &'a Tree, census: &'a Census) -> impl Iterator<Item = usize> + 'a {
    order::disk_order(tree, census.nodes.iter().map(|node| node.id))
}

/// The first so many blocks of a file.
fn first(blocks: u32) -> Vec<Range<u64>> {
    std::iter::once(0..u64::from(blocks)).collect()
}

/// Whether an inode has a block of attributes.
pub(super) fn needs_xattr_block(inode: &Inode) -> bool {
    xattr::Placed::new(&inode.meta.xattrs).is_ok_and(|placed| placed.needs_block())
}

/// Hands out the blocks between the fixed ranges. It goes on beyond the end of the disk, so that what
/// is missing comes out exact; blocks from there are never used.
struct Cursor<'a> {
    /// Fixed ranges that are still ahead.
    fixed: &'a [Range<u32>],
    at: u64,
}

impl<'a> Cursor<'a> {
    fn new(geometry: &'a Geometry, at: u32) -> Self {
        let behind = geometry.fixed.partition_point(|range| range.end <= at);
        Self { fixed: &geometry.fixed[behind..], at: at.into() }
    }

    /// Place all blocks of a node.
    fn place_node(&mut self, tree: &Tree, census: &Census, index: usize) -> Blocks {
        let blocks = self.place(content_blocks(tree, census, index));
        let has_xattrs = needs_xattr_block(tree.inode(census.nodes[index].id));
        Blocks { tree: blocks, xattrs: if has_xattrs { self.take_one() } else { 0 } }
    }

    /// Place what is not of the tree.
    fn place_own(&mut self, census: &Census, journal_blocks: u32) -> OwnFiles {
        let resize = self.take_one();
        let journal = self.place(first(journal_blocks));
        let lost_found = match census.lost_found() {
            Some(_) => self.place(first(LOST_FOUND_BLOCKS)),
            None => ExtentTree::default(),
        };
        OwnFiles { resize, journal, lost_found, end: self.at as u32 }
    }

    /// Place these blocks of a file, and the blocks of the extent tree that finds them.
    fn place(&mut self, wanted: Vec<Range<u64>>) -> ExtentTree {
        let mut runs = Vec::with_capacity(wanted.len());
        for range in wanted {
            let mut logical = range.start;
            while logical < range.end {
                let found = self.take((range.end - logical).min(u64::from(EXTENT_BLOCKS_MAX)));
                let len = found.end - found.start;
                runs.push(Run { logical: logical as u32, physical: found.start as u32, len: len as u32 });
                logical += len;
            }
        }
        let blocks = (0..block_count(runs.len())).map(|_| self.take_one()).collect();
        ExtentTree { runs, blocks }
    }

    /// Up to `max` blocks in a row.
    fn take(&mut self, max: u64) -> Range<u64> {
        let mut limit = u64::MAX;
        while let Some((next, rest)) = self.fixed.split_first() {
            if self.at < u64::from(next.start) {
                limit = u64::from(next.start);
                break;
            }
            self.at = u64::from(next.end);
            self.fixed = rest;
        }
        let start = self.at;
        self.at = limit.min(start + max);
        start..self.at
    }

    fn take_one(&mut self) -> u32 {
        self.take(1).start as u32
    }
}
