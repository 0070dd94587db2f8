//! The plan as extents. Every byte that is not zero is in one of them.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use super::clusters::{Clusters, Stored};
use super::format::{BLOCK_SIZE, SLOT_SIZE, SUPERBLOCK_OFFSET};
use super::inode::{Data, Record};
use super::plan::Plan;
use super::render::{PART, Piece, is_in_parts, is_rendered};
use crate::extent::{Backing, Extent, Extents, Render};
use crate::fs::Contents;
use crate::tree::{Content, InodeKind};

/// Every extent of `plan`, as an image of `size` bytes.
pub(super) fn contents(plan: Arc<Plan>, size: u64) -> Contents {
    Contents { size, extents: Box::new(PlanExtents(plan)) }
}

struct PlanExtents(Arc<Plan>);

impl Extents for PlanExtents {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let superblock = Extent::bytes(SUPERBLOCK_OFFSET as u64, self.0.superblock());
        let (block, area) = self.0.shared_area();
        let shared = (!area.is_empty()).then(|| Extent::bytes(in_bytes(block), area));
        let blocks = self.0.disk_order().flat_map(|index| self.blocks(index));
        Box::new(iter::once(superblock).chain(self.inodes()).chain(shared).chain(blocks))
    }
}

fn in_bytes(block: u32) -> u64 {
    u64::from(block) * BLOCK_SIZE as u64
}

impl PlanExtents {
    fn rendered(&self, offset: u64, len: u64, piece: Piece) -> Extent {
        let by = Arc::clone(&self.0) as Arc<dyn Render>;
        Extent { offset, len, source: Backing::Rendered { by, key: piece.key() } }
    }

    /// All inodes with what lies behind them.
    fn inodes(&self) -> impl Iterator<Item = Extent> + '_ {
        let mut next = 0;
        let pieces = iter::from_fn(move || {
            (next < self.0.nodes.len()).then(|| {
                let (piece, after) = self.inodes_from(next);
                next = after;
                piece
            })
        });
        pieces.flatten()
    }

    /// Those from node `first` on up to one with something behind it that is no part of this piece, and the node behind them.
    fn inodes_from(&self, first: usize) -> (Vec<Extent>, usize) {
        let start = self.offset(first);
        let mut end = start;
        for index in first..self.0.nodes.len() {
            let record = self.0.record(index);
            let head_end = self.offset(index) + record.behind() as u64;
            if let Some(tail) = self.tail(index, &record, head_end) {
                let heads = self.rendered(start, head_end - start, Piece::Inodes(first));
                return (iter::once(heads).chain(tail).collect(), index + 1);
            }
            end = self.offset(index) + record.len();
            if end - start >= PART {
                return (vec![self.rendered(start, end - start, Piece::Inodes(first))], index + 1);
            }
        }
        (vec![self.rendered(start, end - start, Piece::Inodes(first))], self.0.nodes.len())
    }

    fn offset(&self, index: usize) -> u64 {
        u64::from(self.0.nodes[index].slot) * SLOT_SIZE as u64
    }

    /// What lies behind an inode, if it is read from elsewhere or rendered in parts.
    fn tail(&self, index: usize, record: &Record, offset: u64) -> Option<Vec<Extent>> {
        match (&self.0.tree.inode(self.0.nodes[index].id).kind, &record.data) {
            (InodeKind::File(content), &Data::Flat { blocks, tail: 1.. }) if !is_rendered(content) => {
                Some(Extent::of_range(content, blocks * BLOCK_SIZE as u64..content.len(), offset))
            }
            (_, Data::Packed(clusters)) if is_in_parts(clusters) => {
                let len = clusters.indexes_len();
                let part = |start: u64| {
                    let piece = Piece::Indexes(index, start / PART);
                    self.rendered(offset + start, PART.min(len - start), piece)
                };
                Some((0..len).step_by(PART as usize).map(part).collect())
            }
            _ => None,
        }
    }

    /// The blocks of a node.
    fn blocks(&self, index: usize) -> Vec<Extent> {
        let node = &self.0.nodes[index];
        let start = in_bytes(node.block);
        match (&self.0.tree.inode(node.id).kind, &self.0.record(index).data) {
            (_, Data::Device(_) | Data::Flat { blocks: 0, .. }) => Vec::new(),
            (InodeKind::File(content), Data::Flat { blocks, .. }) => {
                let end = content.len().min(blocks * BLOCK_SIZE as u64);
                Extent::of_range(content, 0..end, start)
            }
            (InodeKind::File(content), Data::Chunked(chunks)) => data(content, chunks.data_blocks(), start),
            (InodeKind::File(content), Data::Packed(clusters)) => self.packed(content, clusters, start),
            (InodeKind::Symlink(target), _) => vec![Extent::bytes(start, &**target)],
            (_, Data::Flat { blocks, .. }) => {
                vec![self.rendered(start, blocks * BLOCK_SIZE as u64, Piece::Directory(index))]
            }
            (_, Data::Chunked(_) | Data::Packed(_)) => Vec::new(),
        }
    }

    /// The extents of a compressed file, from `offset` on.
    fn packed(&self, content: &Content, clusters: &Clusters, offset: u64) -> Vec<Extent> {
        let extents = clusters.stored().flat_map(|(block, stored)| {
            let offset = offset + block * BLOCK_SIZE as u64;
            match (stored, &self.0.packed) {
                (Stored::Plain(range), _) => Extent::of_range(content, range, offset),
                (Stored::Packed(range), Some(packed)) => {
                    let source = Backing::Image { image: Arc::clone(&packed.image), offset: range.start };
                    vec![Extent { offset, len: range.end - range.start, source }]
                }
                (Stored::Packed(_), None) => Vec::new(),
            }
        });
        extents.collect()
    }
}

/// Blocks of a file, one range behind the other from `offset` on; holes in them give none.
fn data(content: &Content, blocks: impl Iterator<Item = Range<u64>>, mut offset: u64) -> Vec<Extent> {
    // Each lies in one of the ranges of blocks, which were made of them.
    let mut data = content.data_ranges().into_iter().peekable();
    let mut extents = Vec::new();
    for blocks in blocks {
        let [start, end] = [blocks.start, blocks.end].map(|block| block * BLOCK_SIZE as u64);
        while let Some(range) = data.next_if(|range| range.start < end) {
            let at = offset + (range.start - start);
            extents.extend(Extent::of_range(content, range.start..range.end.min(content.len()), at));
        }
        offset += end - start;
    }
    extents
}
