//! The structures of an EROFS file system as they lie on disk, all little endian.
//!
//! Names and offsets are those of the kernel's `fs/erofs/erofs_fs.h` in Linux 5.15, and for zstd in 6.10; what later
//! versions added is zero.

use std::mem::{offset_of, size_of};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{Algorithm, EXTENT_SIZE};
use crate::tree::InodeKind;

/// Bytes in a block: the only size that kernels before 6.4 read.
pub(super) const BLOCK_SIZE: usize = 4096;
/// Bytes in a slot: the number of an inode (`nid`) is that of the slot it begins in, counted from block 0.
pub(super) const SLOT_SIZE: usize = 32;
/// Byte offset of the superblock in the image (`EROFS_SUPER_OFFSET`).
pub(super) const SUPERBLOCK_OFFSET: usize = 1024;
/// The longest name (`EROFS_NAME_LEN`), of an entry as of an attribute.
pub(super) const NAME_MAX: usize = 255;
/// The address of a chunk that is a hole (`EROFS_NULL_ADDR`); blocks have lower numbers.
pub(super) const NULL_ADDRESS: u32 = u32::MAX;

/// `EROFS_SUPER_MAGIC_V1`.
const MAGIC: u32 = 0xe0f5_e1e2;
/// `blkszbits`.
const BLOCK_BITS: u8 = BLOCK_SIZE.ilog2() as u8;

/// `feature_compat`: what a kernel that does not know it may ignore.
mod compat {
    /// The superblock has a checksum.
    pub(super) const SB_CHKSUM: u32 = 0x1;
    /// The times of inodes are those of the last change of content.
    pub(super) const MTIME: u32 = 0x2;
}

/// `feature_incompat`: what a kernel must know to mount.
mod incompat {
    /// What is compressed ends with its blocks, and zeroes are in front of it; known since Linux 5.4.
    pub(super) const ZERO_PADDING: u32 = 0x1;
    /// Behind the superblock is what compressors need to know (`COMPR_CFGS`), and extents may have more than a block when
    /// they are compressed (`BIG_PCLUSTER`); known since Linux 5.13.
    pub(super) const BIG_PCLUSTER: u32 = 0x2;
    /// Files in chunks, known since Linux 5.15.
    pub(super) const CHUNKED_FILE: u32 = 0x4;
}

/// `struct erofs_super_block`.
#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Superblock {
    magic: U32,
    checksum: U32,
    feature_compat: U32,
    blkszbits: u8,
    sb_extslots: u8,
    pub(super) root_nid: U16,
    pub(super) inos: U64,
    pub(super) build_time: U64,
    pub(super) build_time_nsec: U32,
    pub(super) blocks: U32,
    meta_blkaddr: U32,
    pub(super) xattr_blkaddr: U32,
    pub(super) uuid: [u8; 16],
    pub(super) volume_name: [u8; 16],
    feature_incompat: U32,
    /// A bit for each compressor.
    available_compr_algs: U16,
    reserved: [u8; 42],
}

const _: () = assert!(size_of::<Superblock>() == 128);
const _: () = assert!(offset_of!(Superblock, root_nid) == 0xe);
const _: () = assert!(offset_of!(Superblock, blocks) == 0x24);
const _: () = assert!(offset_of!(Superblock, uuid) == 0x30);
const _: () = assert!(offset_of!(Superblock, feature_incompat) == 0x50);

impl Superblock {
    /// A superblock with all that is the same in every file system made here.
    pub(super) fn new(has_chunks: bool, algorithm: Option<Algorithm>) -> Self {
        let mut superblock = Self::new_zeroed();
        superblock.magic = U32::new(MAGIC);
        superblock.feature_compat = U32::new(compat::SB_CHKSUM | compat::MTIME);
        superblock.blkszbits = BLOCK_BITS;
        let chunks = if has_chunks { incompat::CHUNKED_FILE } else { 0 };
        let compression = algorithm.map_or(0, |_| incompat::ZERO_PADDING | incompat::BIG_PCLUSTER);
        superblock.feature_incompat = U32::new(chunks | compression);
        superblock.available_compr_algs = U16::new(algorithm.map_or(0, |algorithm| 1 << algorithm.number()));
        superblock
    }

