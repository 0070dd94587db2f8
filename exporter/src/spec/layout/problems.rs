//! What is wrong with a layout: all of it at once, each with the key that says it.

mod encrypt;
mod mounts;
mod persist;
mod slots;
mod table;
#[cfg(test)]
mod tests;
mod verity;
mod whole;

use std::collections::BTreeSet;

use super::{Content, Filesystem, Partition, PartitionType, Slot, Source};
use crate::fs::FileSystem;
use crate::spec::{Loader, Profile, Spec, TextFormat, Volatile, microvm};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place of its partition among those that were asked for; `None`: it is about the whole.
    pub partition: Option<usize>,
    /// The key: of the partition, or of the configuration. Empty: the partition as such.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
}

/// All that is wrong with the layout of a spec, whose partitions are `slots`.
pub fn problems(spec: &Spec, slots: &[Slot]) -> Vec<Problem> {
    let mut search = Search { spec, slots, found: Vec::new() };
    search.whole();
    spec.layout.partitions.iter().enumerate().for_each(|(at, partition)| search.words(at, partition));
    slots.iter().for_each(|slot| search.slot(slot));
    search.differ(|slot| Some(&slot.label), "label", "the label");
    search.differ(|slot| slot.mount.as_deref(), "mount", "the mount point");
    search.differ(|slot| slot.content.folder(), "source", "the files of");
    search.persist();
    search.boot_loader();
    search.slots();
    search.verity();
    search.growth();
    search.encryption();
    search.found.extend(microvm::problems(spec));
    search.found
}

struct Search<'a> {
    spec: &'a Spec,
    slots: &'a [Slot],
    found: Vec<Problem>,
}

impl<'a> Search<'a> {
    fn add(&mut self, partition: Option<usize>, key: &'static str, message: impl Into<String>) {
        self.found.push(Problem { partition, key, message: message.into() });
    }

    /// Words of one partition that contradict each other.
    fn words(&mut self, at: usize, partition: &Partition) {
        let Partition { kind, size, min, max, filesystem, source, mount, .. } = partition;
        self.words_of_table(at, partition);
        let at = Some(at);
        if size.is_some() && (min.is_some() || max.is_some()) {
            self.add(at, "size", "size is in place of min and max");
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.add(at, "max", format!("max is {max}, less than min, {min}"));
        }
        if *kind == PartitionType::Esp {
            if filesystem.is_some_and(|other| other != Filesystem::Vfat) {
                self.add(at, "filesystem", "firmware reads an ESP of vfat alone");
            }
            if source.is_some() {
                self.add(at, "source", "an ESP has the boot loader, and no other files");
            }
        }
        if *kind == PartitionType::BiosBoot && filesystem.is_some_and(|other| other != Filesystem::None) {
            self.add(at, "filesystem", "GRUB's core lies in a BIOS boot partition without a file system");
        }
        if *filesystem == Some(Filesystem::None) && mount.is_some() {
            self.add(at, "mount", "nothing can be mounted that has no file system");
        }
        if source.as_ref().and_then(Source::in_image) == Some("/")
            && mount.as_deref().is_some_and(|point| point != "/")
        {
            self.add(at, "mount", "it has the tree, and is to be mounted elsewhere than at /");
        }
    }

    /// What is wrong with a partition by itself, whoever has asked for it.
    fn slot(&mut self, slot: &'a Slot) {
        let Slot { asked, content, file_system, mount, options, .. } = slot;
        if *file_system == Some(FileSystem::Swap) {
            self.swap(slot);
        }
        self.entry(slot);
        if let Some(file_system) = file_system.filter(|file_system| file_system.is_read_only()) {
            self.only_read(slot, file_system.name());
        }
        if *content == Content::Root && *file_system == Some(FileSystem::Vfat) {
            self.add(*asked, "filesystem", "vfat has no owners, permissions and links, which a root needs");
        }
        if slot.compression.is_some() && *file_system != Some(FileSystem::Erofs) {
            self.add(*asked, "compression", "only the files of an erofs are compressed");
        }
        if TextFormat::MountOptions.check(options).is_err() {
            self.add(*asked, "options", format!("{options:?} are no mount options"));
        }
        if let Content::Elsewhere(source) = content {
            self.elsewhere(slot, source);
        }
        let paths = [("source", slot.content.path()), ("mount", mount.as_deref())];
        for (key, path) in paths.into_iter().filter_map(|(key, path)| Some((key, path?))) {
            if TextFormat::PlainPath.check(path).is_err() {
                self.add(*asked, key, format!("{path:?} is no plain path from / on"));
            }
        }
        if let (Profile::Machine | Profile::Microvm, Some(point)) = (self.spec.profile, mount) {
            self.mount_point(slot, point);
            self.volatile(slot, point);
        }
    }

