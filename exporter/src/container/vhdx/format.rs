//! The structures, with the specification's field names.

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::seed::Uuid;

/// What regions and blocks begin and end at multiples of.
pub(super) const MIB: u64 = 1 << 20;
/// The largest disk of the format.
pub(super) const SIZE_MAX: u64 = 64 << 40;

/// Where the two headers and the two region tables lie: section 2.2.
pub(super) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
pub(super) const REGION_TABLES: [u64; 2] = [192 << 10, 256 << 10];
/// What stands at the start of the file.
pub(super) const FILE_SIGNATURE: [u8; 8] = *b"vhdxfile";

/// Section 2.2.2.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    pub(super) signature: [u8; 4],
    pub(super) checksum: U32,
    pub(super) sequence_number: U64,
    pub(super) file_write_guid: [u8; 16],
    pub(super) data_write_guid: [u8; 16],
    /// Zero: the log is empty.
    pub(super) log_guid: [u8; 16],
    pub(super) log_version: U16,
    pub(super) version: U16,
    pub(super) log_length: U32,
    pub(super) log_offset: U64,
    pub(super) reserved: [u8; 4016],
}

impl Header {
    pub(super) const SIGNATURE: [u8; 4] = *b"head";
    pub(super) const VERSION: u16 = 1;
}

/// Sections 2.2.3.1 and 2.2.3.2, as long as the checksum covers.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RegionTable {
    pub(super) signature: [u8; 4],
    pub(super) checksum: U32,
    pub(super) entry_count: U32,
    pub(super) reserved: U32,
    pub(super) entries: [RegionEntry; Self::ENTRIES_MAX],
    /// Up to 64 KiB.
    pub(super) padding: [u8; 16],
}

/// Section 2.2.3.2.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub(super) struct RegionEntry {
    pub(super) guid: [u8; 16],
    pub(super) file_offset: U64,
    pub(super) length: U32,
    pub(super) required: U32,
}

impl RegionTable {
    pub(super) const SIGNATURE: [u8; 4] = *b"regi";
    /// As many as fit the 64 KiB the checksum covers.
    pub(super) const ENTRIES_MAX: usize = 2047;
}

/// Sections 2.6.1.1 and 2.6.1.2: the table at the start of the metadata region.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct MetadataTable {
    pub(super) signature: [u8; 8],
    pub(super) reserved: U16,
    pub(super) entry_count: U16,
    pub(super) reserved2: [u8; 20],
    pub(super) entries: [MetadataEntry; Self::ENTRIES_MAX],
}

/// Section 2.6.1.2.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub(super) struct MetadataEntry {
    pub(super) item_id: [u8; 16],
    /// From the start of the region, 64 KiB at least.
    pub(super) offset: U32,
    pub(super) length: U32,
    pub(super) flags: U32,
    pub(super) reserved2: U32,
}

impl MetadataTable {
    pub(super) const SIGNATURE: [u8; 8] = *b"metadata";
    /// As many as fit the 64 KiB of the table.
    pub(super) const ENTRIES_MAX: usize = 2047;
    pub(super) const SIZE: u32 = size_of::<Self>() as u32;
}

impl MetadataEntry {
    pub(super) const IS_VIRTUAL_DISK: u32 = 1 << 1;
    pub(super) const IS_REQUIRED: u32 = 1 << 2;
}

const _: () = assert!(size_of::<Header>() == 4096);
const _: () = assert!(offset_of!(Header, log_guid) == 48);
const _: () = assert!(offset_of!(Header, log_offset) == 72);
const _: () = assert!(size_of::<RegionEntry>() == 32);
const _: () = assert!(size_of::<RegionTable>() == 64 << 10);
const _: () = assert!(offset_of!(RegionTable, entries) == 16);
const _: () = assert!(size_of::<MetadataEntry>() == 32);
const _: () = assert!(size_of::<MetadataTable>() == 64 << 10);
const _: () = assert!(offset_of!(MetadataTable, entries) == 32);

/// Section 2.2.3.2: the regions.
pub(super) const BAT: Uuid = Uuid::from_text("2DC27766-F623-4200-9D64-115E9BFD4A08");
pub(super) const METADATA: Uuid = Uuid::from_text("8B7CA206-4790-4B9A-B8FE-575F050F886E");

/// Section 2.6.2: the metadata items.
pub(super) const FILE_PARAMETERS: Uuid = Uuid::from_text("CAA16737-FA36-4D43-B3B6-33F0AA44E76B");
pub(super) const VIRTUAL_DISK_SIZE: Uuid = Uuid::from_text("2FA54224-CD1B-4876-B211-5DBED83BF4B8");
pub(super) const VIRTUAL_DISK_ID: Uuid = Uuid::from_text("BECA12AB-B2E6-4523-93EF-C309E000C746");
pub(super) const LOGICAL_SECTOR_SIZE: Uuid = Uuid::from_text("8141BF1D-A96F-4709-BA47-F233A8FAAB5F");
pub(super) const PHYSICAL_SECTOR_SIZE: Uuid = Uuid::from_text("CDA348C7-445D-4471-9CC9-E9885251C556");

/// Which parent an image has.
pub(super) const PARENT_LOCATOR: Uuid = Uuid::from_text("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C");

/// Flag of the file parameters: the image has a parent.
pub(super) const HAS_PARENT: u32 = 1 << 1;

/// Section 2.5.1: the bits of a BAT entry that hold the state, and those of the offset in the file,
/// which is in units of 1 MiB and starts at bit 20: with the others cleared it is in bytes.
pub(super) const STATE: u64 = 0b111;
pub(super) const OFFSET: u64 = !0xf_ffff;
/// State of a block that is zero. One that is not there at all (0) may hold anything, says section
/// 2.5.1.1, though all readers make zeroes of it.
pub(super) const BLOCK_ZERO: u64 = 2;
/// States of a block that is not in the file: it reads as zero if there is no parent. 4 and 5 are none.
pub(super) const NOT_IN_FILE: std::ops::RangeInclusive<u64> = 0..=3;
/// State of a block that is in the file.
pub(super) const FULLY_PRESENT: u64 = 6;
/// State of a block of which the parent has some.
pub(super) const PARTIALLY_PRESENT: u64 = 7;

/// Section 2.5: after the entries of as many blocks comes one for a sector bitmap.
pub(super) fn chunk_ratio(block_size: u64, sector_size: u64) -> u64 {
    (sector_size << 23) / block_size
}

/// The CRC-32C of a structure whose checksum is the four bytes from 4 on.
pub(super) fn checksum(structure: &[u8]) -> u32 {
    let start = crc32c::crc32c(&structure[..4]);
    crc32c::crc32c_append(crc32c::crc32c_append(start, &[0; 4]), &structure[8..])
}
