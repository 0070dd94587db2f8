//! Directories: a list of entries while it fits one block, a hash tree beyond that.
//!
//! See [directory.rst](https://docs.kernel.org/filesystems/ext4/directory.html).

use std::mem::size_of;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use super::csum::Crc32c;
use super::format::{BLOCK_SIZE, DIR_TAIL_FILE_TYPE, DirEntry2, DirEntryTail, Ino};
use super::htree::HashTree;
use crate::tree::InodeKind;

/// Bytes for entries in a block.
pub(super) const ENTRIES_ROOM: usize = BLOCK_SIZE - size_of::<DirEntryTail>();
/// Blocks of the directory that e2fsck puts lost files in; it cannot allocate more when it needs them.
pub(super) const LOST_FOUND_BLOCKS: u32 = 4;

/// An entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) ino: Ino,
    pub(super) file_type: FileType,
}

/// What an entry says its inode is (`file_type`).
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum FileType {
    Regular = 1,
    Directory = 2,
    CharDevice = 3,
    BlockDevice = 4,
    Fifo = 5,
    Socket = 6,
    Symlink = 7,
}

impl From<&InodeKind> for FileType {
    fn from(kind: &InodeKind) -> Self {
        match kind {
            InodeKind::Directory(_) => Self::Directory,
            InodeKind::File(_) => Self::Regular,
            InodeKind::Symlink(_) => Self::Symlink,
            InodeKind::Fifo => Self::Fifo,
            InodeKind::Socket => Self::Socket,
            InodeKind::CharDevice(_) => Self::CharDevice,
            InodeKind::BlockDevice(_) => Self::BlockDevice,
        }
    }
}

/// A directory, its entries put into blocks.
pub(super) struct Directory<'a> {
    dots: [Entry<'a>; 2],
    shape: Shape<'a>,
}

enum Shape<'a> {
    /// All in the first of so many blocks.
    Linear {
        entries: Vec<Entry<'a>>,
        blocks: u32,
    },
    Hashed(HashTree<'a>),
}

impl<'a> Directory<'a> {
    /// The directory `ino` in `parent` with these entries, `.` and `..` not among them; `None` if they
    /// are too many.
    pub(super) fn new(ino: Ino, parent: Ino, entries: Vec<Entry<'a>>, hash_seed: [u32; 4]) -> Option<Self> {
        let dots = dots(ino, parent);
        let size: usize = dots.iter().chain(&entries).map(Entry::size).sum();
        let shape = if size <= ENTRIES_ROOM {
            Shape::Linear { entries, blocks: 1 }
        } else {
            Shape::Hashed(HashTree::new(entries, hash_seed)?)
        };
        Some(Self { dots, shape })
    }

    /// An empty `lost+found` in the root directory.
    pub(super) fn lost_found(ino: Ino) -> Self {
        let shape = Shape::Linear { entries: Vec::new(), blocks: LOST_FOUND_BLOCKS };
        Self { dots: dots(ino, Ino::ROOT), shape }
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> u32 {
        match &self.shape {
            Shape::Linear { blocks, .. } => *blocks,
            Shape::Hashed(tree) => tree.blocks(),
        }
    }

    /// Fill whole blocks from block `first` of the directory on; `inode` begins their checksums.
    pub(super) fn render(&self, first: u32, inode: Crc32c, out: &mut [u8]) {
        for (number, block) in (first..).zip(out.chunks_exact_mut(BLOCK_SIZE)) {
            match &self.shape {
                Shape::Linear { entries, .. } if number == 0 => {
                    write_block(self.dots.iter().chain(entries), inode, block);
                }
                Shape::Linear { .. } => write_block([].iter(), inode, block),
                Shape::Hashed(tree) => tree.render_block(number, &self.dots, inode, block),
            }
        }
    }
}

fn dots<'a>(ino: Ino, parent: Ino) -> [Entry<'a>; 2] {
    let file_type = FileType::Directory;
    [Entry { name: b".", ino, file_type }, Entry { name: b"..", ino: parent, file_type }]
}

impl Entry<'_> {
    /// Bytes it takes, its name filled up to whole words.
    pub(super) fn size(&self) -> usize {
        size_of::<DirEntry2>() + self.name.len().next_multiple_of(4)
    }

    /// Write it as an entry that reaches `rec_len` bytes far.
    pub(super) fn write(&self, rec_len: usize, out: &mut [u8]) {
        let head = DirEntry2 {
            inode: U32::new(self.ino.0),
            rec_len: U16::new(rec_len as u16),
            name_len: self.name.len() as u8,
            file_type: self.file_type as u8,
        };
        out[..size_of::<DirEntry2>()].copy_from_slice(head.as_bytes());
        out[size_of::<DirEntry2>()..][..self.name.len()].copy_from_slice(self.name);
    }
}

/// A block of entries, the last of which reaches to the checksum at the end.
pub(super) fn write_block<'a>(entries: impl Iterator<Item = &'a Entry<'a>>, inode: Crc32c, block: &mut [u8]) {
    let mut entries = entries.peekable();
    let mut at = 0;
    if entries.peek().is_none() {
        let unused =
            DirEntry2 { inode: U32::ZERO, rec_len: U16::new(ENTRIES_ROOM as u16), name_len: 0, file_type: 0 };
        block[..size_of::<DirEntry2>()].copy_from_slice(unused.as_bytes());
    }
    while let Some(entry) = entries.next() {
        let rec_len = if entries.peek().is_some() { entry.size() } else { ENTRIES_ROOM - at };
        entry.write(rec_len, &mut block[at..]);
        at += rec_len;
    }
    let (covered, tail) = block.split_at_mut(ENTRIES_ROOM);
    let checksum = DirEntryTail {
        det_reserved_zero1: U32::ZERO,
        det_rec_len: U16::new(size_of::<DirEntryTail>() as u16),
        det_reserved_zero2: 0,
        det_reserved_ft: DIR_TAIL_FILE_TYPE,
        det_checksum: U32::new(inode.with(covered).value()),
    };
    tail.copy_from_slice(checksum.as_bytes());
}
