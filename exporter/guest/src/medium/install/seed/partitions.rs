//! The partitions of a disk that has no table yet: the kernel is told of them, one by one, and forgets them again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{fsync, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::super::closing::{Closing, Partition};
use crate::grow::blkpg;
use crate::grow::device::{Device, in_file};
use crate::init::modules::Modules;
use crate::medium::manifest::{Partition as Described, Target};

const ROOT: &str = "/run/vmimage-install/root";
const PERSIST: &str = "/run/vmimage-install/persist";
/// What can be written to.
const KINDS: [&str; 4] = ["ext4", "xfs", "btrfs", "vfat"];
/// Those that are only read.
pub(super) const READ_ONLY: [&str; 2] = ["erofs", "squashfs"];
/// What a mount takes beside the file system.
const DRIVERS: [&str; 2] = ["crc32c", "libcrc32c"];
/// Where the root of a btrfs may be.
const SUBVOLUME: &str = "@";

/// What is mounted of a disk.
pub(super) struct Mounts {
    root: Mounted,
    persist: Option<Mounted>,
}

struct Mounted {
    disk: PathBuf,
    number: u32,
    at: &'static str,
    is_mounted: bool,
}

impl Mounts {
    pub(super) fn of(disk: &Path, closing: &Closing, installed: &Target) -> Result<Self, String> {
        let root = Mounted::new(disk, closing, &installed.root, ROOT)?;
        let persist = installed.persist.as_ref();
        let persist = persist.map(|persist| Mounted::new(disk, closing, persist, PERSIST)).transpose()?;
        Ok(Self { root, persist })
    }

    /// The root of the system.
    pub(super) fn root(&self) -> &Path {
        let subvolume = Path::new(ROOT).join(SUBVOLUME);
        let is_one = super::files::is_folder(&subvolume.join("etc"));
        if is_one { Path::new("/run/vmimage-install/root/@") } else { Path::new(self.root.at) }
    }

    pub(super) fn persist(&self) -> Option<&Path> {
        self.persist.as_ref().map(|mounted| Path::new(mounted.at))
    }

    /// All that was written is on the disk, and nothing is mounted.
    pub(super) fn close(self) -> Result<(), String> {
        self.persist.map(Mounted::close).transpose()?;
        self.root.close()
    }
}

impl Mounted {
    fn new(disk: &Path, closing: &Closing, described: &Described, at: &'static str) -> Result<Self, String> {
        let Partition { number, place, .. } = closing.partition(described.number)?;
        let kind = &*described.r#type;
        let flags = match () {
            () if KINDS.contains(&kind) => MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC,
            () if READ_ONLY.contains(&kind) => MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID,
            () => return Err(format!("partition {number}: {kind} is no file system that is mounted here")),
        };
        let file = File::options().read(true).write(true).open(disk).map_err(in_file(disk))?;
        // One that a run before has left.
        let _ = blkpg::remove_partition(&file, number);
        blkpg::add_partition(&file, number, place.start, place.end - place.start).map_err(in_file(disk))?;
        drop(file);
        let mut mounted = Self { disk: disk.to_owned(), number, at, is_mounted: false };
        let name = disk.strip_prefix("/dev").unwrap_or(disk).to_string_lossy().replace('/', "!");
        let device = Device::named(name)?.child(number)?.path;
        fs::create_dir_all(at).map_err(in_file(Path::new(at)))?;
        let attempt = || mount(&device, at, kind, flags, None);
        let done = attempt().or_else(|error| match error {
            Errno::NODEV => {
                let mut modules = Modules::read();
                DRIVERS.iter().chain([&kind]).for_each(|name| modules.load(name));
                attempt()
            }
            error => Err(error),
        });
        done.map_err(|error| format!("{}: cannot be mounted as {kind}: {error}", device.display()))?;
        mounted.is_mounted = true;
        Ok(mounted)
    }

    fn close(mut self) -> Result<(), String> {
        let at = Path::new(self.at);
        let handle = open(at, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).map_err(in_file(at))?;
        rustix::fs::syncfs(&handle).map_err(in_file(&self.disk))?;
        drop(handle);
        // Not before it has written all.
        unmount(at, UnmountFlags::empty()).map_err(in_file(at))?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = unmount(self.at, UnmountFlags::DETACH);
        }
        if let Ok(file) = File::open(&self.disk) {
            let _ = blkpg::remove_partition(&file, self.number);
            let _ = fsync(&file);
        }
    }
}
