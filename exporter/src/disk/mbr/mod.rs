//! Master boot record with four partitions, UEFI specification 2.10, section 5.2: for BIOSes that start no other disk.
//!
//! ```text
//! LBA 0                             1 …            1 MiB
//! ┌───────────┬───────────┬────────┬──────────────┬─────────────┬───
//! │ boot code │ signature │ 4 part.│ GRUB's core  │ partition 1 │ …
//! └───────────┴───────────┴────────┴──────────────┴─────────────┴───
//! ```
//!
//! Sectors of 512 bytes: nothing in it says which size they have. Extended partitions are not written, and what is in
//! them is not read.

mod encode;
mod format;
mod kinds;
mod read;

pub use encode::encode;
pub use format::{BOOT_CODE_LEN, ENTRIES, SIGNATURE_OFFSET};
pub(super) use format::{MasterBootRecord, PartitionRecord};
pub use kinds::{guid, is_extended, kind};
pub use read::read;

use crate::seed::Uuid;

/// Bytes of a sector.
pub const SECTOR_SIZE: u32 = 512;
/// No partition reaches further: sectors are counted in 32 bits.
pub const LIMIT: u64 = (1 << 32) * SECTOR_SIZE as u64;

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Identity of the disk, which is that of its partitions too.
    pub signature: u32,
    /// Those in use, in the order of the table.
    pub partitions: Vec<Partition>,
}

/// One partition of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Number from 1 on.
    pub number: u32,
    /// Type, see [`kind`].
    pub kind: u8,
    /// First sector.
    pub first_lba: u32,
    /// How many sectors it has.
    pub sectors: u32,
    /// Whether it is the one that a BIOS starts.
    pub is_active: bool,
}

/// The signature of the disk that has this GUID. Zero is none.
pub fn signature(disk: Uuid) -> u32 {
    let Uuid([a, b, c, d, ..]) = disk;
    u32::from_be_bytes([a, b, c, d]).max(1)
}
