//! The header, with the field names of VirtualBox (`VDIPREHEADER`, `VDIHEADER1PLUS`).

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What stands at the start of the file.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    /// For people: a line of text.
    pub(super) file_info: [u8; 64],
    pub(super) signature: U32,
    pub(super) version: U32,

    /// Bytes of the header from this field on.
    pub(super) header_size: U32,
    pub(super) image_type: U32,
    pub(super) flags: U32,
    pub(super) comment: [u8; 256],
    pub(super) offset_blocks: U32,
    pub(super) offset_data: U32,
    /// Cylinders, heads, sectors, bytes of a sector; 0 leaves the first three to the machine.
    pub(super) legacy_geometry: [U32; 4],
    pub(super) dummy: U32,
    pub(super) disk_size: U64,
    pub(super) block_size: U32,
    pub(super) block_extra: U32,
    pub(super) blocks: U32,
    pub(super) blocks_allocated: U32,
    pub(super) uuid_create: [u8; 16],
    pub(super) uuid_modify: [u8; 16],
    pub(super) uuid_linkage: [u8; 16],
    pub(super) uuid_parent_modify: [u8; 16],
    /// The same for a BIOS. VirtualBox refuses a header as long as this without the bytes of a sector.
    pub(super) lchs_geometry: [U32; 4],
    /// Up to the end of the sector.
    pub(super) padding: [u8; 40],
}

impl Header {
    pub(super) const SIGNATURE: u32 = 0xbeda_107f;
    pub(super) const VERSION: u32 = 0x0001_0001;
    pub(super) const SIZE: usize = size_of::<Self>();
    pub(super) const HEADER_SIZE: u32 = (offset_of!(Self, padding) - offset_of!(Self, header_size)) as u32;

    pub(super) const DYNAMIC: u32 = 1;
    pub(super) const FIXED: u32 = 2;
}

const _: () = assert!(Header::SIZE == 512);
const _: () = assert!(Header::HEADER_SIZE == 400);
const _: () = assert!(offset_of!(Header, signature) == 64);
const _: () = assert!(offset_of!(Header, offset_blocks) == 340);
const _: () = assert!(offset_of!(Header, disk_size) == 368);
const _: () = assert!(offset_of!(Header, uuid_create) == 392);
const _: () = assert!(offset_of!(Header, lchs_geometry) == 456);

/// Bytes of a sector, and what tables and blocks begin at a multiple of.
pub(super) const SECTOR: u32 = 512;

/// Block map entry: the block is not in the file; it was never written.
pub(super) const FREE: u32 = u32::MAX;
/// Block map entry: the block is not in the file and reads as zero.
pub(super) const ZERO: u32 = u32::MAX - 1;
