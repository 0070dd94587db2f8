//! What an MBR cannot say of a partition, and what no table can.

use super::Search;
use crate::disk::{TableKind, mbr};
use crate::fs::FileSystem;
use crate::spec::TextFormat;
use crate::spec::layout::{Content, Filesystem, Partition, Slot};

/// UTF-16 units of a name in a GPT.
pub(super) const LABEL: usize = 36;

impl Search<'_> {
    /// Words for the table that an MBR has no place for.
    pub(super) fn words_of_table(&mut self, at: usize, partition: &Partition) {
        if self.spec.layout.table == TableKind::Gpt {
            return;
        }
        if partition.uuid.is_some() {
            self.add(Some(at), "uuid", "a partition of an MBR has no UUID: it has the disk's and its number");
        }
        if !partition.attributes.is_empty() {
            self.add(Some(at), "attributes", "a partition of an MBR has no attributes");
        }
        if partition.label.is_some() && partition.filesystem == Some(Filesystem::None) {
            self.add(
                Some(at),
                "label",
                "an MBR has no labels, and without a file system nothing else has one",
            );
        }
    }

    pub(super) fn entry(&mut self, slot: &Slot) {
        let Slot { asked, label, volume_label, kind, file_system, .. } = slot;
        if let Some(why) = unfit_label(volume_label, *file_system) {
            self.add(*asked, "label", format!("{volume_label:?} {why}"));
        }
        if self.spec.layout.table == TableKind::Mbr && mbr::kind(*kind, *file_system).is_none() {
            let why = match slot.content {
                Content::BiosCore => "has no BIOS boot partition: GRUB's core lies in front of the first one",
                _ => "has no type that stands for it",
            };
            let why = format!("{label:?}: an MBR {why}");
            self.add(*asked, "type", why);
        }
    }
}

/// Why it is no label, of a file system or in the table.
fn unfit_label(label: &str, file_system: Option<FileSystem>) -> Option<String> {
    let (limit, length) = match file_system {
        Some(FileSystem::Ext4 | FileSystem::Swap) => (16, label.len()),
        Some(FileSystem::Erofs) => (15, label.len()),
        Some(FileSystem::Xfs) => (12, label.len()),
        // What a squashfs or a btrfs would have room for is cut by the table.
        Some(FileSystem::Btrfs | FileSystem::Squashfs) => (LABEL, label.encode_utf16().count()),
        Some(FileSystem::Vfat) => (11, label.len()),
        None => (LABEL, label.encode_utf16().count()),
    };
    let what = file_system.map_or("the table", FileSystem::name);
    if length > limit {
        return Some(format!("has {length} characters, {what} has room for {limit}"));
    }
    TextFormat::PartitionLabel.check(label).err().map(|expected| format!("is not {expected}"))
}
