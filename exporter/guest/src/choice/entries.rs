//! The entries of systemd-boot on the ESP, one for each slot: what their names say, and names for what is said of them.
//!
//! ```text
//! \loader\entries\kiosk-A.conf       was good once: it is tried for ever
//! \loader\entries\kiosk-B+3-0.conf   is on trial; it has the greater `version`, and is tried first
//! \kiosk\A, \kiosk\B                 what they start
//! ```
//!
//! systemd-boot tries the entry with the greatest version, all `sort-key`s being the same, and those without a try left
//! last. That needs no variable of the firmware, which may have forgotten them, and `default` in loader.conf would start an
//! entry whose tries are used up. To make a slot the next one is thus to write one entry, its own: that of the other slot
//! is not touched. A change is one file that gets its name last; of two entries of one slot the first in the order counts.
//!
//! Of a root with verity it is an [image](super::images), which has its version in its name.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Slot;
use super::adopt;
use super::disk::Partition;
use super::entry_name::{Counter, EntryName};
use super::images;
use super::record::{State, Trial};
use crate::grow::device::in_file;

const FOLDER: &str = "loader/entries";
/// Which entries there are, in the words of the specification: whoever has systemd-boot has this file.
const MARK: &str = "loader/entries.srel";
/// More than any entry has.
const ENTRY_MAX: u64 = 1 << 16;

/// The entries on an ESP that is mounted.
pub(super) struct Entries {
    esp: PathBuf,
    /// Whether they are images.
    are_images: bool,
}

/// An entry of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: EntryName,
    /// The greater it is, the earlier it is tried.
    pub(super) version: u64,
    /// The label of the root that it was made of.
    made_of: Option<String>,
    pub(super) path: PathBuf,
}

impl Entries {
    /// `None`: another boot loader is there.
    pub(super) fn on(esp: &Path) -> Option<Self> {
        let has_mark = esp.join(MARK).is_file();
        let are_images = images::are_on(esp, has_mark);
        (has_mark || are_images).then(|| Self { esp: esp.to_owned(), are_images })
    }

    pub(super) fn are_images(&self) -> bool {
        self.are_images
    }

    pub(super) fn esp(&self) -> &Path {
        &self.esp
    }

    pub(super) fn state(&self, booted: Slot) -> Result<State, String> {
        let entries = self.all()?;
        let mut order = Vec::new();
        for Entry { name: EntryName { slot, .. }, .. } in &entries {
            if !order.contains(slot) {
                order.push(*slot);
            }
        }
        let was_good = entries.iter().filter(|entry| entry.name.counter.is_none());
        let good = was_good.map(|entry| entry.name.slot).next();
        let lost = first(&entries, booted).is_none();
        let lost = lost.then_some("systemd-boot has no entry for the slot that is booted");
        let slots = Slot::ALL.map(|slot| first(&entries, slot).map(Entry::trial).unwrap_or_default());
        Ok(State { order, good, lost, slots })
    }

    /// A slot was good: its entry has no counters any more, as systemd-bless-boot(8) has it. `false`: it has no entry.
    pub(super) fn set_good(&self, slot: Slot) -> Result<bool, String> {
        let entries = self.all()?;
        let Some(entry) = first(&entries, slot) else { return Ok(false) };
        self.rename(entry, &EntryName { counter: None, ..entry.name.clone() })?;
        Ok(true)
    }

    /// A slot has no try left. One without an entry has none.
    pub(super) fn set_bad(&self, slot: Slot) -> Result<(), String> {
        let entries = self.all()?;
        let Some(entry) = first(&entries, slot) else { return Ok(()) };
        let done = entry.name.counter.map_or(0, |counter| counter.done);
        self.rename(entry, &EntryName { counter: Some(Counter { left: 0, done }), ..entry.name.clone() })
    }

    /// Whether the root that a slot has by the label of its partition is another one than its entry was made of, or has none.
    /// An entry that does not say is left alone.
    pub(super) fn is_new(&self, slot: Slot, label: &str) -> Result<bool, String> {
        let entries = self.all()?;
        let Some(entry) = first(&entries, slot) else { return Ok(true) };
        Ok(entry.made_of.as_ref().is_some_and(|root| *root != adopt::one_line(label)))
    }

    /// A slot has no root any more, and nothing that would start one.
    pub(super) fn forget(&self, slot: Slot) -> Result<(), String> {
        self.remove_but(slot, None)
    }

    /// Give a slot, which is this partition, an entry of what the root at `root` says of itself, and the files that it starts.
    /// It is tried first; if that `is_tried` as often as the root asks for, else for ever.
    pub(super) fn adopt(
        &self,
        slot: Slot,
        root: &Path,
        partition: &Partition,
        is_tried: bool,
    ) -> Result<(), String> {
        let recipe = adopt::Recipe::read(root)?;
        let entries = self.all()?;
        // Names are those of the disk, whatever its roots are called.
        let token = entries.first().map_or(&recipe.token, |entry| &entry.name.token).clone();
        let version = entries.iter().map(|entry| entry.version).max().unwrap_or_default().saturating_add(1);
        if !recipe.has_files(root, &self.esp, &token, slot)? {
            self.require_other(&entries, slot)?;
            // None names what is half written.
            self.remove_but(slot, None)?;
            let copied = recipe.copy_files(root, &self.esp, &token, slot);
            copied.map_err(|error| {
                let name = slot.name();
                format!("{error}; slot {name} has no entry now: mend that, and say vmimage-boot next {name}")
            })?;
        }
        let counter = is_tried.then_some(Counter { left: recipe.tries, done: 0 });
        let name = EntryName { token, version: None, slot, counter };
        self.write(&name, &recipe.entry(&name.token, slot, partition, version))
    }

