//! What the installer is told of the system on the disk.

use super::Machine;
use crate::boot::BootFiles;
use crate::container::medium::{Disk, PartitionOf, Target};
use crate::disk::DiskLayout;
use crate::fs::FileSystem;
use crate::spec::layout::{Content, Slot};
use crate::spec::{Medium, Mode, Persist};

/// What there is on this disk, which these files start.
pub(super) fn of(machine: &Machine<'_>, disk: &DiskLayout, files: &BootFiles) -> Target {
    let numbered = disk.partitions.iter().map(|placed| placed.number).zip(&machine.layout.partitions);
    let find = |is_it: fn(&Slot) -> bool| {
        let mut slots = numbered.clone().map(|(number, named)| (number, &named.slot));
        slots.find(|(_, slot)| is_it(slot))
    };
    let partition = |(partition, slot): (u32, &Slot)| {
        Some(PartitionOf { partition, kind: slot.file_system.map(FileSystem::name)? })
    };
    let root = find(|slot| slot.content == Content::Root).and_then(partition);
    let suffix = machine.spec.architecture.efi_suffix().to_uppercase();
    Target {
        root: root.unwrap_or(PartitionOf { partition: 0, kind: machine.layout.root.file_system.name() }),
        persist: find(|slot| slot.label == Persist::LABEL).and_then(partition),
        esp: find(|slot| slot.content == Content::Esp).map(|(number, _)| number),
        // Where every firmware looks: so the disk starts without an entry, too.
        loader: files.grub.as_ref().map(|_| format!("\\EFI\\BOOT\\BOOT{suffix}.EFI")),
        label: machine.os.pretty_name.clone(),
        network: machine.network,
    }
}

/// The disk as it lies on a disc, where there is a mode for it.
pub(super) fn plain(disk: &DiskLayout, medium: &Medium) -> Option<Disk> {
    (medium.has(Mode::Live) || medium.has(Mode::Install)).then(|| Disk {
        file: "disk.raw".to_owned(),
        bytes: disk.size,
        packed: false,
        index: "disk.index".to_owned(),
        index_sha256: None,
        sector_size: disk.sector_size,
    })
}
