//! The programs on a volume of FAT, and who has signed them.

use super::digest::{Feed, refused};
use super::verify::{Found, found};
use crate::error::{Result, show_path};
use crate::fs::files::{FileContent, FileKind, Met, Step};
use crate::fs::{DiskBudget, fat};
use crate::read_at::ReadAt;

/// What programs for UEFI are called, in either case. A kernel that has no extension is not looked at.
const EXTENSION: &[u8] = b".efi";

/// The programs on `volume` that are called so, by their paths, each with its signatures or with why these are not read.
///
/// # Errors
/// If the volume breaks its format, or reading it costs more than `budget` has.
pub fn on_volume<V: ReadAt + ?Sized>(
    volume: &V,
    budget: &DiskBudget,
) -> Result<Vec<(String, Result<Vec<Found>>)>> {
    let mut programs = Vec::new();
    fat::walk(volume, budget, &mut |met: &Met<'_>| {
        let end = met.path.len().saturating_sub(EXTENSION.len());
        let is_named_so = met.path.get(end..).is_some_and(|end| end.eq_ignore_ascii_case(EXTENSION));
        if let FileKind::File { len, content } = &met.kind
            && is_named_so
            && let Some(signatures) = signatures(*len, *content)?
        {
            programs.push((show_path(met.path), signatures));
        }
        Ok(Step::Into)
    })?;
    Ok(programs)
}

/// Those of a file; `None` if it is no program.
fn signatures(len: u64, content: &dyn FileContent) -> Result<Option<Result<Vec<Found>>>> {
    let mut feed = Feed::new("", len);
    let mut failed = None;
    // What the file is must not be taken for what the volume is.
    content.data(&mut |_, bytes| {
        if failed.is_none() {
            failed = feed.meet(bytes).err();
        }
        Ok(())
    })?;
    Ok(match failed {
        Some(error) => feed.begins_as_program().then_some(Err(error)),
        None => match feed.finish() {
            Ok(read) => Some(found(&read).map_err(|why| refused("", why))),
            Err(_) => None,
        },
    })
}
