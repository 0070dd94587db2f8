//! The bytes of the metadata, when they are wanted.
//!
//! Inodes and directories are rendered from the tree and the plan each time: a plan keeps 20 bytes for a file, whatever
//! the size of its metadata, and of one that is compressed some more and a byte for each extent.

use super::clusters::Clusters;
use super::directory::{self, Directory};
use super::format::{BLOCK_SIZE, SLOT_SIZE, file_type};
use super::inode::{Data, Record};
use super::plan::Plan;
use crate::extent::Render;
use crate::tree::{Content, InodeId, InodeKind};

/// Metadata are rendered in parts of so many bytes or a little more, in parallel.
pub(super) const PART: u64 = 64 << 10;

/// A part of the metadata, as it is written in the key of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Inodes from this node on, with what lies behind them.
    Inodes(usize),
    /// The whole blocks of the directory that this node is.
    Directory(usize),
    /// Of the indexes of the compressed file that this node is, those in a part.
    Indexes(usize, u64),
}

/// Bits of a key for a node; above them are 30 for a part, and the kind.
const NODE_BITS: u32 = 32;
const KIND_SHIFT: u32 = 62;

impl Piece {
    /// The kind, the part and the node.
    pub(super) fn key(self) -> u64 {
        let (kind, part, node) = match self {
            Self::Inodes(first) => (0, 0, first),
            Self::Directory(index) => (1, 0, index),
            Self::Indexes(index, part) => (2, part, index),
        };
        kind << KIND_SHIFT | part << NODE_BITS | node as u64
    }

    fn from_key(key: u64) -> Self {
        let node = key as u32 as usize;
        match key >> KIND_SHIFT {
            0 => Self::Inodes(node),
            1 => Self::Directory(node),
            _ => Self::Indexes(node, (key & !(3 << KIND_SHIFT)) >> NODE_BITS),
        }
    }
}

/// Whether indexes are too many to be rendered with their inode.
pub(super) fn is_in_parts(clusters: &Clusters) -> bool {
    clusters.indexes_len() > PART
}

/// Whether a content is written with its inode; all others are read when the image is written.
pub(super) fn is_rendered(content: &Content) -> bool {
    matches!(content, Content::Bytes(_))
}

impl Render for Plan {
    fn render(&self, key: u64, out: &mut [u8]) {
        match Piece::from_key(key) {
            Piece::Inodes(first) => self.render_inodes(first, out),
            Piece::Directory(index) => {
                let directory = self.directory(self.nodes[index].id);
                for (entries, block) in directory.blocks().zip(out.chunks_exact_mut(BLOCK_SIZE)) {
                    self.render_entries(entries, block);
                }
            }
            Piece::Indexes(index, part) => {
                if let Data::Packed(clusters) = self.record(index).data {
                    clusters.render(self.nodes[index].block, part * PART, out);
                }
            }
        }
    }
}

impl Plan {
    fn render_inodes(&self, first: usize, out: &mut [u8]) {
        let start = self.nodes[first].slot;
        for (index, node) in self.nodes.iter().enumerate().skip(first) {
            let at = (node.slot - start) as usize * SLOT_SIZE;
            let Some(out) = out.get_mut(at..).filter(|out| !out.is_empty()) else { break };
            let record = self.record(index);
            let (head, behind) = out.split_at_mut(record.behind());
            let head = &mut head[..record.head_len()];
            record.render_head(self.tree.inode(node.id), node.block, index as u32 + 1, head);
            self.render_behind(index, &record, behind);
        }
    }

    /// What lies behind an inode, unless it is read from elsewhere or has parts of its own.
    fn render_behind(&self, index: usize, record: &Record, out: &mut [u8]) {
        let node = &self.nodes[index];
        match (&record.data, &self.tree.inode(node.id).kind) {
            (Data::Chunked(chunks), _) => {
                chunks.render(node.block, &mut out[..chunks.addresses_len() as usize]);
            }
            (Data::Packed(clusters), _) if !is_in_parts(clusters) => {
                clusters.render(node.block, 0, &mut out[..clusters.indexes_len() as usize]);
            }
            (&Data::Flat { blocks, tail }, InodeKind::Directory(_)) => {
                let directory = self.directory(node.id);
                if let Some(last) = directory.blocks().nth(blocks as usize) {
                    self.render_entries(last, &mut out[..tail]);
                }
            }
            (Data::Flat { tail, .. }, InodeKind::Symlink(target)) => {
                out[..*tail].copy_from_slice(&target[target.len() - tail..]);
            }
            (Data::Flat { tail, .. }, InodeKind::File(Content::Bytes(bytes))) => {
                out[..*tail].copy_from_slice(&bytes[bytes.len() - tail..]);
            }
            _ => {}
        }
    }

    fn directory(&self, id: InodeId) -> Directory<'_> {
        Directory::new(&self.tree, id, self.parents[&id])
    }

    fn render_entries(&self, entries: &[directory::Entry<'_>], out: &mut [u8]) {
        directory::render(entries, |id| (self.slot(id), file_type(&self.tree.inode(id).kind)), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_what_they_name() {
        let last = u32::MAX as usize;
        for piece in [
            Piece::Inodes(0),
            Piece::Inodes(last),
            Piece::Directory(last),
            Piece::Indexes(last, 0),
            Piece::Indexes(0, (1 << 30) - 1),
        ] {
            assert_eq!(Piece::from_key(piece.key()), piece);
        }
    }
}
