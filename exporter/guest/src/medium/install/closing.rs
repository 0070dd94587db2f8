//! What makes a disk one that starts: the first block, with the table, when all else is there. A GPT gets its backup at the end
//! of this disk, whatever the size of the image was.
//!
//! ```text
//! backup of the table ▶ the first block but its first sector ▶ the first sector
//! ```
//!
//! Without the first sector there is no table, neither for a kernel nor for firmware (UEFI 2.10, section 5.2.3), and a sector
//! is written or is not.

use std::ops::Range;

use super::target::{Aligned, Target};
use crate::grow::gpt;
use crate::grow::table::{self, Refusal};

/// `EFI PART` (UEFI 2.10, table 5.5).
const GPT: &[u8] = b"EFI PART";

/// What is written last.
#[derive(Debug)]
pub(super) struct Closing {
    backup: Vec<(u64, Vec<u8>)>,
    first: Vec<u8>,
    sector: usize,
}

/// Whether the first bytes of a disk have a GPT.
pub(super) fn has_gpt(first: &[u8], sector: u64) -> bool {
    let start = usize::try_from(sector).unwrap_or(usize::MAX);
    first.get(start..).is_some_and(|rest| rest.starts_with(GPT))
}

impl Closing {
    /// With the `first` block of an image, on a disk of `len` bytes.
    ///
    /// # Errors
    /// If that has no table, or one that cannot be moved.
    pub(super) fn of(first: &[u8], sector: u64, len: u64) -> Result<Self, String> {
        let mut closing = Self { backup: Vec::new(), first: first.to_vec(), sector: sector as usize };
        if !has_gpt(first, sector) {
            return match table::partition_id(sector, 1, reading(first))?.is_some() || is_mbr(first) {
                true => Ok(closing),
                false => Err("the disk of this medium has no partition table".to_owned()),
            };
        }
        let refused = |refusal: Refusal| format!("the table of this medium's disk: {}", refusal.reason());
        let table = gpt::Table::read(sector, reading(first))?.map_err(refused)?;
        for (at, bytes) in table.at_the_end_of(len).map_err(refused)? {
            match place(at, bytes.len(), closing.first.len()) {
                Some(place) => closing.first[place].copy_from_slice(&bytes),
                None => closing.backup.push((at, bytes)),
            }
        }
        Ok(closing)
    }

    /// Where the partition `number` of the disk lies, in bytes.
    pub(super) fn partition(&self, number: u32) -> Result<Partition, String> {
        let found = table::place(self.sector as u64, number, reading(&self.first))?;
        let (place, id) =
            found.ok_or_else(|| format!("the disk of this medium has no partition {number}"))?;
        Ok(Partition { number, place, id, sector: self.sector as u64 })
    }

    /// Write it.
    pub(super) fn write(&self, target: &Target) -> Result<(), String> {
        let sync = |at| target.sync(at);
        for (at, bytes) in &self.backup {
            target.write(bytes, *at)?;
        }
        sync(target.len)?;
        let (sector, rest) = self.first.split_at(self.sector);
        target.write(rest, self.sector as u64)?;
        sync(self.sector as u64)?;
        target.write(sector, 0)?;
        sync(0)
    }

    /// That it is there.
    pub(super) fn check(&self, target: &Target) -> Result<(), String> {
        let mut aligned = Aligned::new(self.first.len());
        target.read(aligned.bytes(), 0)?;
        match aligned.bytes() == self.first {
            true => Ok(()),
            false => Err(format!(
                "{}: its table is not what was written\nhint: the disk is failing: take another one",
                target.name
            )),
        }
    }
}

/// A partition of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) number: u32,
    /// In bytes.
    pub(super) place: Range<u64>,
    /// Its identity as the table has it; `None`: the table is an MBR.
    pub(super) id: Option<[u8; 16]>,
    pub(super) sector: u64,
}

fn reading(first: &[u8]) -> impl FnMut(u64, usize) -> Result<Vec<u8>, String> {
    |at, len| {
        let place = place(at, len, first.len());
        let bytes = place.and_then(|place| first.get(place));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| {
            format!("the table of this medium's disk is not in its first {} bytes", first.len())
        })
    }
}

/// The bytes from `at` on, if they lie within the first `end`.
fn place(at: u64, len: usize, end: usize) -> Option<Range<usize>> {
    let start = usize::try_from(at).ok()?;
    Some(start..start.checked_add(len).filter(|last| *last <= end)?)
}

/// A boot record with partitions.
fn is_mbr(first: &[u8]) -> bool {
    first.get(510..512) == Some(&[0x55, 0xaa])
        && first.get(446..510).is_some_and(|records| records.iter().any(|byte| *byte != 0))
}
