//! Partitions of the disk, mounted for as long as this program needs them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::grow::device::in_file;
use crate::init::modules::Modules;

/// Where the ESP is mounted if it is not yet, the partition beside it, and the root in a slot.
const ESP: &str = "/run/vmimage-esp";
const BESIDE: &str = "/run/vmimage-boot";
const ROOT: &str = "/run/vmimage-slot";
/// The same of the partition with the kernels beside the slots.
const KERNELS: &str = "/run/vmimage-kernels";
/// What a mount takes: the driver, and the sets of characters that kernels are built to have names in.
const FAT_DRIVERS: [&str; 5] = ["vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"];
/// What a root in a slot may be, with what a mount takes.
const ROOTS: [(&str, &[&str]); 2] = [("ext4", &EXT4_DRIVERS), ("erofs", &["erofs"])];
const EXT4_DRIVERS: [&str; 2] = ["crc32c", "ext4"];
const MOUNTS: &str = "/proc/self/mountinfo";

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// A place with the files of a partition; unmounted again by whoever has mounted it.
pub(super) struct Mounted {
    pub(super) path: PathBuf,
    is_ours: bool,
}

impl Mounted {
    /// The ESP on this device, where it is mounted, or mounted now.
    pub(super) fn esp(device: &Path) -> Result<Self, String> {
        Self::fat(device, ESP)
    }

    /// The same of the partition beside it.
    pub(super) fn beside(device: &Path) -> Result<Self, String> {
        Self::fat(device, BESIDE)
    }

    /// The same of one with the kernels of both slots, a FAT or an ext4.
    pub(super) fn kernels(device: &Path) -> Result<Self, String> {
        if let Some(there) = Self::there(device)? {
            return Ok(there);
        }
        let ext4 = |at: &Path| with_drivers(&EXT4_DRIVERS, || mount(device, at, "ext4", SAFE, None));
        Self::make(KERNELS, |at| mount_fat(device, at).or_else(|_| ext4(at))).map_err(in_file(device))
    }

    fn fat(device: &Path, at: &str) -> Result<Self, String> {
        if let Some(there) = Self::there(device)? {
            return Ok(there);
        }
        Self::make(at, |at| mount_fat(device, at)).map_err(in_file(device))
    }

    /// Where it is mounted already.
    fn there(device: &Path) -> Result<Option<Self>, String> {
        let mounts = fs::read_to_string(MOUNTS).map_err(in_file(Path::new(MOUNTS)))?;
        let number = rustix::fs::stat(device).map_err(in_file(device))?.st_rdev;
        let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
        Ok(mounted_for_writing(&mounts, &number).map(|path| Self { path, is_ours: false }))
    }

    /// The root on this device, to be read; that of the machine is there already.
    pub(super) fn root(device: &Path, is_booted: bool) -> Result<Self, String> {
        if is_booted {
            return Ok(Self { path: "/".into(), is_ours: false });
        }
        // One that was killed has left what was in the slot then.
        Self::leave_root();
        let flags = SAFE | MountFlags::RDONLY;
        let mounted = |at: &Path, (kind, drivers): (&str, &[&str])| {
            with_drivers(drivers, || mount(device, at, kind, flags, None))
        };
        let [first, second] = ROOTS;
        let one_of_them = |at: &Path| mounted(at, first).or_else(|_| mounted(at, second));
        Self::make(ROOT, one_of_them).map_err(|error| {
            format!("{}: neither an ext4 nor an erofs is mounted: {error}", device.display())
        })
    }

    /// Unmount the root in a slot, whoever has mounted it.
    pub(super) fn leave_root() {
        let _ = unmount(ROOT, UnmountFlags::DETACH);
    }

    fn make(at: &str, mounted: impl FnOnce(&Path) -> Result<(), Errno>) -> Result<Self, std::io::Error> {
        let path = PathBuf::from(at);
        fs::create_dir_all(&path)?;
        mounted(&path)?;
        Ok(Self { path, is_ours: true })
    }
}

fn mount_fat(device: &Path, at: &Path) -> Result<(), Errno> {
    with_drivers(&FAT_DRIVERS, || mount(device, at, "vfat", SAFE, Some(c"umask=077")))
}

fn with_drivers(drivers: &[&str], mounted: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    mounted().or_else(|error| match error {
        // No driver or no such set, and the image has no modprobe for the kernel to run.
        Errno::NODEV | Errno::INVAL => {
            let mut modules = Modules::read();
            drivers.iter().for_each(|name| modules.load(name));
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

impl Drop for Mounted {
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

    #[test]
    fn the_root_of_the_machine_needs_no_mount() {
        let root = Mounted::root(Path::new("/dev/nothing"), true).unwrap();
        assert!(!root.is_ours && root.path == Path::new("/"));
    }
}
