//! The disk that the machine was started from: its ESP and its slots, never those of another disk, which may be a copy
//! of this one.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::ioctl_blksszget;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::grow::device::{Device, in_file};
use crate::grow::gpt::{Entry, Table};
use crate::grow::table::Refusal;
use crate::init::modules::Modules;

/// Partition types, by the bytes that a table has (<https://uapi-group.org/specifications/specs/discoverable_partitions_specification>).
const ESP: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
#[cfg(target_arch = "x86_64")]
const ROOT: [u8; 16] =
    [0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09];
#[cfg(target_arch = "aarch64")]
const ROOT: [u8; 16] =
    [0x45, 0xb0, 0x21, 0xb9, 0xf0, 0x1d, 0xc3, 0x41, 0xaf, 0x44, 0x4c, 0x6f, 0x28, 0x0d, 0x3f, 0xae];

/// Where the ESP is mounted if it is not yet.
const MOUNT_POINT: &str = "/run/vmimage-esp";
/// What a mount takes: the driver, and the sets of characters that kernels are built to have names in.
const DRIVERS: [&str; 5] = ["vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"];
const MOUNTS: &str = "/proc/self/mountinfo";

/// The disk with the root of this machine.
pub(super) struct Disk {
    device: Device,
    table: Table,
}

/// A partition of it.
pub(super) struct Partition {
    pub(super) path: PathBuf,
    pub(super) label: String,
}

/// The ESP, mounted; unmounted again by whoever has mounted it.
pub(super) struct Esp {
    pub(super) path: PathBuf,
    is_ours: bool,
}

impl Disk {
    pub(super) fn of_root() -> Result<Self, String> {
        let root = Device::of(Path::new("/"))?.map(|device| device.partition()).transpose()?.flatten();
        let device = root.ok_or("/: is no partition of a disk")?.disk;
        let disk = &device.path;
        let file = File::open(disk).map_err(in_file(disk))?;
        let block = ioctl_blksszget(&file).map_err(in_file(disk))?;
        let read = |at, len| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at).map(|()| bytes).map_err(in_file(disk))
        };
        let table = Table::read(block.into(), read)?.map_err(|refusal| match refusal {
            Refusal::LeftAlone(reason) => format!("{}: {reason}", disk.display()),
            Refusal::IsWhole => format!("{}: has no table", disk.display()),
        })?;
        Ok(Self { device, table })
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

    fn of_type(&self, kind: [u8; 16]) -> Result<Vec<Partition>, String> {
        let entries = self.table.entries().filter(|(_, entry)| entry.partition_type_guid == kind);
        let partition = |(number, entry): (u32, Entry)| {
            let path = self.device.child(number)?.path;
            Ok(Partition { path, label: entry.name() })
        };
        entries.map(partition).collect()
    }

    /// Its ESP, where it is mounted, or mounted now.
    pub(super) fn esp(&self) -> Result<Esp, String> {
        let partition = self.of_type(ESP)?.into_iter().next();
        let device = partition.ok_or_else(|| format!("{}: has no ESP", self.device.path.display()))?.path;
        let mounts = fs::read_to_string(MOUNTS).map_err(in_file(Path::new(MOUNTS)))?;
        let number = rustix::fs::stat(&device).map_err(in_file(&device))?.st_rdev;
        let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
        if let Some(path) = mounted_for_writing(&mounts, &number) {
            return Ok(Esp { path, is_ours: false });
        }
        let path = PathBuf::from(MOUNT_POINT);
        fs::create_dir_all(&path).map_err(in_file(&path))?;
        mount_fat(&device, &path).map_err(in_file(&device))?;
        Ok(Esp { path, is_ours: true })
    }
}

fn mount_fat(device: &Path, at: &Path) -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mounted = || mount(device, at, "vfat", flags, Some(c"umask=077"));
    mounted().or_else(|error| match error {
        // No driver or no such set, and the image has no modprobe for the kernel to run.
        Errno::NODEV | Errno::INVAL => {
            let mut modules = Modules::read();
            DRIVERS.iter().for_each(|name| modules.load(name));
            mounted()
        }
        error => Err(error),
    })
}

/// Where the whole of a device is mounted and can be written to (proc_pid_mountinfo(5)).
fn mounted_for_writing(mountinfo: &str, number: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let [_, _, device, root, place, options, ..] = fields[..] else { return None };
        let is_written = options.split(',').any(|option| option == "rw");
        // A place with a blank is none of fstab's for an ESP.
        (device == number && root == "/" && is_written && !place.contains('\\')).then(|| place.into())
    })
}

impl Drop for Esp {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = unmount(&self.path, UnmountFlags::DETACH);
            let _ = fs::remove_dir(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_esp_is_used_where_it_is_mounted() {
        let mounts = "22 1 254:3 / / ro - ext4 /dev/vda3 ro\n23 22 254:2 / /mnt ro - vfat /dev/vda2 rw\n\
            24 22 254:2 /EFI /srv/efi rw - vfat /dev/vda2 rw\n25 22 254:2 / /boot/efi rw,noatime - vfat /dev/vda2 rw\n\
            26 22 254:18 / /other rw - vfat /dev/vdb2 rw\n";
        let at = |number| mounted_for_writing(mounts, number).map(|path| path.display().to_string());
        assert_eq!(at("254:2").as_deref(), Some("/boot/efi"));
        assert_eq!(at("254:18").as_deref(), Some("/other"));
        assert_eq!((at("254:3"), at("254:19")), (None, None));
    }
}
