//! Two slots for roots, of which GRUB chooses one at each boot.

use crate::disk::PartitionId;

/// The names of slots, which RAUC writes as they are.
pub const NAMES: [&str; 2] = ["A", "B"];

/// Where the slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The numbers of their partitions.
    pub numbers: [u32; 2],
    /// The identities of their partitions.
    pub partitions: [PartitionId; 2],
    /// The number of the partition with the kernels of both, where GRUB does not read a slot.
    pub kernels: Option<u32>,
}
