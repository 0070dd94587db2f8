//! The structures of an ext4 file system as they lie on disk, all little endian.
//!
//! Names and offsets are those of the kernel's [ext4 documentation][spec]. Checksums are crc32c and are
//! methods of the structure that carries them.
//!
//! [spec]: https://docs.kernel.org/filesystems/ext4/globals.html

use std::mem::{offset_of, size_of};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::csum::Crc32c;

/// Bytes in a block; every other size below follows from it.
pub(super) const BLOCK_SIZE: usize = 4096;
/// One bitmap block has a bit for each block of its group.
pub(super) const BLOCKS_PER_GROUP: u32 = 8 * BLOCK_SIZE as u32;
/// Bytes in an inode on disk.
pub(super) const INODE_SIZE: usize = 256;
/// Inodes in one block of an inode table.
pub(super) const INODES_PER_BLOCK: u32 = (BLOCK_SIZE / INODE_SIZE) as u32;
/// Group descriptors in a block.
pub(super) const DESCRIPTORS_PER_BLOCK: u32 = (BLOCK_SIZE / size_of::<GroupDescriptor>()) as u32;
/// Groups whose bitmaps and inode tables lie together (`s_log_groups_per_flex`).
pub(super) const GROUPS_PER_FLEX: u32 = 1 << LOG_GROUPS_PER_FLEX;
/// Byte offset of the superblock in the image.
pub(super) const SUPERBLOCK_OFFSET: u64 = 1024;
/// The most names a file may have (`EXT4_LINK_MAX`).
pub(super) const LINK_MAX: u32 = 65_000;
/// The first inode number that is not reserved (`s_first_ino`).
pub(super) const FIRST_INO: u32 = 11;

const LOG_GROUPS_PER_FLEX: u8 = 4;
/// `s_magic`.
pub(super) const EXT4_SUPER_MAGIC: u16 = 0xef53;
/// `s_state`.
pub(super) const CLEANLY_UNMOUNTED: u16 = 1;
/// `s_errors`.
const ON_ERROR_CONTINUE: u16 = 1;
/// `s_rev_level`: the superblock says how large inodes are and which features are used.
pub(super) const DYNAMIC_REVISION: u32 = 1;
/// `s_flags`: the characters of a name count as signed when it is hashed.
const SIGNED_DIRECTORY_HASH: u32 = 0x1;
/// `s_default_mount_opts`.
const MOUNT_USER_XATTR: u32 = 0x4;
/// `s_default_mount_opts`.
const MOUNT_ACL: u32 = 0x8;
/// `s_checksum_type`.
const CHECKSUM_CRC32C: u8 = 1;

/// Inode numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ino(pub(super) u32);

impl Ino {
    pub(super) const ROOT: Self = Self(2);
    pub(super) const RESIZE: Self = Self(7);
    pub(super) const JOURNAL: Self = Self(8);
}

/// `s_feature_compat`: what a kernel that does not know it may ignore.
pub(super) mod compat {
    pub(in crate::fs::ext4) const HAS_JOURNAL: u32 = 0x4;
    const EXT_ATTR: u32 = 0x8;
    const RESIZE_INODE: u32 = 0x10;
    const DIR_INDEX: u32 = 0x20;
    /// Copies of the superblock in two groups at most (`s_backup_bgs`).
    pub(in crate::fs::ext4) const SPARSE_SUPER2: u32 = 0x200;
    pub(in crate::fs::ext4) const SET: u32 = HAS_JOURNAL | EXT_ATTR | RESIZE_INODE | DIR_INDEX;
}

