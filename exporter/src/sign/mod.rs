//! A disk with every program for UEFI on it signed: its EFI system partition, and one for `/boot` if that has FAT, made
//! anew at the same place and as large; the rest as it is.
//!
//! ```text
//! disk ─▶ files of the partition ─unpack─▶ folder ─sign each program─▶ folder ─fat::plan─▶ partition ─▶ disk
//! ```
//!
//! Times are lost on the way, and attributes of DOS: all files then have the time of the newest. What firmware does not
//! start itself has no signature that anybody looks for: a kernel on ext4 is GRUB's to check.

mod volume;

use std::ops::Range;
use std::path::Path;

use crate::disk::{self, Placed, kinds};
use crate::engine::{CHUNK, RawImage};
use crate::error::{Error, Kind, Result};
use crate::extent::{Backing, Extent, Extents};
use crate::fs::probe::looks_like_fat;
use crate::fs::{Contents, DiskBudget};
use crate::pki::Signer;
use crate::read_at::{Part, Shared};
use crate::seed::{Seed, Uuid};

/// A disk with signed programs, planned.
pub struct Signed {
    parts: Parts,
    /// The identity of a disk file with it.
    pub id: Uuid,
    /// What was done with each program, a line each.
    pub notes: Vec<String>,
}

impl Signed {
    /// The disk as the engine takes it.
    pub fn image(&self) -> RawImage<'_> {
        RawImage { size: self.parts.disk.size(), extents: &self.parts }
    }
}

/// Plan the disk of `disk` with its programs signed by `signer`. What is read of it comes out of `budget`; files lie in
/// `folder`, which is empty, until the disk is written.
///
/// # Errors
/// [`Kind::NotFound`] if there is no program; [`Kind::NoSpace`] if the signatures have no room; as
/// [`authenticode::sign`](crate::authenticode::sign).
pub fn plan(disk: Shared, signer: &Signer, budget: &DiskBudget, folder: &Path) -> Result<Signed> {
    let table = disk::read(&*disk)?;
    let id = Seed::new(table.disk_id().as_bytes()).uuid("signed disk file");
    let mut partitions = table.partitions();
    partitions.retain(starts_programs);
    partitions.sort_by_key(|partition| partition.start);
    let (mut volumes, mut notes) = (Vec::new(), Vec::new());
    for placed in &partitions {
        let part = Part::new(&*disk, placed.start..placed.end());
        if !looks_like_fat(&part) {
            continue;
        }
        let name = format!("partition {}", placed.number);
        let hidden = placed.start / u64::from(table.sector_size());
        let own = folder.join(placed.number.to_string());
        let signed = volume::sign(&part, hidden, signer, budget, &own).map_err(|error| at(&name, error))?;
        notes.extend(signed.notes.into_iter().map(|note| format!("{name}: {note}")));
        volumes.extend(signed.contents.map(|contents| (placed.start, contents)));
    }
    if notes.is_empty() {
        let message = "has no program for UEFI on a partition that firmware reads";
        return Err(Error::new(Kind::NotFound, "", message)
            .with_hint("sign a disk that was built for UEFI; vmimage inspect shows what starts it"));
    }
    Ok(Signed { parts: Parts { disk, volumes }, id, notes })
}

/// Whether firmware, or a boot loader by its means, starts programs from it.
fn starts_programs(partition: &Placed) -> bool {
    partition.kind.guid().is_some_and(|kind| kind == kinds::ESP || kind == kinds::XBOOTLDR)
}

/// The error with its place.
fn at(place: &str, error: Error) -> Error {
    let named = Error::new(error.kind().clone(), place, error.to_string());
    match error.hint() {
        Some(hint) => named.with_hint(hint.clone()),
        None => named,
    }
}

/// A disk with some volumes in place of its own.
struct Parts {
    disk: Shared,
    /// With their first bytes, in this order; apart, as the partitions of a table that was checked are.
    volumes: Vec<(u64, Contents)>,
}

impl Extents for Parts {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let mut parts: Vec<Box<dyn Iterator<Item = Extent> + Send + '_>> = Vec::new();
        let mut end = 0;
        for (start, contents) in &self.volumes {
            parts.push(Box::new(self.kept(end..*start)));
            parts.push(Box::new(contents.extents.iter().map(|extent| extent.shifted(*start))));
            end = start + contents.size;
        }
        parts.push(Box::new(self.kept(end..self.disk.size())));
        Box::new(parts.into_iter().flatten())
    }
}

impl Parts {
    /// What is in a range of the disk, but for its holes.
    fn kept(&self, range: Range<u64>) -> impl Iterator<Item = Extent> + Send + '_ {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let start = self.disk.data_from(at).max(at);
            at = start.saturating_add(CHUNK as u64).min(range.end);
            let source = || Backing::Image { image: self.disk.clone(), offset: start };
            (start < range.end).then(|| Extent { offset: start, len: at - start, source: source() })
        })
    }
}
