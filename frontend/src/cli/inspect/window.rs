//! A part of a disk as a disk of its own, which can be read only so often.

use std::cell::Cell;

use exporter::disk::gpt::{Partition, Table};
use exporter::read_at::{ReadAt, Shared};
use exporter::{Error, Kind, Result};
use ext4_view::Ext4Read;

/// Bytes that may be read through one window: metadata that leads in circles comes to an end.
const BUDGET: u64 = 256 << 20;

/// `len` bytes from `start` of a disk on.
pub(super) struct Window {
    disk: Shared,
    start: u64,
    len: u64,
    budget: Cell<u64>,
}

impl Window {
    /// The same place, to be read whole: every byte as often as files are linked to it, within reason.
    pub(super) fn whole_content(&self) -> Self {
        let budget = Cell::new(self.len.saturating_mul(2).saturating_add(BUDGET));
        Self { disk: self.disk.clone(), start: self.start, len: self.len, budget }
    }

    /// The place of a partition.
    pub(super) fn of_partition(disk: &Shared, table: &Table, partition: &Partition) -> Self {
        let sector_size = u64::from(table.sector_size);
        let start = partition.first_lba.saturating_mul(sector_size);
        let end = partition.last_lba.saturating_add(1).saturating_mul(sector_size);
        Self { disk: disk.clone(), start, len: end.saturating_sub(start), budget: Cell::new(BUDGET) }
    }

    /// The whole disk.
    pub(super) fn whole(disk: &Shared) -> Self {
        Self { disk: disk.clone(), start: 0, len: disk.size(), budget: Cell::new(BUDGET) }
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
        let len = out.len() as u64;
        let corrupt = |message: &str| Err(Error::new(Kind::Corrupt, "", message));
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return corrupt("its metadata points outside of it");
        }
        match self.budget.get().checked_sub(len) {
            Some(left) => self.budget.set(left),
            None => return corrupt("its metadata has no end"),
        }
        self.disk.read_at(self.start + offset, out)
    }
}

impl Ext4Read for Window {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.read_at(start_byte, dst)?)
    }
}