/// `s_feature_incompat`: what a kernel must know to mount.
pub(super) mod incompat {
    const FILETYPE: u32 = 0x2;
    /// The journal has to be read first.
    pub(in crate::fs::ext4) const RECOVER: u32 = 0x4;
    pub(in crate::fs::ext4) const EXTENTS: u32 = 0x40;
    pub(in crate::fs::ext4) const SIXTY_FOUR_BIT: u32 = 0x80;
    /// Group descriptors lie in the groups they describe, as in what has grown a thousand times.
    pub(in crate::fs::ext4) const META_BG: u32 = 0x10;
    const FLEX_BG: u32 = 0x200;
    pub(in crate::fs::ext4) const CSUM_SEED: u32 = 0x2000;
    const LARGEDIR: u32 = 0x4000;
    /// Only one machine at a time.
    const MMP: u32 = 0x100;
    /// Values of extended attributes in inodes of their own.
    const EA_INODE: u32 = 0x400;
    const INLINE_DATA: u32 = 0x8000;
    const ENCRYPT: u32 = 0x1_0000;
    const CASEFOLD: u32 = 0x2_0000;
    pub(in crate::fs::ext4) const SET: u32 = FILETYPE | EXTENTS | SIXTY_FOUR_BIT | FLEX_BG;
    /// What others may have set in a file system that gets another UUID.
    pub(in crate::fs::ext4) const RENAMABLE: u32 = SET | META_BG | CSUM_SEED | LARGEDIR;
    /// What others may have set in a file system that is read, files and all.
    pub(in crate::fs::ext4) const READABLE: u32 =
        RENAMABLE | RECOVER | MMP | EA_INODE | INLINE_DATA | ENCRYPT | CASEFOLD;
}

/// `s_feature_ro_compat`: what a kernel must know to write.
pub(super) mod ro_compat {
    pub(in crate::fs::ext4) const SPARSE_SUPER: u32 = 0x1;
    const LARGE_FILE: u32 = 0x2;
    const HUGE_FILE: u32 = 0x8;
    const DIR_NLINK: u32 = 0x20;
    const EXTRA_ISIZE: u32 = 0x40;
    pub(in crate::fs::ext4) const METADATA_CSUM: u32 = 0x400;
    pub(in crate::fs::ext4) const SET: u32 =
        SPARSE_SUPER | LARGE_FILE | HUGE_FILE | DIR_NLINK | EXTRA_ISIZE | METADATA_CSUM;
}

