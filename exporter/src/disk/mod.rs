//! The disk: a partition table and the contents of the partitions, as one list of extents.
//!
//! ```text
//! LBA 0          1        2 … 33    34          1 MiB                     -1 MiB   -33 … -2   -1
//! ┌────────────┬────────┬─────────┬───────────┬─────────────┬───────────┬────────┬─────────┬────────┐
//! │ boot code, │ header │ entries │ free      │ partition 1 │ … last    │ free   │ entries │ backup │
//! │ prot. MBR  │        │         │           │             │ partition │        │         │ header │
//! └────────────┴────────┴─────────┴───────────┴─────────────┴───────────┴────────┴─────────┴────────┘
//! ```
//!
//! An [MBR](mbr) has neither entries nor backup, and GRUB's core where the entries would be. Partitions start and
//! end on 1 MiB. Each has its least size, and those with a weight share the rest. Placing comes before contents,
//! because boot code and FAT boot sectors name the LBAs of their partitions: [`place`], then [`DiskLayout::new`].

pub mod gpt;
pub mod kinds;
mod layout;
pub mod mbr;
mod table;
#[cfg(test)]
mod tests;

pub use crate::seed::PartitionId;
pub use layout::{ALIGNMENT, BootCode, Disk, DiskLayout, Placed, Unplaced, minimum_size, place};
pub use table::{PartitionKind, Table, TableKind, read};
