//! Overlays (overlayfs of the kernel's documentation): what is written goes into a tmpfs, and below is what the disk has.
//!
//! All share one tmpfs, whose size is the kernel's choice: half of the memory. Each overlay holds what it has of it, so in
//! the end it is mounted nowhere.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, unmount};
use rustix::process::{chdir, chroot};

use crate::init::modules::Modules;
use crate::init::mounts;

/// Where the tmpfs is while overlays are made of it: a directory that is there, since this program lies in it.
const FOLDER: &str = "/usr/lib/vmimage";

/// The tmpfs.
pub(super) struct Upper;

impl Upper {
    pub(super) fn mount() -> Result<Self, String> {
        mount("tmpfs", FOLDER, "tmpfs", MountFlags::empty(), Some(c"mode=755"))
            .map_err(|error| format!("{FOLDER}: cannot mount a tmpfs: {error}"))?;
        Ok(Self)
    }

    /// A directory of it.
    fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let path = Path::new(FOLDER).join(name);
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// An overlay over `lower`, mounted at `at`. The tmpfs has directories of these numbers for it.
    fn overlay(&self, number: usize, lower: &str, at: &Path) -> Result<(), String> {
        let (upper, work) = (self.folder(&format!("{number}"))?, self.folder(&format!("{number}.work"))?);
        look_like(&upper, Path::new(lower)).map_err(|error| format!("{lower}: {error}"))?;
        mount_overlay(lower, &upper, &work, "", at)
    }
}

impl Drop for Upper {
    fn drop(&mut self) {
        let _ = unmount(FOLDER, UnmountFlags::DETACH);
    }
}

/// What refers to the files below, which are others after an update (overlayfs, "Changes to underlying filesystems").
const NO_REFERENCES: &str = ",index=off,redirect_dir=off,metacopy=off,xino=off";

/// An overlay over a directory, whose changes are kept while what lies below is replaced.
pub(super) fn mount_kept(directory: &str, upper: &Path, work: &Path) -> Result<(), String> {
    mount_overlay(directory, upper, work, NO_REFERENCES, Path::new(directory))
}

/// Mount one at `at`, with what else it is told.
pub(crate) fn mount_overlay(
    lower: &str,
    upper: &Path,
    work: &Path,
    more: &str,
    at: &Path,
) -> Result<(), String> {
    let options = format!("lowerdir={lower},upperdir={},workdir={}{more}", upper.display(), work.display());
    let options = CString::new(options).map_err(|error| format!("{lower}: {error}"))?;
    let mounted = || mount("overlay", at, "overlay", MountFlags::empty(), Some(&*options));
    mounted()
        .or_else(|error| match error {
            // No driver, and the image has no modprobe for the kernel to run.
            Errno::NODEV => {
                Modules::read().load("overlay");
                mounted()
            }
            error => Err(error),
        })
        .map_err(|error| format!("{lower}: cannot mount an overlay over it: {error}"))
}

/// The directory on top of an overlay is the one whose owner and mode are seen.
pub(crate) fn look_like(upper: &Path, lower: &Path) -> std::io::Result<()> {
    let lower = fs::metadata(lower)?;
    chown(upper, Some(lower.uid()), Some(lower.gid()))?;
    fs::set_permissions(upper, Permissions::from_mode(lower.mode() & 0o7777))
}

/// Mount an overlay over a directory. What the initramfs has mounted there goes: it is none of the disk's.
pub(super) fn cover(upper: &Upper, number: usize, directory: &str) -> Result<(), String> {
    let _ = unmount(directory, UnmountFlags::DETACH);
    upper.overlay(number, directory, Path::new(directory))
}

/// Make an overlay over the root the root, with all that is mounted in it.
pub(super) fn switch_root(upper: Upper) -> Result<(), String> {
    let failed = |what: &str, error: Errno| format!("{what}: cannot be moved to the overlay over /: {error}");
    let root = upper.folder("root")?;
    upper.overlay(0, "/", &root)?;
    chdir(&root).map_err(|error| failed("/", error))?;
    // On top of the old one, where paths from / on still lead until the last step.
    mount_move(".", "/").map_err(|error| failed("/", error))?;
    drop(upper);
    for point in mounts::below_root()? {
        mount_move(&*point, &*format!(".{point}")).map_err(|error| failed(&point, error))?;
    }
    chroot(".").and_then(|()| chdir("/")).map_err(|error| failed("/", error))
}