/// The superblock: [super.rst](https://docs.kernel.org/filesystems/ext4/super.html).
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Superblock {
    pub(super) s_inodes_count: U32,
    pub(super) s_blocks_count_lo: U32,
    pub(super) s_r_blocks_count_lo: U32,
    pub(super) s_free_blocks_count_lo: U32,

    pub(super) s_free_inodes_count: U32,
    /// 0 for blocks larger than 1 KiB.
    pub(super) s_first_data_block: U32,
    pub(super) s_log_block_size: U32,
    pub(super) s_log_cluster_size: U32,

    pub(super) s_blocks_per_group: U32,
    pub(super) s_clusters_per_group: U32,
    pub(super) s_inodes_per_group: U32,
    pub(super) s_mtime: U32,

    pub(super) s_wtime: U32,
    pub(super) s_mnt_count: U16,
    pub(super) s_max_mnt_count: U16,
    pub(super) s_magic: U16,
    pub(super) s_state: U16,
    pub(super) s_errors: U16,
    pub(super) s_minor_rev_level: U16,

    pub(super) s_lastcheck: U32,
    pub(super) s_checkinterval: U32,
    pub(super) s_creator_os: U32,
    pub(super) s_rev_level: U32,

    pub(super) s_def_resuid: U16,
    pub(super) s_def_resgid: U16,
    pub(super) s_first_ino: U32,
    pub(super) s_inode_size: U16,
    /// The group this copy of the superblock lies in.
    pub(super) s_block_group_nr: U16,
    pub(super) s_feature_compat: U32,

    pub(super) s_feature_incompat: U32,
    pub(super) s_feature_ro_compat: U32,
    pub(super) s_uuid: [u8; 16],
    pub(super) s_volume_name: [u8; 16],
    pub(super) s_last_mounted: [u8; 64],
    pub(super) s_algorithm_usage_bitmap: U32,

    pub(super) s_prealloc_blocks: u8,
    pub(super) s_prealloc_dir_blocks: u8,
    pub(super) s_reserved_gdt_blocks: U16,
    pub(super) s_journal_uuid: [u8; 16],
    pub(super) s_journal_inum: U32,
    pub(super) s_journal_dev: U32,
    pub(super) s_last_orphan: U32,
    pub(super) s_hash_seed: [U32; 4],
    pub(super) s_def_hash_version: u8,
    pub(super) s_jnl_backup_type: u8,
    pub(super) s_desc_size: U16,

    pub(super) s_default_mount_opts: U32,
    pub(super) s_first_meta_bg: U32,
    pub(super) s_mkfs_time: U32,
    /// `i_block`, `i_size_high` and `i_size_lo` of the journal's inode.
    pub(super) s_jnl_blocks: [U32; 17],
    pub(super) s_blocks_count_hi: U32,
    pub(super) s_r_blocks_count_hi: U32,
    pub(super) s_free_blocks_count_hi: U32,
    pub(super) s_min_extra_isize: U16,
    pub(super) s_want_extra_isize: U16,

    pub(super) s_flags: U32,
    pub(super) s_raid_stride: U16,
    pub(super) s_mmp_interval: U16,
    pub(super) s_mmp_block: U64,

    pub(super) s_raid_stripe_width: U32,
    pub(super) s_log_groups_per_flex: u8,
    pub(super) s_checksum_type: u8,
    pub(super) s_encryption_level: u8,
    pub(super) s_reserved_pad: u8,
    pub(super) s_kbytes_written: U64,

    /// Snapshots and the error log (0x180 to 0x200): never set.
    pub(super) s_snapshot_and_errors: [u8; 0x80],
    pub(super) s_mount_opts: [u8; 64],

    pub(super) s_usr_quota_inum: U32,
    pub(super) s_grp_quota_inum: U32,
    pub(super) s_overhead_blocks: U32,
    pub(super) s_backup_bgs: [U32; 2],
    pub(super) s_encrypt_algos: [u8; 4],
    pub(super) s_encrypt_pw_salt: [u8; 16],
    pub(super) s_lpf_ino: U32,
    pub(super) s_prj_quota_inum: U32,
    pub(super) s_checksum_seed: U32,
    pub(super) s_wtime_hi: u8,
    pub(super) s_mtime_hi: u8,
    pub(super) s_mkfs_time_hi: u8,
    pub(super) s_lastcheck_hi: u8,
    pub(super) s_error_times_hi: [u8; 4],
    pub(super) s_encoding: U16,
    pub(super) s_encoding_flags: U16,
    pub(super) s_orphan_file_inum: U32,
    pub(super) s_reserved: [U32; 94],
    pub(super) s_checksum: U32,
}

const _: () = assert!(size_of::<Superblock>() == 1024);
const _: () = assert!(offset_of!(Superblock, s_magic) == 0x38);
const _: () = assert!(offset_of!(Superblock, s_uuid) == 0x68);
const _: () = assert!(offset_of!(Superblock, s_reserved_gdt_blocks) == 0xce);
const _: () = assert!(offset_of!(Superblock, s_hash_seed) == 0xec);
const _: () = assert!(offset_of!(Superblock, s_jnl_blocks) == 0x10c);
const _: () = assert!(offset_of!(Superblock, s_flags) == 0x160);
const _: () = assert!(offset_of!(Superblock, s_checksum_type) == 0x175);
const _: () = assert!(offset_of!(Superblock, s_mount_opts) == 0x200);
const _: () = assert!(offset_of!(Superblock, s_wtime_hi) == 0x274);
const _: () = assert!(offset_of!(Superblock, s_checksum) == 0x3fc);

