//! Which blocks belong to what.
//!
//! One cursor goes once over the disk, around the metadata whose place is fixed, so that all is used
//! below it and all is free above it. In order: the resize inode's block, the journal, all directories
//! (a walk over names then reads one area), then the files in the order of the tree, each followed by
//! its own extent blocks and attributes. Files that lie in archives come after all others and in the
//! order of the archives, so that writing the disk decodes each archive once.

use std::ops::Range;

use super::census::{Census, data_blocks};
use super::dir::LOST_FOUND_BLOCKS;
use super::extent_tree::{ExtentTree, Run, block_count};
use super::format::EXTENT_BLOCKS_MAX;
use super::inode::{Blocks, is_fast_symlink};
use super::layout::Geometry;
use super::{journal, xattr};
use crate::tree::{Content, Inode, Kind, Tree};

/// The blocks of one inode.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    first_run: u32,
    runs: u32,
    first_tree_block: u32,
    /// The block of extended attributes; 0 if there is none.
    xattrs: u32,
}

/// The blocks of everything that has no fixed place.
#[derive(Debug)]
pub(super) struct Allocation {
    /// The double-indirect block of the resize inode.
    pub(super) resize: u32,
    journal: Place,
    lost_found: Place,
    /// One for each node of the census.
    places: Vec<Place>,
    runs: Vec<Run>,
    tree_blocks: Vec<u32>,
    /// The first block above all that is allocated.
    pub(super) end: u32,
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
        let mut allocator = Allocator::new(geometry);
        let resize = allocator.cursor.take_one();
        let journal = allocator.place(first(journal_blocks));
        let lost_found = match census.lost_found() {
            Some(_) => allocator.place(first(LOST_FOUND_BLOCKS)),
            None => Place::default(),
        };
        let mut places = vec![Place::default(); census.nodes.len()];
        for index in disk_order(tree, census) {
            let node = &census.nodes[index as usize];
            let inode = tree.inode(node.id);
            let mut place = allocator.place(wanted(inode, node.directory_blocks));
            if needs_xattr_block(inode) {
                place.xattrs = allocator.cursor.take_one();
            }
            places[index as usize] = place;
        }
        let Allocator { cursor, runs, tree_blocks } = allocator;
        match cursor.missing() {
            0 => Ok(Self { resize, journal, lost_found, places, runs, tree_blocks, end: cursor.at as u32 }),
            missing => Err(missing),
        }
    }

    /// The blocks of a node of the census.
    pub(super) fn node(&self, index: usize) -> Blocks<'_> {
        let place = self.places[index];
        Blocks { tree: self.extent_tree(place), xattrs: place.xattrs }
    }

    /// The blocks of the journal.
    pub(super) fn journal(&self) -> ExtentTree<'_> {
        self.extent_tree(self.journal)
    }

    /// The blocks of an added `lost+found`.
    pub(super) fn lost_found(&self) -> ExtentTree<'_> {
        self.extent_tree(self.lost_found)
    }

    fn extent_tree(&self, place: Place) -> ExtentTree<'_> {
        let runs = &self.runs[place.first_run as usize..][..place.runs as usize];
        ExtentTree {
            runs,
            blocks: &self.tree_blocks[place.first_tree_block as usize..][..block_count(runs.len())],
        }
    }
}

/// The nodes of the census in the order of their blocks.
fn disk_order(tree: &Tree, census: &Census) -> Vec<u32> {
    let mut order: Vec<u32> = (0..census.nodes.len() as u32).collect();
    order.sort_by_key(|&index| match &tree.inode(census.nodes[index as usize].id).kind {
        Kind::Directory(_) => (0, None),
        Kind::File(Content::Archive(file)) => (1, Some(file.order())),
        _ => (1, None),
    });
    order
}

/// The blocks of an inode's content that need a place.
fn wanted(inode: &Inode, directory_blocks: u32) -> Vec<Range<u64>> {
    match &inode.kind {
        Kind::Directory(_) => first(directory_blocks),
        Kind::File(content) => data_blocks(content),
        Kind::Symlink(target) if !is_fast_symlink(target) => first(1),
        _ => Vec::new(),
    }
}

/// The first so many blocks of a file.
fn first(blocks: u32) -> Vec<Range<u64>> {
    std::iter::once(0..u64::from(blocks)).collect()
}

fn needs_xattr_block(inode: &Inode) -> bool {
    xattr::Placed::new(&inode.meta.xattrs).is_ok_and(|placed| placed.needs_block())
}

struct Allocator<'a> {
    cursor: Cursor<'a>,
    runs: Vec<Run>,
    tree_blocks: Vec<u32>,
}

impl<'a> Allocator<'a> {
    fn new(geometry: &'a Geometry) -> Self {
        let cursor = Cursor { fixed: &geometry.fixed, at: 0, end: u64::from(geometry.blocks) };
        Self { cursor, runs: Vec::new(), tree_blocks: Vec::new() }
    }

    /// Place these blocks of a file, and the blocks of the extent tree that finds them.
    fn place(&mut self, wanted: Vec<Range<u64>>) -> Place {
        let first_run = self.runs.len();
        for range in wanted {
            let mut logical = range.start;
            while logical < range.end {
                let found = self.cursor.take((range.end - logical).min(u64::from(EXTENT_BLOCKS_MAX)));
                let len = found.end - found.start;
                self.runs.push(Run {
                    logical: logical as u32,
                    physical: found.start as u32,
                    len: len as u32,
                });
                logical += len;
            }
        }
        let runs = self.runs.len() - first_run;
        let first_tree_block = self.tree_blocks.len();
        for _ in 0..block_count(runs) {
            let block = self.cursor.take_one();
            self.tree_blocks.push(block);
        }
        Place {
            first_run: first_run as u32,
            runs: runs as u32,
            first_tree_block: first_tree_block as u32,
            xattrs: 0,
        }
    }
}

/// Hands out the blocks between the fixed ranges. It goes on beyond the end of the disk, so that what
/// is missing comes out exact; blocks from there are never used.
struct Cursor<'a> {
    /// Fixed ranges that are still ahead.
    fixed: &'a [Range<u32>],
    at: u64,
    end: u64,
}

impl Cursor<'_> {
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

    fn missing(&self) -> u64 {
        self.at.saturating_sub(self.end)
    }
}