    /// The superblock with `behind` it, and its checksum: a crc32c, without the last inversion, of all that is behind the
    /// superblock's start in its block, which has nothing else.
    pub(super) fn seal(mut self, behind: &[u8]) -> Vec<u8> {
        let mut covered = [self.as_bytes(), behind].concat();
        let len = covered.len();
        covered.resize(BLOCK_SIZE - SUPERBLOCK_OFFSET, 0);
        self.checksum = U32::new(!crc32c::crc32c(&covered));
        covered[..size_of::<Self>()].copy_from_slice(self.as_bytes());
        covered.truncate(len);
        covered
    }
}

impl Algorithm {
    /// `Z_EROFS_COMPRESSION_…`.
    fn number(self) -> u8 {
        match self {
            Self::Lz4 => 0,
            Self::Zstd => 3,
        }
    }

    /// What lies behind the superblock: its length in front of it.
    pub(super) fn configuration(self) -> Vec<u8> {
        match self {
            Self::Lz4 => {
                let mut config = Lz4Config::new_zeroed();
                config.max_distance = U16::new(LZ4_DISTANCE_MAX);
                config.max_pclusterblks = U16::new((EXTENT_SIZE / BLOCK_SIZE) as u16);
                with_length(config.as_bytes())
            }
            Self::Zstd => {
                let mut config = ZstdConfig::new_zeroed();
                config.windowlog = (EXTENT_SIZE.ilog2() - ZSTD_WINDOWLOG_MIN) as u8;
                with_length(config.as_bytes())
            }
        }
    }
}

fn with_length(config: &[u8]) -> Vec<u8> {
    [&(config.len() as u16).to_le_bytes(), config].concat()
}

/// How far back an LZ4 block refers.
const LZ4_DISTANCE_MAX: u16 = u16::MAX;
/// What `windowlog` is counted from (`ZSTD_WINDOWLOG_ABSOLUTEMIN`).
const ZSTD_WINDOWLOG_MIN: u32 = 10;

/// `struct z_erofs_lz4_cfgs`.
#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Lz4Config {
    max_distance: U16,
    /// Blocks of an extent at most.
    max_pclusterblks: U16,
    reserved: [u8; 10],
}

const _: () = assert!(size_of::<Lz4Config>() == 14);

/// `struct z_erofs_zstd_cfgs`.
#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct ZstdConfig {
    format: u8,
    windowlog: u8,
    reserved: [u8; 4],
}

const _: () = assert!(size_of::<ZstdConfig>() == 6);

/// `i_format` of an inode: its version in bit 0, the layout of its data in bits 1 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum DataLayout {
    /// Whole blocks in a row.
    FlatPlain = 0,
    /// Extents that are compressed, each block of the file with an index behind the inode.
    CompressedFull = 1,
    /// The same, and behind the inode what is left.
    FlatInline = 2,
    /// Chunks, each with its address behind the inode.
    ChunkBased = 4,
}

impl DataLayout {
    /// `i_format` with this layout.
    pub(super) fn format(self, is_extended: bool) -> U16 {
        U16::new((self as u16) << 1 | u16::from(is_extended))
    }
}

/// `struct erofs_inode_compact`: one of the time of the superblock, and of small numbers.
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct CompactInode {
    pub(super) i_format: U16,
    pub(super) i_xattr_icount: U16,
    pub(super) i_mode: U16,
    pub(super) i_nlink: U16,
    pub(super) i_size: U32,
    pub(super) i_reserved: U32,
    /// First block, device number or chunk format.
    pub(super) i_u: U32,
    /// What `stat` of 32 bits says; kernels have the `nid` for it.
    pub(super) i_ino: U32,
    pub(super) i_uid: U16,
    pub(super) i_gid: U16,
    pub(super) i_reserved2: U32,
}

const _: () = assert!(size_of::<CompactInode>() == SLOT_SIZE);
const _: () = assert!(offset_of!(CompactInode, i_u) == 0x10);
const _: () = assert!(offset_of!(CompactInode, i_uid) == 0x18);

/// `struct erofs_inode_extended`.
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ExtendedInode {
    pub(super) i_format: U16,
    pub(super) i_xattr_icount: U16,
    pub(super) i_mode: U16,
    pub(super) i_reserved: U16,
    pub(super) i_size: U64,
    /// As in the compact one.
    pub(super) i_u: U32,
    pub(super) i_ino: U32,
    pub(super) i_uid: U32,
    pub(super) i_gid: U32,
    pub(super) i_mtime: U64,
    pub(super) i_mtime_nsec: U32,
    pub(super) i_nlink: U32,
    pub(super) i_reserved2: [u8; 16],
}

