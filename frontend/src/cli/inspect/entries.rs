//! The entries of systemd-boot on a volume.

use exporter::boot::entries::{ENTRY_MAX, Entry, FOLDER, MARK};
use exporter::disk::{Placed, kinds};
use exporter::fs::{DiskBudget, fat};
use exporter::read_at::ReadAt;

use super::file_system::looks_like_fat;
use super::is_esp;

/// Whether systemd-boot looks for entries there.
pub(super) fn may_have(partition: &Placed) -> bool {
    is_esp(partition) || partition.kind.guid() == Some(kinds::XBOOTLDR)
}

/// In no order; none if another boot loader has the volume.
pub(super) fn read<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget) -> exporter::Result<Vec<Entry>> {
    // What else an ESP may be is told by others.
    if !looks_like_fat(volume) {
        return Ok(Vec::new());
    }
    let is_mark = |path: &str| path.eq_ignore_ascii_case(MARK);
    let is_wanted = |path: &str| is_mark(path) || name_of(path).is_some();
    let files = fat::read_files(volume, is_wanted, ENTRY_MAX, budget)?;
    if !files.iter().any(|(path, _)| is_mark(path)) {
        return Ok(Vec::new());
    }
    let entry =
        |(path, text): &(String, Vec<u8>)| Entry::read(name_of(path)?, &String::from_utf8_lossy(text));
    Ok(files.iter().filter_map(entry).collect())
}

/// The name of a file in the folder of entries.
fn name_of(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/')?;
    folder.eq_ignore_ascii_case(FOLDER).then_some(name)
}
