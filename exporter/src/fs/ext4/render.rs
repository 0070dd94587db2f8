//! The plan as extents, and their bytes when they are wanted.
//!
//! Inode tables, bitmaps and directories are rendered from the tree and the plan each time: a plan keeps
//! some 50 bytes for a file, whatever the size of its metadata.

use std::ops::Range;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::alloc::Allocation;
use super::dir::Directory;
use super::extent_tree::{ExtentTree, Run};
use super::format::{
    BLOCK_SIZE, BLOCKS_PER_GROUP, FIRST_INO, INODE_SIZE, INODES_PER_BLOCK, Ino, Inode, SUPERBLOCK_OFFSET,
};
use super::inode::is_fast_symlink;
use super::journal::JournalSuperblock;
use super::plan::Plan;
use super::{inode, resize_inode, xattr};
use crate::extent::{Extent, Render, Source};
use crate::fs::Layout;
use crate::tree::{Content, Kind};

/// Inodes in one extent of an inode table: 1 MiB, so that tables are rendered in parallel.
const INODES_PER_EXTENT: u32 = 256 * INODES_PER_BLOCK;

/// A part of the metadata, as it is written in the key of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// All group descriptors.
    Descriptors,
    /// The blocks reserved behind the first descriptors.
    Reserved,
    /// The double-indirect block of the resize inode.
    DoubleIndirect,
    /// The block bitmap of this group.
    BlockBitmap(u32),
    /// The inode bitmap of this group.
    InodeBitmap(u32),
    /// Part of the inode table, from this inode on.
    Inodes(Ino),
    /// Blocks of this directory, from its block `first` on.
    Directory { ino: Ino, first: u32 },
    /// Block `number` of the extent tree of this inode.
    ExtentBlock { ino: Ino, number: u32 },
    /// The attribute block of this inode.
    Xattrs(Ino),
}

impl Piece {
    /// Kind in bits 60 to 63, block number in bits 32 to 59, group or inode in bits 0 to 31.
    fn key(self) -> u64 {
        let (kind, number, of) = match self {
            Self::Descriptors => (0, 0, 0),
            Self::Reserved => (1, 0, 0),
            Self::DoubleIndirect => (2, 0, 0),
            Self::BlockBitmap(group) => (3, 0, group),
            Self::InodeBitmap(group) => (4, 0, group),
            Self::Inodes(first) => (5, 0, first.0),
            Self::Directory { ino, first } => (6, first, ino.0),
            Self::ExtentBlock { ino, number } => (7, number, ino.0),
            Self::Xattrs(ino) => (8, 0, ino.0),
        };
        kind << 60 | u64::from(number) << 32 | u64::from(of)
    }

    fn from_key(key: u64) -> Self {
        let of = key as u32;
        let number = (key >> 32) as u32 & 0x0fff_ffff;
        match key >> 60 {
            0 => Self::Descriptors,
            1 => Self::Reserved,
            2 => Self::DoubleIndirect,
            3 => Self::BlockBitmap(of),
            4 => Self::InodeBitmap(of),
            5 => Self::Inodes(Ino(of)),
            6 => Self::Directory { ino: Ino(of), first: number },
            7 => Self::ExtentBlock { ino: Ino(of), number },
            _ => Self::Xattrs(Ino(of)),
        }
    }
}

impl Render for Plan {
    fn render(&self, key: u64, out: &mut [u8]) {
        match Piece::from_key(key) {
            Piece::Descriptors => {
                out[..size_of_val(&*self.descriptors)].copy_from_slice(self.descriptors.as_bytes())
            }
            Piece::Reserved => resize_inode::render_reserved(&self.geometry, out),
            Piece::DoubleIndirect => resize_inode::render_double_indirect(&self.geometry, out),
            Piece::BlockBitmap(group) => self.render_block_bitmap(group, out),
            Piece::InodeBitmap(group) => self.render_inode_bitmap(group, out),
            Piece::Inodes(first) => self.render_inodes(first, out),
            Piece::Directory { ino, first } => {
                self.directory(ino).render(first, self.checksum.for_inode(ino), out);
            }
            Piece::ExtentBlock { ino, number } => {
                let tree = self.extent_tree(ino);
                tree.render_block(number as usize, self.checksum.for_inode(ino), out);
            }
            Piece::Xattrs(ino) => self.render_xattrs(ino, out),
        }
    }
}

impl Plan {
    /// Every extent of an image of `size` bytes.
    pub(super) fn into_layout(self, size: u64) -> Layout {
        let plan = Arc::new(self);
        let mut writer = Writer { plan: &plan, extents: Vec::new() };
        writer.superblocks();
        writer.groups();
        writer.own_files();
        writer.nodes();
        let mut extents = writer.extents;
        extents.sort_unstable_by_key(|extent| extent.offset);
        Layout { size, extents }
    }