impl Superblock {
    /// A superblock with all that is the same in every file system made here.
    pub(super) fn new() -> Self {
        let mut sb = Self::new_zeroed();
        sb.s_log_block_size = U32::new(2);
        sb.s_log_cluster_size = U32::new(2);
        sb.s_blocks_per_group = U32::new(BLOCKS_PER_GROUP);
        sb.s_clusters_per_group = U32::new(BLOCKS_PER_GROUP);
        // No check after so many mounts.
        sb.s_max_mnt_count = U16::new(u16::MAX);
        sb.s_magic = U16::new(EXT4_SUPER_MAGIC);
        sb.s_state = U16::new(CLEANLY_UNMOUNTED);
        sb.s_errors = U16::new(ON_ERROR_CONTINUE);
        sb.s_rev_level = U32::new(DYNAMIC_REVISION);
        sb.s_first_ino = U32::new(FIRST_INO);
        sb.s_inode_size = U16::new(INODE_SIZE as u16);
        sb.s_feature_compat = U32::new(compat::SET);
        sb.s_feature_incompat = U32::new(incompat::SET);
        sb.s_feature_ro_compat = U32::new(ro_compat::SET);
        sb.s_journal_inum = U32::new(Ino::JOURNAL.0);
        sb.s_def_hash_version = DX_HASH_HALF_MD4;
        sb.s_flags = U32::new(SIGNED_DIRECTORY_HASH);
        sb.s_desc_size = U16::new(size_of::<GroupDescriptor>() as u16);
        sb.s_default_mount_opts = U32::new(MOUNT_USER_XATTR | MOUNT_ACL);
        // `s_jnl_blocks` is filled.
        sb.s_jnl_backup_type = 1;
        sb.s_min_extra_isize = U16::new(EXTRA_ISIZE);
        sb.s_want_extra_isize = U16::new(EXTRA_ISIZE);
        sb.s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
        sb.s_checksum_type = CHECKSUM_CRC32C;
        sb
    }

    /// The copy that lies in `group`.
    pub(super) fn seal(mut self, group: u32) -> Self {
        // The field is for people who look for copies; no reader trusts it, and it has 16 bits only.
        self.s_block_group_nr = U16::new(group as u16);
        self.s_checksum = U32::new(self.sum());
        self
    }

    /// The checksum it should have.
    pub(super) fn sum(&self) -> u32 {
        Crc32c::START.with(&self.as_bytes()[..offset_of!(Self, s_checksum)]).value()
    }
}

/// A 64-byte block group descriptor: [group_descr.rst](https://docs.kernel.org/filesystems/ext4/group_descr.html).
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct GroupDescriptor {
    pub(super) bg_block_bitmap_lo: U32,
    pub(super) bg_inode_bitmap_lo: U32,
    pub(super) bg_inode_table_lo: U32,
    pub(super) bg_free_blocks_count_lo: U16,
    pub(super) bg_free_inodes_count_lo: U16,

    pub(super) bg_used_dirs_count_lo: U16,
    pub(super) bg_flags: U16,
    pub(super) bg_exclude_bitmap_lo: U32,
    pub(super) bg_block_bitmap_csum_lo: U16,
    pub(super) bg_inode_bitmap_csum_lo: U16,
    pub(super) bg_itable_unused_lo: U16,
    pub(super) bg_checksum: U16,

    pub(super) bg_block_bitmap_hi: U32,
    pub(super) bg_inode_bitmap_hi: U32,
    pub(super) bg_inode_table_hi: U32,
    pub(super) bg_free_blocks_count_hi: U16,
    pub(super) bg_free_inodes_count_hi: U16,

    pub(super) bg_used_dirs_count_hi: U16,
    pub(super) bg_itable_unused_hi: U16,
    pub(super) bg_exclude_bitmap_hi: U32,
    pub(super) bg_block_bitmap_csum_hi: U16,
    pub(super) bg_inode_bitmap_csum_hi: U16,
    pub(super) bg_reserved: U32,
}

const _: () = assert!(size_of::<GroupDescriptor>() == 64);
const _: () = assert!(offset_of!(GroupDescriptor, bg_checksum) == 0x1e);
const _: () = assert!(offset_of!(GroupDescriptor, bg_block_bitmap_csum_hi) == 0x38);

/// `bg_flags`: no inode of the group is in use, its bitmap is not read.
pub(super) const BG_INODE_UNINIT: u16 = 0x1;
/// `bg_flags`: no block of the group is in use, its bitmap is not read.
pub(super) const BG_BLOCK_UNINIT: u16 = 0x2;
/// `bg_flags`: the unused inodes are zero on disk.
pub(super) const BG_INODE_ZEROED: u16 = 0x4;

