//! The plan as extents. Every byte that is not zero is in one of them.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::alloc::{Places, disk_order};
use super::extent_tree::{ExtentTree, Run};
use super::format::{BLOCK_SIZE, BLOCKS_PER_GROUP, INODES_PER_BLOCK, Ino, SUPERBLOCK_OFFSET};
use super::inode::Blocks;
use super::journal::JournalSuperblock;
use super::plan::Ext4Plan;
use super::render::Piece;
use crate::extent::{Backing, Extent, Extents, Render};
use crate::fs::Contents;
use crate::tree::{Content, InodeKind};

/// Inodes in one extent of an inode table: 1 MiB, so that tables are rendered in parallel.
const INODES_PER_EXTENT: u32 = 256 * INODES_PER_BLOCK;

/// Every extent of `plan`, as an image of `size` bytes.
pub(super) fn contents(plan: Arc<Ext4Plan>, size: u64) -> Contents {
    Contents { size, extents: Box::new(PlanExtents(plan)) }
}

/// The blocks were allocated in the order of the disk, or are sorted by it, so two sequences only have to be merged: that
/// of the metadata of groups, and that of everything between.
struct PlanExtents(Arc<Ext4Plan>);

impl Extents for PlanExtents {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let mut fixed = self.superblocks();
        fixed.extend(self.groups());
        fixed.sort_unstable_by_key(|extent| extent.offset);
        let own = self.own_files().into_iter();
        match &self.0.allocation.places {
            Places::Swept(_) => {
                let nodes = disk_order(&self.0.tree, &self.0.census).flat_map(|index| self.node(index));
                Box::new(merge(fixed.into_iter(), own.chain(nodes)))
            }
            Places::Kept(places) => {
                let parts = sorted_parts(places).into_iter();
                let nodes = parts
                    .flat_map(|(_, index, part)| self.part(index as usize, &places[index as usize], part));
                Box::new(merge(fixed.into_iter(), own.chain(nodes)))
            }
        }
    }

    /// All blocks in use, of which some that are to be zero have no extent: parts of the inode tables.
    fn used(&self) -> Option<Vec<Range<u64>>> {
        let in_bytes = |blocks: &Range<u32>| in_bytes(blocks.start)..in_bytes(blocks.end);
        Some(self.0.allocation.used.iter().map(in_bytes).collect())
    }
}

/// Blocks in a row of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// The run of this number.
    Run(u32),
    /// So many blocks of its extent tree, from this one on.
    Tree { first: u32, len: u32 },
    /// Its attributes.
    Xattrs,
}

/// The parts of a node, each with its first block.
fn parts(blocks: &Blocks) -> impl Iterator<Item = (u32, Part)> + '_ {
    let runs = (0..).zip(&blocks.tree.runs).map(|(number, run)| (run.physical, Part::Run(number)));
    let mut first = 0;
    let tree = blocks.tree.blocks.chunk_by(|block, next| block + 1 == *next).map(move |row| {
        let len = row.len() as u32;
        first += len;
        (row[0], Part::Tree { first: first - len, len })
    });
    let xattrs = (blocks.xattrs != 0).then_some((blocks.xattrs, Part::Xattrs));
    runs.chain(tree).chain(xattrs)
}

/// The parts of all nodes in the order of the disk: the first block, the node, and which part of it.
fn sorted_parts(places: &[Blocks]) -> Vec<(u32, u32, Part)> {
    let of_node = |(index, blocks)| parts(blocks).map(move |(block, part)| (block, index, part));
    let mut all: Vec<_> = (0u32..).zip(places).flat_map(of_node).collect();
    all.sort_unstable();
    all
}

/// Two sorted sequences as one.
fn merge(
    one: impl Iterator<Item = Extent>,
    other: impl Iterator<Item = Extent>,
) -> impl Iterator<Item = Extent> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second.offset < first.offset => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

fn in_bytes(block: u32) -> u64 {
    u64::from(block) * BLOCK_SIZE as u64
}

impl PlanExtents {
    fn rendered(&self, block: u32, blocks: u32, piece: Piece) -> Extent {
        let by = Arc::clone(&self.0) as Arc<dyn Render>;
        let source = Backing::Rendered { by, key: piece.key() };
        Extent { offset: in_bytes(block), len: in_bytes(blocks), source }
    }