    /// Something that can be started while what this slot starts is written.
    fn require_other(&self, entries: &[Entry], slot: Slot) -> Result<(), String> {
        if first(entries, slot).is_none() || first(entries, slot.other()).is_some() {
            return Ok(());
        }
        Err(format!(
            "{}: has no entry but that of slot {}, and its kernel is another one than in the root: it is not copied, a power \
             cut would leave nothing to start; make slot {} the next one first",
            self.folder().display(),
            slot.name(),
            slot.other().name()
        ))
    }

    /// Whether a restart leads to the same slot again, and to no try that would be counted.
    pub(super) fn is_last(&self, booted: Slot) -> Result<bool, String> {
        let entries = self.all()?;
        let tries = adopt::Start::tries(adopt::Start::read(Path::new("/")));
        let counter = first(&entries, booted).and_then(|entry| entry.name.counter);
        Ok(counter.is_none_or(|Counter { left, done }| left == 0 && done > tries))
    }

    /// In the order in which they are tried.
    pub(super) fn all(&self) -> Result<Vec<Entry>, String> {
        let folder = self.folder();
        let mut entries = Vec::new();
        for file in fs::read_dir(&folder).map_err(in_file(&folder))? {
            let path = file.map_err(in_file(&folder))?.path();
            let name = path.file_name().and_then(|name| EntryName::parse(name.to_str()?));
            match name.map(|name| (name.version, name)) {
                Some((Some(version), name)) if self.are_images => {
                    entries.push(Entry { name, version, made_of: None, path });
                }
                Some((None, name)) if !self.are_images => entries.extend(read(name, path)?),
                _ => {}
            }
        }
        entries.sort_by_cached_key(|entry| (entry.name.rank(entry.version), Reverse(entry.path.clone())));
        Ok(entries)
    }

    fn folder(&self) -> PathBuf {
        self.esp.join(if self.are_images { images::FOLDER } else { FOLDER })
    }

    /// The same entry by another name. Until that is on the disk, it has the old one, too: a FAT may lose the one before it
    /// has written the other. Where no file can be written beside it, as on an ESP that is full, it gets the name at once, as
    /// systemd-bless-boot(8) does it: a good boot is not to be lost by that. An image always does.
    fn rename(&self, entry: &Entry, name: &EntryName) -> Result<(), String> {
        if *name == entry.name {
            return self.remove_but(name.slot, Some(&entry.path));
        }
        if self.are_images {
            return self.move_to(&entry.path, name);
        }
        let text = adopt::read(&entry.path, ENTRY_MAX).map_err(in_file(&entry.path))?;
        self.write(name, &text).or_else(|_| self.move_to(&entry.path, name))
    }

    /// Have a file of the ESP be the one entry of a slot.
    pub(super) fn move_to(&self, from: &Path, name: &EntryName) -> Result<(), String> {
        let to = self.folder().join(name.file());
        fs::rename(from, &to).map_err(in_file(&to))?;
        self.sync()?;
        self.remove_but(name.slot, Some(&to))
    }

    /// All of it is there before it has its name.
    fn write(&self, name: &EntryName, text: &str) -> Result<(), String> {
        let to = self.folder().join(name.file());
        let unnamed = self.folder().join(format!("{}-{}.tmp", name.token, name.slot.name()));
        let written = || -> io::Result<()> {
            fs::write(&unnamed, text)?;
            File::open(&unnamed)?.sync_all()?;
            fs::rename(&unnamed, &to)
        };
        if let Err(error) = written() {
            let _ = fs::remove_file(&unnamed);
            return Err(in_file(&to)(error));
        }
        self.sync()?;
        self.remove_but(name.slot, Some(&to))
    }

    /// Take away the entries of a slot but one.
    fn remove_but(&self, slot: Slot, kept: Option<&Path>) -> Result<(), String> {
        let entries = self.all()?.into_iter().filter(|entry| entry.name.slot == slot);
        let others: Vec<_> = entries.map(|entry| entry.path).filter(|path| Some(&**path) != kept).collect();
        others.iter().try_for_each(|path| fs::remove_file(path).map_err(in_file(path)))?;
        if others.is_empty() { Ok(()) } else { self.sync() }
    }

    /// Of a file that has a new name, a FAT writes where it lies with the file, and not with the folder.
    fn sync(&self) -> Result<(), String> {
        let folder = self.folder();
        let synced = || -> io::Result<()> {
            let folder = File::open(&folder)?;
            rustix::fs::syncfs(&folder)?;
            folder.sync_all()
        };
        synced().map_err(in_file(&folder))
    }
}

impl Entry {
    fn trial(&self) -> Trial {
        match self.name.counter {
            None => Trial { is_ok: true, is_tried: false, tries: 0 },
            Some(Counter { left, done }) => Trial { is_ok: left > 0, is_tried: true, tries: done },
        }
    }
}

/// The entry in a file of this name; another one that is called so may be of another system.
fn read(name: EntryName, path: PathBuf) -> Result<Option<Entry>, String> {
    let text = adopt::read(&path, ENTRY_MAX).map_err(in_file(&path))?;
    let version = adopt::values(&text, "version").next().and_then(|version| version.parse().ok());
    let made_of = adopt::made_of(&text).map(str::to_owned);
    let is_of_slot = adopt::is_of(&text, name.slot);
    Ok(is_of_slot.then_some(Entry { name, version: version.unwrap_or_default(), made_of, path }))
}

/// The one that counts for a slot.
pub(super) fn first(entries: &[Entry], slot: Slot) -> Option<&Entry> {
    entries.iter().find(|entry| entry.name.slot == slot)
}

#[cfg(test)]
mod tests;
