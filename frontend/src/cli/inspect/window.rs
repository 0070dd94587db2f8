//! A part of a disk as a disk of its own.

use exporter::disk::Placed;
use exporter::read_at::{ReadAt, Shared};
use exporter::{Error, Kind, Result};

/// `len` bytes from `start` of a disk on.
pub(super) struct Window {
    disk: Shared,
    start: u64,
    len: u64,
}

impl Window {
    /// The place of a partition.
    pub(super) fn of_partition(disk: &Shared, placed: &Placed) -> Self {
        Self { disk: disk.clone(), start: placed.start, len: placed.size }
    }

    /// The whole disk.
    pub(super) fn whole(disk: &Shared) -> Self {
        Self { disk: disk.clone(), start: 0, len: disk.size() }
    }
}

impl ReadAt for Window {
    fn size(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        match offset.checked_add(out.len() as u64) {
            Some(end) if end <= self.len => self.disk.read_at(self.start.saturating_add(offset), out),
            _ => Err(Error::new(Kind::Corrupt, "", "its metadata points outside of it")),
        }
    }
}
