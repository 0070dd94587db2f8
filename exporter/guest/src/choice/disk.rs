//! The disk that the machine was started from: its ESP and its slots, never those of another disk, which may be a copy
//! of this one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::ioctl_blksszget;

use super::Slot;
use super::mounted::Mounted;
use crate::grow::device::{Device, in_file};
use crate::grow::gpt::{Entry, Table};
use crate::grow::table::Refusal;

/// Partition types, by the bytes that a table has (<https://uapi-group.org/specifications/specs/discoverable_partitions_specification>).
const ESP: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
const XBOOTLDR: [u8; 16] =
    [0xff, 0xc2, 0x13, 0xbc, 0xe6, 0x59, 0x62, 0x42, 0xa3, 0x52, 0xb2, 0x75, 0xfd, 0x6f, 0x71, 0x72];
#[cfg(target_arch = "x86_64")]
const ROOT: [u8; 16] =
    [0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09];
#[cfg(target_arch = "aarch64")]
const ROOT: [u8; 16] =
    [0x45, 0xb0, 0x21, 0xb9, 0xf0, 0x1d, 0xc3, 0x41, 0xaf, 0x44, 0x4c, 0x6f, 0x28, 0x0d, 0x3f, 0xae];

/// The settings of systemd-boot, which lie beside it.
const SYSTEMD_BOOT: &str = "loader/loader.conf";

/// The disk with the root of this machine.
pub(super) struct Disk {
    device: Device,
    table: Table,
    /// The number of the partition with the root.
    root: u32,
}

/// A partition of it.
pub(super) struct Partition {
    pub(super) path: PathBuf,
    /// Its number, from 1.
    pub(super) number: u32,
    pub(super) label: String,
    /// Its identity in the table, as the kernel writes it.
    pub(super) id: String,
}

impl Disk {
    pub(super) fn of_root() -> Result<Self, String> {
        let root = Device::of(Path::new("/"))?.map(Device::below).transpose()?;
        let root = root.map(|device| device.partition()).transpose()?.flatten();
        let root = root.ok_or("/: is no partition of a disk")?;
        let (device, root) = (root.disk, root.number);
        let disk = &device.path;
        let file = File::open(disk).map_err(in_file(disk))?;
        let block = ioctl_blksszget(&file).map_err(in_file(disk))?;
        let read = |at, len| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at).map(|()| bytes).map_err(in_file(disk))
        };
        let table = Table::read(block.into(), read)?.map_err(|refusal| refused(disk, &refusal))?;
        Ok(Self { device, table, root })
    }

    /// The whole of it.
    pub(super) fn path(&self) -> &Path {
        &self.device.path
    }

    /// Give a partition another label. The kernel learns of it at the next boot; whoever asks this disk, now.
    pub(super) fn relabel(self, partition: &Partition, label: &str) -> Result<(), String> {
        let disk = &self.device.path;
        let writes = self.table.relabel(partition.number, label);
        let writes = writes.map_err(|refusal| refused(disk, &refusal))?;
        let file = File::options().write(true).open(disk).map_err(in_file(disk))?;
        writes.iter().try_for_each(|(at, bytes)| {
            // Each is on the disk before the next one starts.
            file.write_all_at(bytes, *at).and_then(|()| file.sync_data()).map_err(in_file(disk))
        })
    }

    /// Its partitions for roots, in their order.
    pub(super) fn slots(&self) -> Result<[Partition; 2], String> {
        let slots = self.of_type(ROOT)?;
        let lacks = |slots: Vec<_>| {
            format!(
                "{}: {} partitions for a root, and slots are two",
                self.device.path.display(),
                slots.len()
            )
        };
        slots.try_into().map_err(lacks)
    }

    /// The slot that has the root.
    pub(super) fn slot_of_root(&self) -> Result<Slot, String> {
        let slots = self.slots()?;
        let is_it = |slot: &Slot| slot.of(&slots).number == self.root;
        let found = Slot::ALL.into_iter().find(is_it);
        found.ok_or_else(|| format!("{}: its root is in no slot", self.device.path.display()))
    }

    fn of_type(&self, kind: [u8; 16]) -> Result<Vec<Partition>, String> {
        let entries = self.table.entries().filter(|(_, entry)| entry.partition_type_guid == kind);
        let partition = |(number, entry): (u32, Entry)| {
            let path = self.device.child(number)?.path;
            Ok(Partition { path, number, label: entry.name(), id: entry.id() })
        };
        entries.map(partition).collect()
    }

    /// The partition with the kernels that GRUB reads beside the slots, mounted.
    pub(super) fn kernel_volume(&self) -> Result<Mounted, String> {
        let beside = self.of_type(XBOOTLDR)?.into_iter().next();
        let volume = beside
            .map_or_else(|| self.of_type(ESP).map(|esps| esps.into_iter().next()), |it| Ok(Some(it)))?;
        let volume = volume.ok_or_else(|| format!("{}: has no ESP", self.device.path.display()))?;
        Mounted::kernels(&volume.path)
    }

    /// Where its boot loader keeps what it knows, mounted: the ESP, or the partition beside it that systemd-boot reads.
    pub(super) fn boot_volume(&self) -> Result<Mounted, String> {
        let esp = self.of_type(ESP)?.into_iter().next();
        let esp = esp.ok_or_else(|| format!("{}: has no ESP", self.device.path.display()))?.path;
        let esp = Mounted::esp(&esp)?;
        match self.of_type(XBOOTLDR)?.into_iter().next() {
            Some(beside) if esp.path.join(SYSTEMD_BOOT).exists() => Mounted::beside(&beside.path),
            _ => Ok(esp),
        }
    }
}

fn refused(disk: &Path, refusal: &Refusal) -> String {
    match refusal {
        Refusal::LeftAlone(reason) => format!("{}: {reason}", disk.display()),
        Refusal::IsWhole => format!("{}: has no table", disk.display()),
    }
}