    /// Bits of blocks in use; those behind the end of the last group count as such.
    pub(super) fn render_block_bitmap(&self, group: u32, out: &mut [u8]) {
        let blocks = self.geometry.group_blocks(group);
        let mut set = |range: Range<u32>| {
            let start = range.start.max(blocks.start) - blocks.start;
            let end = range.end.clamp(blocks.start, blocks.end) - blocks.start;
            set_bits(out, start..end);
        };
        set(0..self.allocation.end);
        self.geometry.fixed_in(&blocks).cloned().for_each(&mut set);
        set_bits(out, blocks.len() as u32..BLOCKS_PER_GROUP);
    }

    /// Bits of inodes in use; those the group has no inodes for count as such.
    pub(super) fn render_inode_bitmap(&self, group: u32, out: &mut [u8]) {
        set_bits(out, 0..self.used_inodes(group));
        set_bits(out, self.geometry.inodes_per_group..BLOCKS_PER_GROUP);
    }

    /// The inode of the journal.
    pub(super) fn journal_inode(&self) -> Inode {
        self.own_inode(0o100_600, 1, self.allocation.journal())
    }

    fn own_inode(&self, mode: u16, links: u16, tree: ExtentTree) -> Inode {
        inode::own(mode, links, self.options.created, tree)
    }

    fn render_inodes(&self, first: Ino, out: &mut [u8]) {
        for (number, slot) in (first.0..=self.census.last_ino().0).zip(out.chunks_exact_mut(INODE_SIZE)) {
            let ino = Ino(number);
            if let Some(inode) = self.inode(ino) {
                slot.copy_from_slice(inode.seal(ino, self.checksum).as_bytes());
            }
        }
    }

    /// The inode of this number; the other reserved ones are zero.
    fn inode(&self, ino: Ino) -> Option<Inode> {
        match ino {
            Ino::RESIZE => Some(resize_inode::inode(&self.geometry, self.allocation.resize)),
            Ino::JOURNAL => Some(self.journal_inode()),
            ino if Some(ino) == self.census.lost_found() => {
                Some(self.own_inode(0o040_700, 2, self.allocation.lost_found()))
            }
            ino if ino != Ino::ROOT && ino.0 < FIRST_INO => None,
            ino => {
                let index = self.census.index(ino).expect("every other number is a node's");
                let node = &self.census.nodes[index];
                let blocks = self.allocation.node(index);
                Some(inode::from_tree(self.tree.inode(node.id), node.links, node.directory_blocks, &blocks))
            }
        }
    }

    fn directory(&self, ino: Ino) -> Directory<'_> {
        match self.census.index(ino) {
            None => Directory::lost_found(ino),
            Some(index) => {
                let directory = self.census.directory(&self.tree, &self.census.nodes[index], self.hash_seed);
                directory.expect("the census has refused larger ones")
            }
        }
    }

    fn extent_tree(&self, ino: Ino) -> ExtentTree<'_> {
        match self.census.index(ino) {
            Some(index) => self.allocation.node(index).tree,
            None if ino == Ino::JOURNAL => self.allocation.journal(),
            None => self.allocation.lost_found(),
        }
    }

    fn render_xattrs(&self, ino: Ino, out: &mut [u8]) {
        let index = self.census.index(ino).expect("only nodes have attributes");
        let xattrs = &self.tree.inode(self.census.nodes[index].id).meta.xattrs;
        let placed = xattr::Placed::new(xattrs).expect("the census has refused what doesn't fit");
        placed.render_block(self.allocation.node(index).xattrs, self.checksum, out);
    }
}

/// Set a range of bits; bit 0 of byte 0 is the first.
fn set_bits(out: &mut [u8], bits: Range<u32>) {
    let Range { mut start, end } = bits;
    while start < end {
        let (byte, bit) = (start as usize / 8, start % 8);
        if bit == 0 && end - start >= 8 {
            let whole = (end - start) / 8;
            out[byte..byte + whole as usize].fill(0xff);
            start += 8 * whole;
        } else {
            out[byte] |= 1 << bit;
            start += 1;
        }
    }
}

fn in_bytes(block: u32) -> u64 {
    u64::from(block) * BLOCK_SIZE as u64
}

/// Collects the extents of a plan.
struct Writer<'a> {
    plan: &'a Arc<Plan>,
    extents: Vec<Extent>,
}

