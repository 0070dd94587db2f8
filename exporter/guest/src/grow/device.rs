//! The block device a file system is on, as sysfs describes it.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor, stat};

/// The unit of sizes in sysfs, whatever the sector size of the disk.
pub(crate) const SYSFS_SECTOR: u64 = 512;

/// A block device: a disk, or a partition of one.
#[derive(Debug)]
pub(crate) struct Device {
    /// Its directory in sysfs.
    sysfs: PathBuf,
    /// `/dev/vda3`.
    pub(crate) path: PathBuf,
}

/// Where a partition lies.
#[derive(Debug)]
pub(crate) struct Partition {
    /// The disk.
    pub(crate) disk: Device,
    /// Its number, from 1.
    pub(crate) number: u32,
    /// Its first byte.
    pub(crate) start: u64,
}

impl Device {
    /// The device with the file system of `mountpoint`; `None` if that is on no block device.
    pub(crate) fn of(mountpoint: &Path) -> Result<Option<Self>, String> {
        let status = stat(mountpoint).map_err(in_file(mountpoint))?;
        let number = match major(status.st_dev) {
            // That of the file system itself: a btrfs may be on several devices.
            0 => match source(mountpoint)?.map(|path| stat(&path)) {
                Some(Ok(status)) => status.st_rdev,
                _ => return Ok(None),
            },
            _ => status.st_dev,
        };
        let (major, minor) = (major(number), minor(number));
        let sysfs = Path::new("/sys/dev/block").join(format!("{major}:{minor}"));
        if !sysfs.exists() {
            return Ok(None);
        }
        let sysfs = fs::canonicalize(&sysfs).map_err(in_file(&sysfs))?;
        Self::at(sysfs).map(Some)
    }

    /// The device of a name in `/sys/class/block`.
    pub(crate) fn named(name: impl AsRef<Path>) -> Result<Self, String> {
        let link = Path::new("/sys/class/block").join(name);
        Self::at(fs::canonicalize(&link).map_err(in_file(&link))?)
    }

    /// Its directory in sysfs.
    pub(super) fn sysfs(&self) -> &Path {
        &self.sysfs
    }

    pub(super) fn at(sysfs: PathBuf) -> Result<Self, String> {
        let name = sysfs.file_name().and_then(|name| name.to_str()).ok_or("a device without a name")?;
        // sysfs cannot have the slash of `/dev/cciss/c0d0` in a name.
        let path = Path::new("/dev").join(name.replace('!', "/"));
        Ok(Self { sysfs, path })
    }

    /// One of those that it is made of: that of a verified root is made of two partitions of a disk. Any other is itself.
    pub(crate) fn below(self) -> Result<Self, String> {
        match fs::read_dir(self.sysfs.join("slaves")).ok().and_then(|mut parts| parts.next()) {
            Some(Ok(part)) => Self::at(fs::canonicalize(part.path()).map_err(in_file(&part.path()))?),
            _ => Ok(self),
        }
    }

    /// Its place on the disk if it is a partition.
    pub(crate) fn partition(&self) -> Result<Option<Partition>, String> {
        if !self.sysfs.join("partition").exists() {
            return Ok(None);
        }
        let disk = Self::at(self.sysfs.parent().ok_or("a partition without a disk")?.to_owned())?;
        let number = u32::try_from(self.read_number("partition")?).map_err(in_file(&self.path))?;
        Ok(Some(Partition { disk, number, start: self.read_bytes("start")? }))
    }

    /// The partition of this disk with a label in the table; `None` if none has it, or the kernel does not know it yet.
    pub(crate) fn labelled(&self, label: &str) -> Result<Option<Self>, String> {
        let name = format!("PARTNAME={label}");
        for entry in fs::read_dir(&self.sysfs).map_err(in_file(&self.sysfs))? {
            let partition = entry.map_err(in_file(&self.sysfs))?.path();
            let event = fs::read_to_string(partition.join("uevent")).unwrap_or_default();
            if partition.join("partition").exists() && event.lines().any(|line| line == name) {
                return Self::at(partition).map(Some);
            }
        }
        Ok(None)
    }

