//! FAT12, FAT16 and FAT32, written once: a tree goes in, a layout comes out.
//!
//! Specification: Microsoft, "FAT32 File System Specification", version 1.03 (2000), and ECMA-107.
//!
//! ```text
//! ┌─────────────┬────────┬────────────────┬───────┬───────┬──────────────┬───────────────────────┐
//! │ boot sector │ FSInfo │ copies of both │ FAT 1 │ FAT 2 │ root (12/16) │ clusters: directories │
//! │             │ (32)   │ (32)           │       │       │              │ and files, contiguous │
//! └─────────────┴────────┴────────────────┴───────┴───────┴──────────────┴───────────────────────┘
//! ```
//!
//! Long names, and 8.3 aliases that depend on nothing but the names. Every entry bears one time, from
//! [`Options`]: a boot partition keeps no history. A hard link becomes a second file.
//!
//! Refused: symbolic links, devices, pipes and sockets; names that FAT cannot hold or tell apart; files
//! of 4 GiB and more. Owners, permissions and extended attributes have no place in FAT and are left out.

mod edit;
mod files;
mod format;
mod geometry;
mod names;
mod plan;
mod read;
mod sectors;
#[cfg(test)]
mod tests;
mod tree_digest;
mod volume;
mod walk;

pub(crate) use edit::{edit_texts, rename};
pub(crate) use files::walk;
pub use geometry::FatType;
pub use plan::{minimum_size, plan};
pub use read::{Found, files, read, read_file, read_files};
pub use tree_digest::tree_digest;

use crate::tree::Time;

/// What a volume is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Up to 11 characters of the upper-case 8.3 set and spaces; empty for none.
    pub label: String,
    /// Serial number, what Linux shows as the UUID `1234-ABCD`.
    pub serial: u32,
    /// Size in bytes.
    pub size: u64,
    /// Bytes per sector: 512 or 4096.
    pub sector_size: u32,
    /// Sectors before the volume: the first LBA of its partition.
    pub hidden_sectors: u64,
    /// The time of every entry; before 1980 and after 2107 the nearest that FAT can say.
    pub modified: Time,
    /// This FAT type and no other; `None`: FAT32 where the size allows it, as firmware likes it best.
    pub kind: Option<FatType>,
}
