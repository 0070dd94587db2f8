//! The disk in an ISO: a file of it, as it is. What has written one is a [room of its own](crate::iso9660).

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::fs::iso9660;
use crate::read_at::{Part, ReadAt};

/// `/vmimage/disk.raw`, as those know it who read no Rock Ridge.
const DISK: [&str; 2] = ["VMIMAGE", "DISK.RAW;1"];

/// Where the disk lies in an ISO, if it has one.
pub(super) fn disk(iso: &impl ReadAt) -> Result<Option<Range<u64>>> {
    iso9660::find(iso, &DISK)
}

/// The disk in an ISO.
///
/// # Errors
/// [`Kind::NotFound`] for any other ISO.
pub(super) fn open<I: ReadAt>(iso: I, path: &Path) -> Result<Part<I>> {
    let message = "is an ISO, and has no disk in it that vmimage has made";
    let lacking = || Error::new(Kind::NotFound, path.display().to_string(), message);
    let disk = disk(&iso)?.ok_or_else(lacking)?;
    Ok(Part::new(iso, disk))
}