    fn superblocks(&self) -> Vec<Extent> {
        let geometry = &self.0.geometry;
        let superblock = self.0.superblock();
        let mut extents = Vec::new();
        for group in geometry.superblock_groups() {
            let superblock = superblock.clone().seal(group);
            let start = group * BLOCKS_PER_GROUP;
            let offset = if group == 0 { SUPERBLOCK_OFFSET } else { in_bytes(start) };
            extents.push(Extent::bytes(offset, superblock.as_bytes()));
            extents.push(self.rendered(start + 1, geometry.descriptor_blocks, Piece::Descriptors));
        }
        // With a single group there are no copies to point to.
        if geometry.groups() > 1 && geometry.reserved_blocks > 0 {
            let start = 1 + geometry.descriptor_blocks;
            extents.push(self.rendered(start, geometry.reserved_blocks, Piece::Reserved));
        }
        extents
    }

    fn groups(&self) -> Vec<Extent> {
        let geometry = &self.0.geometry;
        let mut extents = Vec::new();
        for (group, tables) in (0u32..).zip(&geometry.tables) {
            if self.0.usage().has_block_bitmap(group) {
                extents.push(self.rendered(tables.block_bitmap, 1, Piece::BlockBitmap(group)));
            }
            let used = self.0.usage().inodes_reach(group);
            if used > 0 {
                extents.push(self.rendered(tables.inode_bitmap, 1, Piece::InodeBitmap(group)));
            }
            for first in (0..used).step_by(INODES_PER_EXTENT as usize) {
                let blocks = (used - first).min(INODES_PER_EXTENT).div_ceil(INODES_PER_BLOCK);
                let start = tables.inode_table + first / INODES_PER_BLOCK;
                let ino = Ino(group * geometry.inodes_per_group + first + 1);
                extents.push(self.rendered(start, blocks, Piece::Inodes(ino)));
            }
        }
        extents
    }

    fn own_files(&self) -> Vec<Extent> {
        let own = &self.0.allocation.own;
        let mut extents = vec![self.rendered(own.resize, 1, Piece::DoubleIndirect)];
        let journal = &own.journal;
        let blocks = journal.runs.iter().map(|run| run.len).sum();
        let superblock = JournalSuperblock::new(blocks, self.0.options.uuid);
        extents.push(Extent::bytes(in_bytes(journal.runs[0].physical), superblock.as_bytes()));
        extents.extend(self.extent_blocks(Ino::JOURNAL, journal));
        if let Some(ino) = self.0.census.lost_found() {
            extents.extend(own.lost_found.runs.iter().map(|run| self.directory(ino, run)));
            extents.extend(self.extent_blocks(ino, &own.lost_found));
        }
        extents
    }

    fn node(&self, index: usize) -> Vec<Extent> {
        let blocks = self.0.blocks(index);
        parts(&blocks).flat_map(|(_, part)| self.part(index, &blocks, part)).collect()
    }

    /// A part of a node that has these blocks.
    fn part(&self, index: usize, blocks: &Blocks, part: Part) -> Vec<Extent> {
        let id = self.0.census.nodes[index].id;
        let ino = self.0.census.number(id);
        match part {
            Part::Run(number) => {
                let run = &blocks.tree.runs[number as usize];
                match &self.0.tree.inode(id).kind {
                    InodeKind::File(content) => content_extents(content, run),
                    InodeKind::Symlink(target) => vec![Extent::bytes(in_bytes(run.physical), &**target)],
                    _ => vec![self.directory(ino, run)],
                }
            }
            Part::Tree { first, len } => vec![self.tree_blocks(ino, &blocks.tree, first, len)],
            Part::Xattrs => vec![self.rendered(blocks.xattrs, 1, Piece::Xattrs(ino))],
        }
    }

    fn directory(&self, ino: Ino, run: &Run) -> Extent {
        self.rendered(run.physical, run.len, Piece::Directory { ino, first: run.logical })
    }

    /// The blocks of the extent tree of a file of its own.
    fn extent_blocks(&self, ino: Ino, tree: &ExtentTree) -> Vec<Extent> {
        let blocks = Blocks { tree: tree.clone(), xattrs: 0 };
        let of_part = |(_, part)| match part {
            Part::Tree { first, len } => Some(self.tree_blocks(ino, tree, first, len)),
            Part::Run(_) | Part::Xattrs => None,
        };
        parts(&blocks).filter_map(of_part).collect()
    }

    fn tree_blocks(&self, ino: Ino, tree: &ExtentTree, first: u32, len: u32) -> Extent {
        self.rendered(tree.blocks[first as usize], len, Piece::ExtentBlock { ino, number: first })
    }
}

fn content_extents(content: &Content, run: &Run) -> Vec<Extent> {
    let start = in_bytes(run.logical);
    let end = content.len().min(start + in_bytes(run.len));
    Extent::of_range(content, start..end, in_bytes(run.physical))
}
