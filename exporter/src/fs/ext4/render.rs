//! The bytes of the metadata, when they are wanted.
//!
//! Inode tables, bitmaps and directories are rendered from the tree and the plan each time: a plan keeps
//! some 16 bytes for a file, whatever the size of its metadata.

use zerocopy::IntoBytes;

use super::dir::Directory;
use super::extent_tree::ExtentTree;
use super::format::{BLOCK_SIZE, FIRST_INO, INODE_SIZE, Ino, Inode};
use super::plan::Ext4Plan;
use super::{inode, resize_inode, xattr};
use crate::extent::Render;

/// A part of the metadata, as it is written in the key of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
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
    /// Blocks of the extent tree of this inode, from its block `number` on.
    ExtentBlock { ino: Ino, number: u32 },
    /// The attribute block of this inode.
    Xattrs(Ino),
}

impl Piece {
    /// Kind in bits 60 to 63, block number in bits 32 to 59, group or inode in bits 0 to 31.
    pub(super) fn key(self) -> u64 {
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

impl Render for Ext4Plan {
    fn render(&self, key: u64, out: &mut [u8]) {
        match Piece::from_key(key) {
            Piece::Descriptors => {
                out[..size_of_val(&*self.descriptors)].copy_from_slice(self.descriptors.as_bytes())
            }
            Piece::Reserved => resize_inode::render_reserved(&self.geometry, out),
            Piece::DoubleIndirect => resize_inode::render_double_indirect(&self.geometry, out),
            Piece::BlockBitmap(group) => self.usage().render_block_bitmap(group, out),
            Piece::InodeBitmap(group) => self.usage().render_inode_bitmap(group, out),
            Piece::Inodes(first) => self.render_inodes(first, out),
            Piece::Directory { ino, first } => {
                self.directory(ino).render(first, self.checksum.for_inode(ino), out);
            }
            Piece::ExtentBlock { ino, number } => {
                self.render_extent_blocks(ino, number as usize, out);
            }
            Piece::Xattrs(ino) => self.render_xattrs(ino, out),
        }
    }
}

impl Ext4Plan {
    /// The inode of the journal.
    pub(super) fn journal_inode(&self) -> Inode {
        self.own_inode(0o100_600, 1, &self.allocation.own.journal)
    }

    fn own_inode(&self, mode: u16, links: u16, tree: &ExtentTree) -> Inode {
        inode::own(mode, links, self.options.created, tree)
    }

    fn render_inodes(&self, first: Ino, out: &mut [u8]) {
        for (number, slot) in (first.0..).zip(out.chunks_exact_mut(INODE_SIZE)) {
            let ino = Ino(number);
            if let Some(inode) = self.inode(ino) {
                slot.copy_from_slice(inode.seal(ino, self.checksum).as_bytes());
            }
        }
    }

    /// The inode of this number; those that are not in use are zero, and so are other reserved ones.
    fn inode(&self, ino: Ino) -> Option<Inode> {
        match ino {
            Ino::RESIZE => Some(resize_inode::inode(&self.geometry, self.allocation.own.resize)),
            Ino::JOURNAL => Some(self.journal_inode()),
            ino if Some(ino) == self.census.lost_found() => {
                Some(self.own_inode(0o040_700, 2, &self.allocation.own.lost_found))
            }
            ino if ino != Ino::ROOT && ino.0 < FIRST_INO => None,
            ino => {
                let index = self.census.index(ino)?;
                let node = &self.census.nodes[index];
                let directory_blocks = self.census.directory_node(index).map_or(0, |node| node.blocks);
                let tree_inode = self.tree.inode(node.id);
                Some(inode::from_tree(tree_inode, node.links, directory_blocks, &self.blocks(index)))
            }
        }
    }

    fn directory(&self, ino: Ino) -> Directory<'_> {
        match self.census.index(ino).and_then(|index| self.census.directory_node(index)) {
            None => Directory::lost_found(ino),
            Some(node) => {
                let directory = self.census.directory(&self.tree, node, self.hash_seed);
                directory.expect("the census has refused larger ones")
            }
        }
    }

    fn render_extent_blocks(&self, ino: Ino, first: usize, out: &mut [u8]) {
        let of_node = self.census.index(ino).map(|index| self.blocks(index).tree);
        let tree = match &of_node {
            Some(tree) => tree,
            None if ino == Ino::JOURNAL => &self.allocation.own.journal,
            None => &self.allocation.own.lost_found,
        };
        for (number, block) in (first..).zip(out.chunks_exact_mut(BLOCK_SIZE)) {
            tree.render_block(number, self.checksum.for_inode(ino), block);
        }
    }

    fn render_xattrs(&self, ino: Ino, out: &mut [u8]) {
        let index = self.census.index(ino).expect("only nodes have attributes");
        let xattrs = &self.tree.inode(self.census.nodes[index].id).meta.xattrs;
        let placed = xattr::Placed::new(xattrs).expect("the census has refused what doesn't fit");
        placed.render_block(self.blocks(index).xattrs, self.checksum, out);
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
}
