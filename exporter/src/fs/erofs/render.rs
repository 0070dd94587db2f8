//! The bytes of the metadata, when they are wanted.
//!
//! Inodes and directories are rendered from the tree and the plan each time: a plan keeps 20 bytes for a file, whatever
//! the size of its metadata.

use super::directory::{self, Directory};
use super::format::{BLOCK_SIZE, SLOT_SIZE, file_type};
use super::inode::{Data, Record};
use super::plan::Plan;
use crate::extent::Render;
use crate::tree::{Content, InodeId, InodeKind};

/// A part of the metadata, as it is written in the key of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Inodes from this node on, with what lies behind them.
    Inodes(usize),
    /// The whole blocks of the directory that this node is.
    Directory(usize),
}

impl Piece {
    /// The node, and the kind in the highest bit.
    pub(super) fn key(self) -> u64 {
        match self {
            Self::Inodes(first) => first as u64,
            Self::Directory(index) => 1 << 63 | index as u64,
        }
    }

    fn from_key(key: u64) -> Self {
        match key >> 63 {
            0 => Self::Inodes(key as usize),
            _ => Self::Directory((key & !(1 << 63)) as usize),
        }
    }
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
            let (head, behind) = out.split_at_mut(record.head_len());
            record.render_head(self.tree.inode(node.id), node.block, index as u32 + 1, head);
            self.render_behind(index, &record, behind);
        }
    }

    /// What lies behind an inode, unless it is read from elsewhere.
    fn render_behind(&self, index: usize, record: &Record, out: &mut [u8]) {
        let node = &self.nodes[index];
        match (&record.data, &self.tree.inode(node.id).kind) {
            (Data::Chunked(chunks), _) => {
                chunks.render(node.block, &mut out[..chunks.addresses_len() as usize]);
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
        for piece in [Piece::Inodes(0), Piece::Inodes(u32::MAX as usize), Piece::Directory(u32::MAX as usize)]
        {
            assert_eq!(Piece::from_key(piece.key()), piece);
        }
    }
}
