//! The structures on disk, with the specification's field names.

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of boot code in front of the disk signature.
pub const BOOT_CODE_LEN: usize = 440;
/// Entries of a table, used or not.
pub const ENTRIES: usize = 128;
/// Bytes of all entries together.
pub(super) const ENTRIES_LEN: usize = ENTRIES * size_of::<Entry>();
/// Longest name in UTF-16 units.
pub(super) const NAME_LEN: usize = 36;

/// Protective master boot record, UEFI 5.2.3.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ProtectiveMbr {
    pub(super) boot_code: [u8; BOOT_CODE_LEN],
    pub(super) unique_mbr_disk_signature: U32,
    pub(super) unknown: U16,
    pub(super) partition_record: [MbrPartitionRecord; 4],
    pub(super) signature: U16,
}

impl ProtectiveMbr {
    pub(super) const SIGNATURE: u16 = 0xaa55;
}

const _: () = assert!(size_of::<ProtectiveMbr>() == 512);
const _: () = assert!(offset_of!(ProtectiveMbr, partition_record) == 446);
const _: () = assert!(offset_of!(ProtectiveMbr, signature) == 510);

/// One of the four partitions of an MBR, UEFI 5.2.1.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct MbrPartitionRecord {
    pub(super) boot_indicator: u8,
    pub(super) starting_chs: [u8; 3],
    pub(super) os_type: u8,
    pub(super) ending_chs: [u8; 3],
    pub(super) starting_lba: U32,
    pub(super) size_in_lba: U32,
}

impl MbrPartitionRecord {
    /// The type that says: this disk belongs to a GPT.
    pub(super) const GPT_PROTECTIVE: u8 = 0xee;

    pub(super) const UNUSED: Self = Self {
        boot_indicator: 0,
        starting_chs: [0; 3],
        os_type: 0,
        ending_chs: [0; 3],
        starting_lba: U32::ZERO,
        size_in_lba: U32::ZERO,
    };
}

const _: () = assert!(size_of::<MbrPartitionRecord>() == 16);

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
