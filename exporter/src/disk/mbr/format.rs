//! The structures on disk, with the specification's field names.

use std::mem::offset_of;

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of boot code in front of the disk signature.
pub const BOOT_CODE_LEN: usize = 440;
/// Partitions of a table, used or not.
pub const ENTRIES: usize = 4;

/// Master boot record, UEFI 5.2.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(in crate::disk) struct MasterBootRecord {
    pub(in crate::disk) boot_code: [u8; BOOT_CODE_LEN],
    pub(in crate::disk) unique_mbr_disk_signature: U32,
    pub(in crate::disk) unknown: U16,
    pub(in crate::disk) partition_record: [PartitionRecord; ENTRIES],
    pub(in crate::disk) signature: U16,
}

impl MasterBootRecord {
    pub(in crate::disk) const SIGNATURE: u16 = 0xaa55;
}

/// Where the disk signature lies.
pub const SIGNATURE_OFFSET: usize = offset_of!(MasterBootRecord, unique_mbr_disk_signature);

const _: () = assert!(size_of::<MasterBootRecord>() == 512);
const _: () = assert!(SIGNATURE_OFFSET == BOOT_CODE_LEN);
const _: () = assert!(offset_of!(MasterBootRecord, partition_record) == 446);
const _: () = assert!(offset_of!(MasterBootRecord, signature) == 510);

/// One of the four partitions of an MBR, UEFI 5.2.1.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(in crate::disk) struct PartitionRecord {
    pub(in crate::disk) boot_indicator: u8,
    pub(in crate::disk) starting_chs: [u8; 3],
    /// Zero: the record is unused.
    pub(in crate::disk) os_type: u8,
    pub(in crate::disk) ending_chs: [u8; 3],
    pub(in crate::disk) starting_lba: U32,
    pub(in crate::disk) size_in_lba: U32,
}

impl PartitionRecord {
    /// The type that says: this disk belongs to a GPT.
    pub(in crate::disk) const GPT_PROTECTIVE: u8 = 0xee;
    /// The boot indicator of the partition that a BIOS starts.
    pub(in crate::disk) const ACTIVE: u8 = 0x80;

    pub(in crate::disk) const UNUSED: Self = Self {
        boot_indicator: 0,
        starting_chs: [0; 3],
        os_type: 0,
        ending_chs: [0; 3],
        starting_lba: U32::ZERO,
        size_in_lba: U32::ZERO,
    };
}

const _: () = assert!(size_of::<PartitionRecord>() == 16);