impl Writer<'_> {
    fn render(&mut self, block: u32, blocks: u32, piece: Piece) {
        let by = Arc::clone(self.plan) as Arc<dyn Render>;
        let source = Source::Rendered { by, key: piece.key() };
        self.extents.push(Extent { offset: in_bytes(block), len: in_bytes(blocks), source });
    }

    fn superblocks(&mut self) {
        let geometry = &self.plan.geometry;
        for group in geometry.superblock_groups() {
            let superblock = self.plan.superblock.clone().seal(group);
            let start = group * BLOCKS_PER_GROUP;
            let offset = if group == 0 { SUPERBLOCK_OFFSET } else { in_bytes(start) };
            self.extents.push(Extent::bytes(offset, superblock.as_bytes()));
            self.render(start + 1, geometry.descriptor_blocks, Piece::Descriptors);
        }
        // With a single group there are no copies to point to.
        if geometry.groups() > 1 && geometry.reserved_blocks > 0 {
            self.render(1 + geometry.descriptor_blocks, geometry.reserved_blocks, Piece::Reserved);
        }
    }

    fn groups(&mut self) {
        let geometry = &self.plan.geometry;
        for (group, tables) in (0u32..).zip(&geometry.tables) {
            let flags = self.plan.descriptors[group as usize].bg_flags.get();
            if flags & super::format::BG_BLOCK_UNINIT == 0 {
                self.render(tables.block_bitmap, 1, Piece::BlockBitmap(group));
            }
            let used = self.plan.used_inodes(group);
            if used > 0 {
                self.render(tables.inode_bitmap, 1, Piece::InodeBitmap(group));
            }
            for first in (0..used).step_by(INODES_PER_EXTENT as usize) {
                let blocks = (used - first).min(INODES_PER_EXTENT).div_ceil(INODES_PER_BLOCK);
                let ino = Ino(group * geometry.inodes_per_group + first + 1);
                self.render(tables.inode_table + first / INODES_PER_BLOCK, blocks, Piece::Inodes(ino));
            }
        }
    }

    fn own_files(&mut self) {
        let Allocation { resize, .. } = self.plan.allocation;
        self.render(resize, 1, Piece::DoubleIndirect);
        let journal = self.plan.allocation.journal();
        let blocks = journal.runs.iter().map(|run| run.len).sum();
        let superblock = JournalSuperblock::new(blocks, self.plan.options.uuid);
        self.extents.push(Extent::bytes(in_bytes(journal.runs[0].physical), superblock.as_bytes()));
        self.extent_blocks(Ino::JOURNAL, journal);
        if let Some(ino) = self.plan.census.lost_found() {
            let tree = self.plan.allocation.lost_found();
            self.directory(ino, tree);
            self.extent_blocks(ino, tree);
        }
    }

    fn nodes(&mut self) {
        for (index, node) in self.plan.census.nodes.iter().enumerate() {
            let blocks = self.plan.allocation.node(index);
            let ino = self.plan.census.number(node.id);
            match &self.plan.tree.inode(node.id).kind {
                Kind::Directory(_) => self.directory(ino, blocks.tree),
                Kind::File(content) => self.content(content, blocks.tree.runs),
                Kind::Symlink(target) if !is_fast_symlink(target) => {
                    self.extents.push(Extent::bytes(in_bytes(blocks.tree.runs[0].physical), &**target));
                }
                _ => {}
            }
            self.extent_blocks(ino, blocks.tree);
            if blocks.xattrs != 0 {
                self.render(blocks.xattrs, 1, Piece::Xattrs(ino));
            }
        }
    }

    fn directory(&mut self, ino: Ino, tree: ExtentTree) {
        for run in tree.runs {
            self.render(run.physical, run.len, Piece::Directory { ino, first: run.logical });
        }
    }

    fn extent_blocks(&mut self, ino: Ino, tree: ExtentTree) {
        for (number, &block) in (0u32..).zip(tree.blocks) {
            self.render(block, 1, Piece::ExtentBlock { ino, number });
        }
    }

    fn content(&mut self, content: &Content, runs: &[Run]) {
        for run in runs {
            let start = in_bytes(run.logical);
            let len = in_bytes(run.len).min(content.len() - start);
            let source = match content {
                Content::Host(file) => Source::File { file: Arc::clone(file), offset: start },
                Content::Bytes(bytes) if len == content.len() => Source::Bytes(Arc::clone(bytes)),
                Content::Bytes(bytes) => Source::Bytes(bytes[start as usize..][..len as usize].into()),
            };
            self.extents.push(Extent { offset: in_bytes(run.physical), len, source });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_what_they_name() {
        let ino = Ino(u32::MAX);
        for piece in [
            Piece::Descriptors,
            Piece::Reserved,
            Piece::DoubleIndirect,
            Piece::BlockBitmap(131_071),
            Piece::InodeBitmap(131_071),
            Piece::Inodes(ino),
            Piece::Directory { ino, first: 0x0fff_ffff },
            Piece::ExtentBlock { ino, number: 0x0fff_ffff },
            Piece::Xattrs(ino),
        ] {
            assert_eq!(Piece::from_key(piece.key()), piece);
        }
    }

    #[test]
    fn bits_are_set_where_the_range_says() {
        for (range, bytes) in
            [(0..3, [7, 0, 0]), (3..3, [0, 0, 0]), (6..18, [0xc0, 0xff, 3]), (0..24, [0xff; 3])]
        {
            let mut out = [0; 3];
            set_bits(&mut out, range);
            assert_eq!(out, bytes);
        }
    }
}
