//! The header and the bits of table entries, with the specification's field names.

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Header, section "Header".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: U32,
    pub(super) version: U32,
    pub(super) backing_file_offset: U64,

    pub(super) backing_file_size: U32,
    pub(super) cluster_bits: U32,
    pub(super) size: U64,

    pub(super) crypt_method: U32,
    pub(super) l1_size: U32,
    pub(super) l1_table_offset: U64,

    pub(super) refcount_table_offset: U64,
    pub(super) refcount_table_clusters: U32,
    pub(super) nb_snapshots: U32,

    pub(super) snapshots_offset: U64,
    /// From here on version 3 only.
    pub(super) incompatible_features: U64,

    pub(super) compatible_features: U64,
    pub(super) autoclear_features: U64,

    pub(super) refcount_order: U32,
    pub(super) header_length: U32,
    /// Only if `header_length` is above 104.
    pub(super) compression_type: u8,
    pub(super) padding: [u8; 7],
}

impl Header {
    pub(super) const MAGIC: u32 = 0x5146_49fb;
    pub(super) const SIZE: usize = size_of::<Self>();
    /// Bytes of the header of version 2.
    pub(super) const SIZE_V2: usize = offset_of!(Self, incompatible_features);

    /// Incompatible feature: a crashed writer left reference counts behind; the mappings are whole.
    pub(super) const DIRTY: u64 = 1 << 0;
    /// Incompatible feature: the clusters lie in a file of their own.
    pub(super) const EXTERNAL_DATA: u64 = 1 << 2;
    /// Incompatible feature: `compression_type` is not zlib.
    pub(super) const COMPRESSION_TYPE: u64 = 1 << 3;

    pub(super) const ZLIB: u8 = 0;
    pub(super) const ZSTD: u8 = 1;
}

const _: () = assert!(Header::SIZE == 112);
const _: () = assert!(Header::SIZE_V2 == 72);
const _: () = assert!(offset_of!(Header, l1_table_offset) == 40);
const _: () = assert!(offset_of!(Header, refcount_order) == 96);
const _: () = assert!(offset_of!(Header, compression_type) == 104);

/// What stands in front of the bytes of a header extension, which are padded to multiples of 8; section "Header
/// extensions". They follow the header, and the name of the backing file follows them, all in the first cluster.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Extension {
    pub(super) kind: U32,
    pub(super) len: U32,
}

impl Extension {
    pub(super) const SIZE: usize = size_of::<Self>();

    /// The last one, of no bytes.
    pub(super) const END: u32 = 0;
    /// The name of the backing file's format.
    pub(super) const BACKING_FORMAT: u32 = 0xe279_2aca;
}

const _: () = assert!(Extension::SIZE == 8);

/// Largest name of a backing file in bytes.
pub(super) const BACKING_NAME_MAX: usize = 1023;

/// Largest L1 table in entries, QEMU's limit of 32 MiB: a disk of 2 PiB with clusters of 64 KiB.
pub(super) const L1_MAX: u64 = 1 << 22;

/// Largest refcount table in bytes, QEMU's limit.
pub(super) const REFCOUNT_TABLE_MAX: u64 = 8 << 20;
/// A reference count has 2 to the power of this bits: in version 2, and at most.
pub(super) const REFCOUNT_ORDER_V2: u32 = 4;
pub(super) const REFCOUNT_ORDER_MAX: u32 = 6;

/// L1 and L2 entries: the reference count of what is pointed at is exactly one.
pub(super) const COPIED: u64 = 1 << 63;
/// L2 entry: the cluster is compressed.
pub(super) const COMPRESSED: u64 = 1 << 62;
/// L2 entry of a plain cluster: it reads as zero.
pub(super) const ZERO: u64 = 1;
/// Bits of an L1 entry, and of an L2 entry of a plain cluster, that hold an offset.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// Bits that are zero in an L1 entry, and in an L2 entry of a plain cluster.
pub(super) const L1_RESERVED: u64 = !(COPIED | OFFSET);
pub(super) const L2_RESERVED: u64 = !(COPIED | COMPRESSED | OFFSET | ZERO);
/// The same of an entry of the refcount table; all others hold its offset.
pub(super) const REFCOUNT_TABLE_RESERVED: u64 = 0x1ff;

/// Bits of the L2 entry of a compressed cluster that hold its offset; above them, the sectors it
/// touches beyond the first. Section "L2 table entry, Compressed Clusters Descriptor".
pub(super) fn compressed_offset_bits(cluster_bits: u32) -> u32 {
    62 - (cluster_bits - 8)
}

/// Unit of the length of a compressed cluster.
pub(super) const SECTOR: u64 = 512;