impl GroupDescriptor {
    /// With the checksum of the descriptor of `group`: the low 16 bits of the crc32c.
    pub(super) fn seal(mut self, group: u32, file_system: Crc32c) -> Self {
        self.bg_checksum = U16::ZERO;
        let sum = file_system.with(&group.to_le_bytes()).with(self.as_bytes());
        self.bg_checksum = U16::new(sum.value() as u16);
        self
    }
}

/// An inode with its extra fields: [inodes.rst](https://docs.kernel.org/filesystems/ext4/inodes.html).
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Inode {
    pub(super) i_mode: U16,
    pub(super) i_uid: U16,
    pub(super) i_size_lo: U32,
    pub(super) i_atime: U32,
    pub(super) i_ctime: U32,

    pub(super) i_mtime: U32,
    pub(super) i_dtime: U32,
    pub(super) i_gid: U16,
    pub(super) i_links_count: U16,
    /// In units of 512 bytes.
    pub(super) i_blocks_lo: U32,

    pub(super) i_flags: U32,
    pub(super) i_version: U32,
    /// The extent tree's root, a short symlink's target, a device number or block pointers.
    pub(super) i_block: [u8; 60],
    pub(super) i_generation: U32,
    pub(super) i_file_acl_lo: U32,
    pub(super) i_size_high: U32,
    pub(super) i_obso_faddr: U32,
    pub(super) i_blocks_high: U16,
    pub(super) i_file_acl_high: U16,
    pub(super) i_uid_high: U16,
    pub(super) i_gid_high: U16,
    pub(super) i_checksum_lo: U16,
    pub(super) i_reserved: U16,

    pub(super) i_extra_isize: U16,
    pub(super) i_checksum_hi: U16,
    pub(super) i_ctime_extra: U32,
    pub(super) i_mtime_extra: U32,
    pub(super) i_atime_extra: U32,
    pub(super) i_crtime: U32,
    pub(super) i_crtime_extra: U32,
    pub(super) i_version_hi: U32,
    pub(super) i_projid: U32,

    /// Extended attributes that fit.
    pub(super) xattrs: [u8; XATTRS_IN_INODE],
}

/// `i_extra_isize`: the extra fields end after `i_projid`.
pub(super) const EXTRA_ISIZE: u16 = 32;
/// Bytes behind the extra fields of an inode.
pub(super) const XATTRS_IN_INODE: usize = INODE_SIZE - 128 - EXTRA_ISIZE as usize;

const _: () = assert!(size_of::<Inode>() == INODE_SIZE);
const _: () = assert!(offset_of!(Inode, i_block) == 0x28);
const _: () = assert!(offset_of!(Inode, i_checksum_lo) == 0x7c);
const _: () = assert!(offset_of!(Inode, i_extra_isize) == 0x80);
const _: () = assert!(offset_of!(Inode, xattrs) == 0xa0);

/// `i_flags`: a directory with a hash tree.
pub(super) const INDEX_FL: u32 = 0x1000;
/// `i_flags`: `i_block` is an extent tree.
pub(super) const EXTENTS_FL: u32 = 0x8_0000;
/// `i_flags`: names and contents are encrypted.
pub(super) const ENCRYPT_FL: u32 = 0x800;
/// `i_flags`: the content lies in `i_block` and in an extended attribute.
pub(super) const INLINE_DATA_FL: u32 = 0x1000_0000;

impl Inode {
    /// With the checksum of the inode `ino`; it covers all of its 256 bytes.
    pub(super) fn seal(mut self, ino: Ino, file_system: Crc32c) -> Self {
        self.i_checksum_lo = U16::ZERO;
        self.i_checksum_hi = U16::ZERO;
        let sum = file_system.for_inode(ino).with(self.as_bytes()).value();
        self.i_checksum_lo = U16::new(sum as u16);
        self.i_checksum_hi = U16::new((sum >> 16) as u16);
        self
    }
}

