//! The entries of systemd-boot on a volume.

use exporter::boot::entries::{ENTRY_MAX, Entry, FOLDER, MARK};
use exporter::disk::{Placed, kinds};
use exporter::fs::probe::looks_like_fat;
use exporter::fs::{DiskBudget, fat};
use exporter::read_at::ReadAt;

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

/// The name of an entry in their folder. What else is there may be half of a change of a name that was cut, and have the
/// clusters of an entry.
fn name_of(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/')?;
    (folder.eq_ignore_ascii_case(FOLDER) && name.ends_with(".conf")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_one_folder_and_no_other_files_are_read_there() {
        assert_eq!(name_of("loader/entries/kiosk-A+3-0.conf"), Some("kiosk-A+3-0.conf"));
        assert_eq!(name_of("LOADER/Entries/kiosk-A.conf"), Some("kiosk-A.conf"));
        for path in ["loader/entries/kiosk-A.tmp", "loader/kiosk-A.conf", "loader/entries/x/a.conf", "a.conf"]
        {
            assert_eq!(name_of(path), None, "{path}");
        }
    }
}