    fn swap(&mut self, slot: &Slot) {
        if slot.content != Content::Empty {
            self.add(slot.asked, "filesystem", "swap is mounted nowhere, and has no files");
        }
        if slot.min == 0 && slot.weight == 0 {
            self.add(slot.asked, "size", "a swap partition needs nothing by itself: say its size");
        }
        if slot.read_only {
            self.add(slot.asked, "read-only", "swap is written to");
        }
    }

    /// A content that is not of the image.
    fn elsewhere(&mut self, slot: &Slot, source: &Source) {
        if let Some(wrong) = source.problem() {
            self.add(slot.asked, "source", wrong);
        }
        if slot.mount.as_deref() == Some("/") {
            self.add(
                slot.asked,
                "source",
                format!("the root has the image's files, and not those of {source}"),
            );
        }
    }

    fn only_read(&mut self, slot: &Slot, name: &str) {
        if !slot.read_only {
            self.add(slot.asked, "read-only", format!("{name} is never written to"));
        }
        let is_machines_root = slot.content == Content::Root && self.spec.profile != Profile::Data;
        if is_machines_root && !self.spec.has_fixed_root() {
            let message = format!(
                "a machine writes to its root, and {name} is never written to: volatile = \"overlay\" writes to memory"
            );
            self.add(slot.asked, "filesystem", message);
        }
    }

    /// What is written to memory has no place on the disk.
    fn volatile(&mut self, slot: &Slot, point: &str) {
        let volatile = self.spec.volatile;
        if !volatile.is_no() && point == "/" && !slot.read_only {
            let message = format!("volatile is {}, which makes the root read-only", volatile.name());
            self.add(slot.asked, "read-only", message);
        } else if point == "/" && !slot.read_only && self.spec.kept().is_some() {
            let message = "something is kept (persist), which makes the root read-only";
            self.add(slot.asked, "read-only", message);
        }
        if volatile == Volatile::State && point == "/var" {
            let message =
                "volatile is state, which keeps nothing of /var: with overlay it keeps its partition";
            self.add(slot.asked, "mount", message);
        }
    }

    /// GRUB finds the kernel in `/boot`, on the root or of its own.
    fn boot_loader(&mut self) {
        let at = |point: &str| self.slots.iter().find(|slot| slot.mount.as_deref() == Some(point));
        let Some(Slot { asked, file_system: Some(file_system), .. }) = at("/boot").or(at("/")) else {
            return;
        };
        let has_grub = self.spec.boots_by_firmware() && self.spec.loader == Loader::Grub;
        if has_grub && !self.spec.layout.has_slots() && file_system.grub_module().is_none() {
            let message = format!(
                "the kernel is on {}, which GRUB does not read here: add an xbootldr, /boot of its own with ext4",
                file_system.name()
            );
            self.add(*asked, "filesystem", message);
        }
    }

    /// No two have the same.
    fn differ(&mut self, of: impl Fn(&'a Slot) -> Option<&'a str>, key: &'static str, what: &str) {
        let mut met = BTreeSet::new();
        for slot in self.slots {
            let Some(text) = of(slot) else { continue };
            if !met.insert(text) {
                self.add(slot.asked, key, format!("two partitions have {what} {text:?}"));
            }
        }
    }

    fn growth(&mut self) {
        let last = self.slots.len().saturating_sub(1);
        for (at, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.grow) {
            let why = match slot {
                _ if at < last => "there are partitions behind it",
                Slot { read_only: true, .. } => "it is read-only",
                Slot { max: Some(_), .. } => "its size, or max, is the largest that it may have",
                Slot { file_system: Some(file_system), .. } if file_system.grows() => continue,
                _ => "only ext4, xfs and btrfs grow",
            };
            self.add(slot.asked, "grow", format!("{} cannot grow at boot: {why}", slot.label));
        }
    }
}

impl Content {
    /// The directory of the tree whose files it has.
    pub(crate) fn folder(&self) -> Option<&str> {
        match self {
            Self::Root => Some("/"),
            Self::Subtree(path) => Some(path),
            Self::Empty
            | Self::EmptySlot
            | Self::SlotKernels
            | Self::Esp
            | Self::BiosCore
            | Self::File(_)
            | Self::Elsewhere(_)
            | Self::Hashes
            | Self::Signature => None,
        }
    }

    /// What it is taken from.
    fn path(&self) -> Option<&str> {
        match self {
            Self::File(path) => Some(path),
            _ => self.folder(),
        }
    }
}