/// The head of each node of an extent tree: [ifork.rst](https://docs.kernel.org/filesystems/ext4/ifork.html).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ExtentHeader {
    pub(super) eh_magic: U16,
    pub(super) eh_entries: U16,
    pub(super) eh_max: U16,
    pub(super) eh_depth: U16,
    pub(super) eh_generation: U32,
}

/// A leaf of an extent tree: logical blocks and where they lie.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ExtentLeaf {
    pub(super) ee_block: U32,
    pub(super) ee_len: U16,
    pub(super) ee_start_hi: U16,
    pub(super) ee_start_lo: U32,
}

/// An inner entry of an extent tree: the node that covers the logical blocks from `ei_block` on.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ExtentIndex {
    pub(super) ei_block: U32,
    pub(super) ei_leaf_lo: U32,
    pub(super) ei_leaf_hi: U16,
    pub(super) ei_unused: U16,
}

/// `eh_magic`.
pub(super) const EXTENT_MAGIC: u16 = 0xf30a;
/// The most blocks in one initialised extent.
pub(super) const EXTENT_BLOCKS_MAX: u32 = 1 << 15;

const _: () = assert!(size_of::<ExtentHeader>() == 12);
const _: () = assert!(size_of::<ExtentLeaf>() == 12);
const _: () = assert!(size_of::<ExtentIndex>() == 12);

/// A directory entry without its name: [directory.rst](https://docs.kernel.org/filesystems/ext4/directory.html).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DirEntry2 {
    pub(super) inode: U32,
    pub(super) rec_len: U16,
    pub(super) name_len: u8,
    pub(super) file_type: u8,
}

/// The last 12 bytes of a directory block that holds entries: a checksum dressed as an unused entry.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DirEntryTail {
    pub(super) det_reserved_zero1: U32,
    pub(super) det_rec_len: U16,
    pub(super) det_reserved_zero2: u8,
    pub(super) det_reserved_ft: u8,
    pub(super) det_checksum: U32,
}

/// `det_reserved_ft`.
pub(super) const DIR_TAIL_FILE_TYPE: u8 = 0xde;

const _: () = assert!(size_of::<DirEntry2>() == 8);
const _: () = assert!(size_of::<DirEntryTail>() == 12);

/// What follows `.` and `..` in the root of a hash tree.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DxRootInfo {
    pub(super) reserved_zero: U32,
    pub(super) hash_version: u8,
    pub(super) info_length: u8,
    pub(super) indirect_levels: u8,
    pub(super) unused_flags: u8,
}

/// `hash_version`.
pub(super) const DX_HASH_HALF_MD4: u8 = 1;

/// An entry of a hash tree: the block that holds the hashes from `hash` on. In the first entry of a node
/// the hash is not needed and `limit` and `count` lie in its place.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DxEntry {
    pub(super) hash: U32,
    pub(super) block: U32,
}

/// The last eight bytes of a hash tree's node.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DxTail {
    pub(super) dt_reserved: U32,
    pub(super) dt_checksum: U32,
}

const _: () = assert!(size_of::<DxRootInfo>() == 8);
const _: () = assert!(size_of::<DxEntry>() == 8);
const _: () = assert!(size_of::<DxTail>() == 8);

/// The head of a block of extended attributes: [attributes.rst](https://docs.kernel.org/filesystems/ext4/attributes.html).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct XattrHeader {
    pub(super) h_magic: U32,
    pub(super) h_refcount: U32,
    pub(super) h_blocks: U32,
    pub(super) h_hash: U32,
    pub(super) h_checksum: U32,
    pub(super) h_reserved: [U32; 3],
}

/// One extended attribute without its name.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct XattrEntry {
    pub(super) e_name_len: u8,
    pub(super) e_name_index: u8,
    pub(super) e_value_offs: U16,
    pub(super) e_value_inum: U32,
    pub(super) e_value_size: U32,
    pub(super) e_hash: U32,
}

/// `h_magic`, and the magic in front of the attributes in an inode.
pub(super) const XATTR_MAGIC: u32 = 0xea02_0000;

const _: () = assert!(size_of::<XattrHeader>() == 32);
const _: () = assert!(size_of::<XattrEntry>() == 16);
