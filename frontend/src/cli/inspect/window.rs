//! A part of a disk as a disk of its own.

use exporter::disk::gpt::{Partition, Table};
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
    pub(super) fn of_partition(disk: &Shared, table: &Table, partition: &Partition) -> Self {
        let sector_size = u64::from(table.sector_size);
        let start = partition.first_lba.saturating_mul(sector_size);
        let end = partition.last_lba.saturating_add(1).saturating_mul(sector_size);
        Self { disk: disk.clone(), start, len: end.saturating_sub(start) }
    }

    /// The whole disk.
    pub(super) fn whole(disk: &Shared) -> Self {
        Self { disk: disk.clone(), start: 0, len: disk.size() }
    }

    /// Where it lies on the disk, in bytes.
    pub(super) fn start(&self) -> u64 {
        self.start
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
