//! The header and the markers, with the field names of the specification.

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Unit of offsets and sizes.
pub(super) const SECTOR: u64 = 512;
/// Entries of a grain table.
pub(super) const GTES_PER_GT: u64 = 512;
/// Grain directory or table entry: nothing is stored.
pub(super) const EMPTY: u32 = 0;
/// Grain table entry of disks with [`Header::ZEROED_GRAINS`]: the grain reads as zero.
pub(super) const ZEROED: u32 = 1;

/// `SparseExtentHeader`, section "Hosted Sparse Extent Header": the first sector, and the footer.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic_number: [u8; 4],
    pub(super) version: U32,
    pub(super) flags: U32,
    /// Sectors of the disk.
    pub(super) capacity: U64,
    /// Sectors of a grain.
    pub(super) grain_size: U64,
    pub(super) descriptor_offset: U64,
    pub(super) descriptor_size: U64,
    pub(super) num_gtes_per_gt: U32,
    pub(super) rgd_offset: U64,
    pub(super) gd_offset: U64,
    /// Sectors in front of the first grain.
    pub(super) over_head: U64,
    pub(super) unclean_shutdown: u8,
    /// `singleEndLineChar` to `doubleEndLineChar2`: a transfer as text changes them.
    pub(super) end_line_chars: [u8; 4],
    pub(super) compress_algorithm: U16,
    pub(super) pad: [u8; 433],
}

impl Header {
    pub(super) const MAGIC: [u8; 4] = *b"KDMV";
    /// The version that ESXi wants of a stream.
    pub(super) const VERSION: u32 = 3;
    pub(super) const SIZE: usize = size_of::<Self>();
    pub(super) const END_LINE_CHARS: [u8; 4] = *b"\n \r\n";

    /// Flag: `end_line_chars` are set.
    pub(super) const VALID_NEWLINE: u32 = 1 << 0;
    /// Flag: there may be grain table entries that are [`ZEROED`].
    pub(super) const ZEROED_GRAINS: u32 = 1 << 2;
    /// Flag: grains are compressed.
    pub(super) const COMPRESSED: u32 = 1 << 16;
    /// Flag: grains have markers, with the place in the disk.
    pub(super) const EMBEDDED_LBA: u32 = 1 << 17;
    /// Flags in these bits forbid reading to those who don't know them.
    pub(super) const INCOMPATIBLE: u32 = 0xffff_0000;

    /// `gd_offset` of a stream: see the footer.
    pub(super) const GD_AT_END: u64 = u64::MAX;
    /// `compress_algorithm`: each grain is a zlib stream (RFC 1950).
    pub(super) const DEFLATE: u16 = 1;
}

const _: () = assert!(Header::SIZE == SECTOR as usize);
const _: () = assert!(offset_of!(Header, capacity) == 12);
const _: () = assert!(offset_of!(Header, num_gtes_per_gt) == 44);
const _: () = assert!(offset_of!(Header, gd_offset) == 56);
const _: () = assert!(offset_of!(Header, end_line_chars) == 73);
const _: () = assert!(offset_of!(Header, compress_algorithm) == 77);

/// `GrainMarker` without its data: stands in front of a compressed grain.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct GrainMarker {
    /// The grain's first sector in the disk.
    pub(super) lba: U64,
    /// Bytes of the data, which follows; the next marker begins a sector.
    pub(super) size: U32,
}

const _: () = assert!(size_of::<GrainMarker>() == 12);

/// `MetadataMarker`: a sector in front of metadata. One of zeroes ends the stream.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct MetadataMarker {
    /// Sectors of the metadata, which follows.
    pub(super) num_sectors: U64,
    /// 0: this is not a grain.
    pub(super) size: U32,
    pub(super) type_: U32,
    pub(super) pad: [u8; 496],
}

impl MetadataMarker {
    pub(super) const SIZE: usize = size_of::<Self>();

    pub(super) const END_OF_STREAM: u32 = 0;
    pub(super) const GRAIN_TABLE: u32 = 1;
    pub(super) const GRAIN_DIRECTORY: u32 = 2;
    pub(super) const FOOTER: u32 = 3;

    pub(super) fn new(type_: u32, num_sectors: u64) -> Self {
        Self { num_sectors: num_sectors.into(), size: U32::ZERO, type_: type_.into(), pad: [0; 496] }
    }

    /// Whether it marks metadata of this type.
    pub(super) fn is_of(&self, type_: u32) -> bool {
        self.size.get() == 0 && self.type_.get() == type_
    }
}

const _: () = assert!(MetadataMarker::SIZE == SECTOR as usize);
const _: () = assert!(offset_of!(MetadataMarker, type_) == 12);
