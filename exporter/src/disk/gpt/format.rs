//! The structures on disk, with the specification's field names.

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries of a table, used or not.
pub const ENTRIES: usize = 128;
/// Bytes of all entries together.
pub(super) const ENTRIES_LEN: usize = ENTRIES * size_of::<Entry>();
/// Longest name in UTF-16 units.
pub(super) const NAME_LEN: usize = 36;

/// GPT header, UEFI 5.3.2; the rest of its sector is zero.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    pub(super) signature: [u8; 8],
    pub(super) revision: U32,
    pub(super) header_size: U32,

    pub(super) header_crc32: U32,
    pub(super) reserved: U32,
    pub(super) my_lba: U64,

    pub(super) alternate_lba: U64,
    pub(super) first_usable_lba: U64,

    pub(super) last_usable_lba: U64,
    pub(super) disk_guid: [u8; 16],

    pub(super) partition_entry_lba: U64,
    pub(super) number_of_partition_entries: U32,
    pub(super) size_of_partition_entry: U32,
    pub(super) partition_entry_array_crc32: U32,
}

impl Header {
    pub(super) const SIGNATURE: [u8; 8] = *b"EFI PART";
    pub(super) const REVISION: u32 = 0x0001_0000;
    pub(super) const SIZE: usize = size_of::<Self>();

    /// The checksum over the header, taken with its own field as zero.
    pub(super) fn checksum(&self) -> u32 {
        let blank = Self { header_crc32: U32::ZERO, ..self.clone() };
        crc32fast::hash(blank.as_bytes())
    }

    /// The same header with its checksum.
    pub(super) fn seal(self) -> Self {
        Self { header_crc32: self.checksum().into(), ..self }
    }
}

const _: () = assert!(Header::SIZE == 92);
const _: () = assert!(offset_of!(Header, header_crc32) == 16);
const _: () = assert!(offset_of!(Header, disk_guid) == 56);
const _: () = assert!(offset_of!(Header, partition_entry_array_crc32) == 88);

/// GPT partition entry, UEFI 5.3.3.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Entry {
    /// All zero: the entry is unused.
    pub(super) partition_type_guid: [u8; 16],

    pub(super) unique_partition_guid: [u8; 16],

    pub(super) starting_lba: U64,
    /// Itself part of the partition.
    pub(super) ending_lba: U64,

    pub(super) attributes: U64,
    /// UTF-16, ended by a zero unless it is full.
    pub(super) partition_name: [U16; NAME_LEN],
}

const _: () = assert!(size_of::<Entry>() == 128);
const _: () = assert!(offset_of!(Entry, attributes) == 48);