const _: () = assert!(size_of::<ExtendedInode>() == 2 * SLOT_SIZE);
const _: () = assert!(offset_of!(ExtendedInode, i_u) == 0x10);
const _: () = assert!(offset_of!(ExtendedInode, i_mtime) == 0x20);
const _: () = assert!(offset_of!(ExtendedInode, i_nlink) == 0x2c);

/// `struct erofs_xattr_ibody_header`, in front of an inode's attributes.
#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct XattrHeader {
    h_reserved: U32,
    /// Ids of shared attributes that follow, each of 32 bits.
    pub(super) h_shared_count: u8,
    h_reserved2: [u8; 7],
}

const _: () = assert!(size_of::<XattrHeader>() == 12);

/// `struct erofs_xattr_entry`; name and value follow, filled up to a multiple of 4 bytes.
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct XattrEntry {
    pub(super) e_name_len: u8,
    pub(super) e_name_index: u8,
    pub(super) e_value_size: U16,
}

const _: () = assert!(size_of::<XattrEntry>() == 4);

/// `struct z_erofs_map_header`, in front of the indexes of a compressed file, and what is reserved behind it
/// (`Z_EROFS_FULL_INDEX_ALIGN`).
#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct MapHeader {
    h_fragmentoff: U32,
    h_advise: U16,
    h_algorithmtype: u8,
    h_clusterbits: u8,
    reserved: [u8; 8],
}

const _: () = assert!(size_of::<MapHeader>() == 16);

impl MapHeader {
    /// Extents of this algorithm, of one block or more (`Z_EROFS_ADVISE_BIG_PCLUSTER_1`).
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let mut header = Self::new_zeroed();
        header.h_advise = U16::new(0x2);
        header.h_algorithmtype = algorithm.number();
        header
    }
}

/// `struct z_erofs_lcluster_index`: what a block of a compressed file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ClusterIndex {
    /// Its type (`Z_EROFS_LCLUSTER_TYPE_…`).
    di_advise: U16,
    di_clusterofs: U16,
    /// An address, or two distances.
    di_u: U32,
}

const _: () = assert!(size_of::<ClusterIndex>() == 8);

impl ClusterIndex {
    /// A block that is stored as it is.
    pub(super) fn plain(block: u32) -> Self {
        Self { di_advise: U16::new(0), di_clusterofs: U16::ZERO, di_u: U32::new(block) }
    }

    /// The first block of an extent that is compressed.
    pub(super) fn head(block: u32) -> Self {
        Self { di_advise: U16::new(1), di_clusterofs: U16::ZERO, di_u: U32::new(block) }
    }

    /// The second one (`Z_EROFS_LI_D0_CBLKCNT`): how many blocks the extent has on disk, and how many are to come.
    pub(super) fn second(blocks: u16, next_head: u16) -> Self {
        Self::other(blocks | 1 << 11, next_head)
    }

    /// Another one: how far it is from the first, and how many are to come.
    pub(super) fn other(head: u16, next_head: u16) -> Self {
        let distances = u32::from(head) | u32::from(next_head) << 16;
        Self { di_advise: U16::new(2), di_clusterofs: U16::ZERO, di_u: U32::new(distances) }
    }

    /// The last block of a file, in which an extent of more than that ends at `offset`.
    pub(super) fn end(offset: u16) -> Self {
        Self { di_advise: U16::new(0), di_clusterofs: U16::new(offset), di_u: U32::ZERO }
    }
}

/// `struct erofs_dirent`.
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Dirent {
    pub(super) nid: U64,
    /// From the start of the block.
    pub(super) nameoff: U16,
    pub(super) file_type: u8,
    pub(super) reserved: u8,
}

const _: () = assert!(size_of::<Dirent>() == 12);

/// `file_type` of an entry (`EROFS_FT_…`).
pub(super) fn file_type(kind: &InodeKind) -> u8 {
    match kind {
        InodeKind::File(_) => 1,
        InodeKind::Directory(_) => 2,
        InodeKind::CharDevice(_) => 3,
        InodeKind::BlockDevice(_) => 4,
        InodeKind::Fifo => 5,
        InodeKind::Socket => 6,
        InodeKind::Symlink(_) => 7,
    }
}
