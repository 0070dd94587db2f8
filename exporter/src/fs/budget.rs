//! What reading the volumes of one disk may cost, all of them together: a hundred partitions may be one.

use std::cell::RefCell;

use crate::error::{Error, Kind, Result};
use crate::limits::{
    BOOT_PATHS, Budget, DISK_ENTRIES, DISK_KEPT, DISK_READ, DISK_READ_PER_STORED, DISK_STORED_PER_KEPT,
    Exceeded,
};

/// The budget of a disk, for all who read it one after the other.
#[derive(Debug)]
pub struct DiskBudget {
    read: RefCell<Budget>,
    entries: RefCell<Budget>,
    kept: RefCell<Budget>,
    boot_paths: RefCell<Budget>,
}

impl DiskBudget {
    /// For a disk that takes so many bytes where it lies.
    pub fn new(stored: u64) -> Self {
        let read = stored.saturating_mul(DISK_READ_PER_STORED).saturating_add(DISK_READ);
        let entries = stored.saturating_add(DISK_ENTRIES);
        let kept = (stored / DISK_STORED_PER_KEPT).saturating_add(DISK_KEPT);
        Self {
            read: RefCell::new(Budget::new("bytes to be read", read)),
            entries: RefCell::new(Budget::new("entries of directories", entries)),
            kept: RefCell::new(Budget::new("bytes of names and changes", kept)),
            boot_paths: RefCell::new(Budget::new("bytes of paths that a machine may start from", BOOT_PATHS)),
        }
    }

    /// Bytes that are read, or hashed in their place.
    pub(crate) fn read(&self, bytes: u64) -> Result<()> {
        // A sparse file may be as large as anything: nothing is wrong with it.
        self.read.borrow_mut().spend(bytes).map_err(|exceeded| too_much(Kind::Unsupported, exceeded))
    }

    /// Entries of directories that are gone over.
    pub(super) fn entries(&self, count: u64) -> Result<()> {
        self.entries.borrow_mut().spend(count).map_err(|exceeded| too_much(Kind::Corrupt, exceeded))
    }

    /// Bytes that are kept.
    pub(super) fn keep(&self, bytes: u64) -> Result<()> {
        self.kept.borrow_mut().spend(bytes).map_err(|exceeded| too_much(Kind::Corrupt, exceeded))
    }

    /// Bytes of a path that a machine may start from.
    pub(super) fn boot_path(&self, bytes: u64) -> Result<()> {
        self.boot_paths.borrow_mut().spend(bytes).map_err(|exceeded| too_much(Kind::Corrupt, exceeded))
    }

    /// Bytes that are kept no longer.
    pub(super) fn release(&self, bytes: u64) {
        self.kept.borrow_mut().release(bytes);
    }
}

fn too_much(kind: Kind, exceeded: Exceeded) -> Error {
    Error::new(kind, "", format!("the disk has {exceeded}"))
}
