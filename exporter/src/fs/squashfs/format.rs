//! The structures of a squashfs 4.0 as they lie on disk, all little endian.
//!
//! Names and offsets are those of the kernel's `fs/squashfs/squashfs_fs.h`.

use std::mem::size_of;

use zerocopy::byteorder::little_endian::{I16, U16, U32, U64};
use zerocopy::{Immutable, IntoBytes, KnownLayout, Unaligned};

use super::metadata::Position;
use super::{BLOCK, File};

/// `SQUASHFS_MAGIC`, [`SIGNATURE`](super::SIGNATURE).
const MAGIC: u32 = 0x7371_7368;
/// `ZSTD_COMPRESSION`; read by Linux 4.14 and later.
const ZSTD: u16 = 6;
/// `SQUASHFS_NO_FRAG` and `SQUASHFS_NO_XATTR`, as bits.
const FLAGS: u16 = 1 << 4 | 1 << 9;
/// The address of a table that is not there (`SQUASHFS_INVALID_BLK`).
const NO_TABLE: u64 = u64::MAX;
/// `SQUASHFS_INVALID_FRAG`, and `SQUASHFS_INVALID_XATTR`.
const NONE: u32 = u32::MAX;

/// `SQUASHFS_DIR_TYPE`
const DIRECTORY: u16 = 1;
/// `SQUASHFS_REG_TYPE`: what a directory calls a file of either kind.
const FILE: u16 = 2;
/// `SQUASHFS_LREG_TYPE`
const LARGE_FILE: u16 = 9;

/// `struct squashfs_super_block`.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Superblock {
    s_magic: U32,
    inodes: U32,
    mkfs_time: U32,
    block_size: U32,
    fragments: U32,
    compression: U16,
    block_log: U16,
    flags: U16,
    no_ids: U16,
    s_major: U16,
    s_minor: U16,
    root_inode: U64,
    /// Where the last table ends.
    bytes_used: U64,
    id_table_start: U64,
    xattr_id_table_start: U64,
    inode_table_start: U64,
    directory_table_start: U64,
    fragment_table_start: U64,
    lookup_table_start: U64,
}

const _: () = assert!(size_of::<Superblock>() == 96);

impl Superblock {
    /// With the addresses of the inodes, of the directory, of the table of ids, and of the end.
    pub(super) fn new(
        inodes: u32,
        time: u32,
        root: Position,
        [first, directory, ids, used]: [u64; 4],
    ) -> Self {
        Self {
            s_magic: U32::new(MAGIC),
            inodes: U32::new(inodes),
            mkfs_time: U32::new(time),
            block_size: U32::new(BLOCK as u32),
            fragments: U32::new(0),
            compression: U16::new(ZSTD),
            block_log: U16::new(BLOCK.ilog2() as u16),
            flags: U16::new(FLAGS),
            no_ids: U16::new(1),
            s_major: U16::new(4),
            s_minor: U16::new(0),
            root_inode: U64::new(u64::from(root.block) << 16 | u64::from(root.offset)),
            bytes_used: U64::new(used),
            id_table_start: U64::new(ids),
            xattr_id_table_start: U64::new(NO_TABLE),
            inode_table_start: U64::new(first),
            directory_table_start: U64::new(directory),
            fragment_table_start: U64::new(NO_TABLE),
            lookup_table_start: U64::new(NO_TABLE),
        }
    }
}

/// `struct squashfs_base_inode`: what every inode begins with.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Inode {
    inode_type: U16,
    mode: U16,
    uid: U16,
    guid: U16,
    mtime: U32,
    inode_number: U32,
}

const _: () = assert!(size_of::<Inode>() == 16);

impl Inode {
    fn new(kind: u16, mode: u16, time: u32, number: u32) -> Self {
        Self {
            inode_type: U16::new(kind),
            mode: U16::new(mode),
            // Indices into the table of ids.
            uid: U16::new(0),
            guid: U16::new(0),
            mtime: U32::new(time),
            inode_number: U32::new(number),
        }
    }
}

/// `struct squashfs_lreg_inode`, without the list of blocks behind it.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegularFile {
    base: Inode,
    start_block: U64,
    file_size: U64,
    sparse: U64,
    nlink: U32,
    fragment: U32,
    offset: U32,
    xattr: U32,
}

const _: () = assert!(size_of::<RegularFile>() == 56);

impl RegularFile {
    pub(super) fn new(number: u32, time: u32, file: &File) -> Self {
        Self {
            base: Inode::new(LARGE_FILE, 0o644, time, number),
            start_block: U64::new(file.start),
            file_size: U64::new(file.len),
            sparse: U64::new(file.sparse),
            nlink: U32::new(1),
            fragment: U32::new(NONE),
            offset: U32::new(0),
            xattr: U32::new(NONE),
        }
    }
}

/// `struct squashfs_dir_inode`.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Directory {
    base: Inode,
    start_block: U32,
    nlink: U32,
    file_size: U16,
    offset: U16,
    parent_inode: U32,
}

const _: () = assert!(size_of::<Directory>() == 32);

impl Directory {
    /// The root, whose list of `listed` bytes is the first in the table. Readers take the entries of a directory itself and
    /// its parent for 3 bytes more, and the root's parent for one behind all inodes.
    pub(super) fn new(number: u32, time: u32, listed: usize) -> Self {
        Self {
            base: Inode::new(DIRECTORY, 0o755, time, number),
            start_block: U32::new(0),
            nlink: U32::new(2),
            file_size: U16::new(listed as u16 + 3),
            offset: U16::new(0),
            parent_inode: U32::new(number + 1),
        }
    }
}

/// `struct squashfs_dir_header`, of one entry.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DirectoryHeader {
    /// One less than there are.
    count: U32,
    start_block: U32,
    inode_number: U32,
}

impl DirectoryHeader {
    pub(super) fn new(block: u32, number: u32) -> Self {
        Self { count: U32::new(0), start_block: U32::new(block), inode_number: U32::new(number) }
    }
}

/// `struct squashfs_dir_entry`, without the name behind it.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DirectoryEntry {
    offset: U16,
    /// From that of the header.
    inode_number: I16,
    entry_type: U16,
    /// One less than it has.
    size: U16,
}

impl DirectoryEntry {
    pub(super) fn new(offset: u16, name: &str) -> Self {
        Self {
            offset: U16::new(offset),
            inode_number: I16::new(0),
            entry_type: U16::new(FILE),
            size: U16::new(name.len() as u16 - 1),
        }
    }
}
