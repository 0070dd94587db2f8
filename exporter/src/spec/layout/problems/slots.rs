//! What is wrong with slots for roots.

use super::Search;
use super::table::LABEL;
use crate::disk::TableKind;
use crate::error::show_size;
use crate::fs::FileSystem;
use crate::spec::Loader;
use crate::spec::layout::{Content, Partition, PartitionType, Slot};

/// Room for the kernels of two slots, and for those of an update that is on its way.
const KERNELS_MIN: u64 = 512 << 20;

impl Search<'_> {
    pub(super) fn slots(&mut self) {
        if !self.spec.layout.has_slots() {
            return;
        }
        if self.spec.layout.table == TableKind::Mbr {
            let message =
                "slots are found by the names and UUIDs of partitions, and an MBR has none: a GPT has them";
            self.add(None, "table", message);
        }
        if !self.spec.volatile.is_no() {
            let message =
                "a root in a slot is only read, and what is written to is on persist: leave out volatile";
            self.add(None, "volatile", message);
        }
        let asked = self.spec.layout.partitions.iter().enumerate();
        let roots = asked.filter(|(_, partition)| partition.kind == PartitionType::Root);
        roots.for_each(|(at, partition)| self.words_of_root(at, partition));
        self.kernels();
        self.name_of_first();
        self.counting();
        for slot in self.slots {
            let shared = ["/usr", "/boot"].into_iter().find(|point| slot.mount.as_deref() == Some(*point));
            if let Some(point) = shared {
                self.add(
                    slot.asked,
                    "mount",
                    format!("each root has its own {point}, and both would have this one"),
                );
            }
        }
    }

    /// What one entry says of both slots.
    fn words_of_root(&mut self, at: usize, partition: &Partition) {
        if partition.label.is_some() {
            self.add(Some(at), "label", "the name of a slot says what is in it");
        }
        if partition.weight.is_some_and(|weight| weight > 0) {
            let message =
                "a slot has no share of the disk, which roots to come would not have: say size, min or max";
            self.add(Some(at), "weight", message);
        }
        if partition.read_only == Some(false) {
            self.add(
                Some(at),
                "read-only",
                "a root in a slot is only read: what is written to is on persist",
            );
        }
    }

    /// What `[image]` says is in the first slot.
    fn name_of_first(&mut self) {
        let first = self.slots.iter().find(|slot| slot.content == Content::Root);
        let Some(label) = first.map(|slot| &slot.label).filter(|label| label.len() > LABEL) else { return };
        let message = format!(
            "{label:?}, which the slot is called by id and version, has {} characters, the table has room for {LABEL}",
            label.len()
        );
        self.add(None, "image", message);
    }

    /// Starts are counted on the ESP, in grubenv or in the names of entries, which the machine writes, too.
    fn counting(&mut self) {
        let Some(esp) = self.slots.iter().find(|slot| slot.content == Content::Esp) else { return };
        let last = esp.options.split(',').rfind(|option| ["ro", "rw"].contains(option));
        let key = match (esp.read_only, last) {
            (true, _) => "read-only",
            (false, Some("ro")) => "options",
            _ => return,
        };
        let message = "the machine says on the ESP that a boot was good: with ro it never could, and both slots would run \
                       out of tries";
        self.add(esp.asked, key, message);
    }

    /// Where GRUB reads the kernels of both roots.
    fn kernels(&mut self) {
        let find = |content| self.slots.iter().find(move |slot: &&Slot| slot.content == content);
        let Some(Slot { asked, file_system: Some(file_system), .. }) = find(Content::Root) else { return };
        let beside = find(Content::SlotKernels);
        if self.spec.loader == Loader::SystemdBoot {
            self.kernels_of_entries(find(Content::Esp), beside);
        }
        match (file_system, beside, beside.or(find(Content::Esp))) {
            (FileSystem::Ext4 | FileSystem::Erofs, ..) if self.spec.loader == Loader::SystemdBoot => {}
            (FileSystem::Ext4, Some(beside), _) => {
                let message = "each root has its kernels, and GRUB reads them there: leave out the xbootldr";
                self.add(beside.asked, "type", message);
            }
            (FileSystem::Erofs, _, Some(room)) if room.min < KERNELS_MIN => {
                let message = format!(
                    "GRUB does not read erofs, and {} has no room for the kernels of both roots: let it have {} or \
                     more (min), or add an xbootldr",
                    room.label,
                    show_size(KERNELS_MIN)
                );
                self.add(*asked, "filesystem", message);
            }
            (FileSystem::Ext4 | FileSystem::Erofs, ..) => {}
            (other, ..) => {
                let message = format!("a root in a slot is ext4 or erofs, and not {}", other.name());
                self.add(*asked, "filesystem", message);
            }
        }
    }

    /// systemd-boot starts those of both roots from the ESP, or from the partition beside it, whatever the roots are.
    fn kernels_of_entries(&mut self, esp: Option<&Slot>, beside: Option<&Slot>) {
        if let Some(beside) = beside.filter(|beside| beside.file_system != Some(FileSystem::Vfat)) {
            let message = "systemd-boot starts the kernels of both roots from it, and reads vfat alone";
            self.add(beside.asked, "filesystem", message);
        }
        if let Some(room) = beside.or(esp).filter(|room| room.min < KERNELS_MIN) {
            let message = format!(
                "systemd-boot starts the kernels of both roots from {}, which has no room for them: let it have {} or \
                 more (min)",
                room.label,
                show_size(KERNELS_MIN)
            );
            self.add(room.asked, "size", message);
        }
    }
}
