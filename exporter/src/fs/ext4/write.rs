//! The plan as extents. Every byte that is not zero is in one of them.

use std::sync::Arc;

use zerocopy::IntoBytes;

use super::extent_tree::{ExtentTree, Run};
use super::format::{BLOCK_SIZE, BLOCKS_PER_GROUP, INODES_PER_BLOCK, Ino, SUPERBLOCK_OFFSET};
use super::inode::is_fast_symlink;
use super::journal::JournalSuperblock;
use super::plan::Plan;
use super::render::Piece;
use crate::extent::{Extent, Render, Source};
use crate::fs::Layout;
use crate::tree::{Content, Kind};

/// Inodes in one extent of an inode table: 1 MiB, so that tables are rendered in parallel.
const INODES_PER_EXTENT: u32 = 256 * INODES_PER_BLOCK;

/// Every extent of `plan`, as an image of `size` bytes.
pub(super) fn layout(plan: Plan, size: u64) -> Layout {
    let plan = Arc::new(plan);
    let mut writer = Writer { plan: &plan, extents: Vec::new() };
    writer.superblocks();
    writer.groups();
    writer.own_files();
    writer.nodes();
    let mut extents = writer.extents;
    extents.sort_unstable_by_key(|extent| extent.offset);
    Layout { size, extents }
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
        let superblock = self.plan.superblock();
        for group in geometry.superblock_groups() {
            let superblock = superblock.clone().seal(group);
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
            if self.plan.usage().has_block_bitmap(group) {
                self.render(tables.block_bitmap, 1, Piece::BlockBitmap(group));
            }
            let used = self.plan.usage().inodes(group);
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
        self.render(self.plan.allocation.resize, 1, Piece::DoubleIndirect);
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
                Content::Archive(file) => {
                    self.extents.extend(file.extents(start..start + len, in_bytes(run.physical)));
                    continue;
                }
                Content::Host(file) => Source::File { file: file.clone(), offset: start },
                Content::Bytes(bytes) if len == content.len() => Source::Bytes(Arc::clone(bytes)),
                Content::Bytes(bytes) => Source::Bytes(bytes[start as usize..][..len as usize].into()),
            };
            self.extents.push(Extent { offset: in_bytes(run.physical), len, source });
        }
    }
}
