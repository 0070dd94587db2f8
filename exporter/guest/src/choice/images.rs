//! The images of systemd-boot on the ESP (entries of type 2), one for each slot: what they are called is all that is said of them.
//!
//! ```text
//! \EFI\Linux\kiosk-6-A.efi       was good once: it is tried for ever
//! \EFI\Linux\kiosk-7-B+3-0.efi   is on trial; it has the greater version, and is tried first
//! \B\image.efi                   has come with an update, and gets its name when slot B is the next one
//! ```
//!
//! What an image says of itself is signed and the same for either slot, so that systemd-boot goes by the names of the files, the
//! greater first, and to make a slot the next one is to rename its image. An image is tens of megabytes, and is renamed where
//! an entry is written anew: as systemd-boot renames it itself at each try.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::Slot;
use super::adopt::{self, Start};
use super::entries::{Entries, first};
use super::entry_name::{Counter, EntryName};

pub(super) const FOLDER: &str = "EFI/Linux";
/// The settings of systemd-boot, which it has on the ESP.
const SETTINGS: &str = "loader/loader.conf";
/// What came with an update, in the folder of its slot.
const NEW: &str = "image.efi";

/// Whether systemd-boot starts slots by images there. Beside them `bootctl` may have left the mark of entries.
pub(super) fn are_on(esp: &Path, has_mark: bool) -> bool {
    let folder = esp.join(FOLDER);
    let is_image =
        |name: &OsStr| name.to_str().and_then(EntryName::parse).is_some_and(|name| name.version.is_some());
    let has_images =
        || fs::read_dir(&folder).is_ok_and(|files| files.flatten().any(|file| is_image(&file.file_name())));
    esp.join(SETTINGS).is_file() && (!has_mark && folder.is_dir() || has_images())
}

impl Entries {
    /// Have a slot tried first, by the image that has come for it, or else the one that it has; if that `is_tried` as often as the
    /// running root asks for, else for ever.
    pub(super) fn adopt_image(&self, slot: Slot, is_tried: bool) -> Result<(), String> {
        let entries = self.all()?;
        let folder = self.esp().join(slot.name());
        let new = Some(folder.join(NEW)).filter(|new| new.is_file());
        let old = first(&entries, slot).map(|entry| entry.path.clone());
        let image = new.or(old).ok_or_else(|| lacks(slot))?;
        let start = Start::read(Path::new("/"));
        // Names are those of the disk, whatever its roots are called.
        let token = match entries.first() {
            Some(entry) => entry.name.token.clone(),
            None => start.as_ref().map_err(Clone::clone)?.token.clone(),
        };
        let version = entries.iter().map(|entry| entry.version).max().unwrap_or_default().saturating_add(1);
        let counter = is_tried.then_some(Counter { left: Start::tries(start), done: 0 });
        self.move_to(&image, &EntryName { token, version: Some(version), slot, counter })?;
        adopt::remove(&folder)
    }
}

fn lacks(slot: Slot) -> String {
    let name = slot.name();
    format!(
        "slot {name} has no image in {FOLDER} of the ESP, and nothing starts it: vmimage-update apply brings a root with one"
    )
}

#[cfg(test)]
mod tests;