    /// A partition of this disk.
    pub(crate) fn child(&self, number: u32) -> Result<Self, String> {
        let children = fs::read_dir(&self.sysfs).map_err(in_file(&self.sysfs))?.flatten();
        let is_it = |path: &Path| {
            let text = fs::read_to_string(path.join("partition")).unwrap_or_default();
            text.trim() == number.to_string()
        };
        let found = children.map(|child| child.path()).find(|path| is_it(path));
        Self::at(found.ok_or_else(|| format!("{}: no partition {number}", self.path.display()))?)
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> Result<u64, String> {
        self.read_bytes("size")
    }

    /// A number of sectors in bytes.
    fn read_bytes(&self, attribute: &str) -> Result<u64, String> {
        let bytes = self.read_number(attribute)?.checked_mul(SYSFS_SECTOR);
        bytes.ok_or_else(|| format!("{}: an impossible {attribute}", self.path.display()))
    }

    fn read_number(&self, attribute: &str) -> Result<u64, String> {
        let path = self.sysfs.join(attribute);
        fs::read_to_string(&path).map_err(in_file(&path))?.trim().parse().map_err(in_file(&path))
    }
}

/// What the kernel lists as mounted at `mountpoint` last (proc_pid_mountinfo(5)), as far as its name is a path.
fn source(mountpoint: &Path) -> Result<Option<PathBuf>, String> {
    let list = Path::new("/proc/self/mountinfo");
    let text = fs::read(list).map_err(in_file(list))?;
    Ok(mounted_at(&String::from_utf8_lossy(&text), mountpoint))
}

fn mounted_at(mountinfo: &str, mountpoint: &Path) -> Option<PathBuf> {
    let source = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let is_there = mount.split(' ').nth(4).is_some_and(|place| Path::new(place) == mountpoint);
        let source = file_system.split(' ').nth(1).filter(|source| source.starts_with("/dev/"))?;
        is_there.then(|| PathBuf::from(source))
    };
    mountinfo.lines().rev().find_map(source)
}

/// An error with the file it is about.
pub(crate) fn in_file<E: Display>(path: &Path) -> impl Fn(E) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_told_by_what_is_mounted_last() {
        let mounts = "22 1 0:20 / /proc rw - proc proc rw\n\
            28 1 0:24 /@ / rw,noatime shared:1 master:2 - btrfs /dev/vda2 rw\n\
            29 28 0:30 / /srv rw - tmpfs tmpfs rw\n30 28 0:31 / /srv rw - btrfs /dev/vdb rw\n";
        let at = |place| mounted_at(mounts, Path::new(place)).map(|path| path.display().to_string());
        assert_eq!(at("/").as_deref(), Some("/dev/vda2"));
        assert_eq!(at("/srv").as_deref(), Some("/dev/vdb"));
        assert_eq!((at("/proc"), at("/nowhere")), (None, None));
    }

    #[test]
    fn below_a_device_is_what_it_is_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let place = folder.path().join(name);
            fs::create_dir_all(&place).unwrap();
            place
        };
        let name = |device: Device| device.path.file_name().unwrap().to_owned();
        let slaves = place("dm-0/slaves");
        std::os::unix::fs::symlink(place("vda/vda2"), slaves.join("vda2")).unwrap();
        let below = |place: PathBuf| name(Device::at(place).unwrap().below().unwrap());
        assert_eq!(below(place("dm-0")), "vda2");
        place("vda/slaves");
        assert_eq!((below(place("vda")), below(place("vda/vda2"))), ("vda".into(), "vda2".into()));
    }

    #[test]
    fn a_partition_is_told_by_its_label_in_the_table() {
        let folder = tempfile::tempdir().unwrap();
        for (name, file, text) in [
            ("vda1", "partition", "1\n"),
            ("vda1", "uevent", "DEVNAME=vda1\nPARTN=1\nPARTNAME=persist-2\n"),
            ("vda2", "partition", "2\n"),
            ("vda2", "uevent", "DEVNAME=vda2\nPARTN=2\nPARTNAME=persist\n"),
            ("queue", "uevent", "PARTNAME=queue\n"),
        ] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join(file), text).unwrap();
        }
        let disk = Device::at(folder.path().to_owned()).unwrap();
        let labelled = |label| disk.labelled(label).unwrap().map(|device| device.path);
        assert_eq!(labelled("persist"), Some(PathBuf::from("/dev/vda2")));
        assert_eq!((labelled("root"), labelled("queue")), (None, None));
    }
}
