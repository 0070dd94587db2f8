//! GUID partition table, UEFI specification 2.10, chapter 5.
//!
//! Written: protective MBR, primary and backup header and entries, 128 entries of 128 bytes, sectors of
//! 512 or 4096 bytes. Read: what [`read()`] finds, checked, from the backup where the primary is broken.

mod check;
mod encode;
mod format;
mod read;

pub use check::check;
pub use encode::{encode, encode_active};
pub use read::{Copy, Found, read};

use crate::seed::Uuid;
pub use format::ENTRIES;

/// A partition table: what both copies on the disk say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Identity of the disk.
    pub disk_guid: Uuid,
    /// Bytes per sector: 512 or 4096.
    pub sector_size: u32,
    /// Sectors of the disk.
    pub sectors: u64,
    /// The partitions that are in use, with their places in the array of entries.
    pub partitions: Vec<Partition>,
}

/// One partition of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Number from 1 on: the `3` of `sda3`.
    pub number: u32,
    /// Type GUID, see [`super::kinds`].
    pub kind: Uuid,
    /// Identity of this partition.
    pub guid: Uuid,
    /// First sector.
    pub first_lba: u64,
    /// Last sector, itself part of the partition.
    pub last_lba: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Name, up to 36 UTF-16 units.
    pub name: String,
}

/// Sectors that the entries take.
fn entries_sectors(sector_size: u32) -> u64 {
    format::ENTRIES_LEN.div_ceil(sector_size as usize) as u64
}

/// The first sector a partition may use: after the MBR, the header and the entries.
pub fn first_usable_lba(sector_size: u32) -> u64 {
    2 + entries_sectors(sector_size)
}

/// The last sector a partition may use on a disk of so many sectors: before the backup of both.
pub fn last_usable_lba(sectors: u64, sector_size: u32) -> u64 {
    sectors.saturating_sub(2 + entries_sectors(sector_size))
}
