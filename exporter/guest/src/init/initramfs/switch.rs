//! From the initramfs to the root: its files go, since they hold memory for as long as the machine runs.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, chroot};

/// What is mounted already, and the root's init finds there.
const MOVED: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Make what is mounted at `root` the root, and delete the files of the initramfs.
pub(crate) fn to(root: &str) -> Result<(), String> {
    to_keeping(root).map(|initramfs| discard(&initramfs))
}

/// Make what is mounted at `root` the root. Returns the directory of the initramfs, with its files.
pub(super) fn to_keeping(root: &str) -> Result<OwnedFd, String> {
    let failed = |error: Errno| format!("{root}: cannot be made the root: {error}");
    for at in MOVED {
        // A root without the directory gets none.
        if mount_move(at, &*format!("{root}{at}")).is_err() {
            let _ = unmount(at, UnmountFlags::DETACH);
        }
    }
    let initramfs = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    chdir(root).map_err(failed)?;
    mount_move(".", "/").map_err(failed)?;
    chroot(".").and_then(|()| chdir("/")).map_err(failed)?;
    Ok(initramfs)
}

/// Where what is in an open directory can be named.
pub(crate) fn path_of(directory: &OwnedFd) -> PathBuf {
    // The directory, and not the link to it.
    format!("/proc/self/fd/{}/.", directory.as_raw_fd()).into()
}

/// Delete the files of the initramfs. What cannot be deleted costs its memory and no more.
pub(crate) fn discard(initramfs: &OwnedFd) {
    let _ = empty(&path_of(initramfs));
}

/// Delete all that is in a directory and on its own file system.
fn empty(directory: &Path) -> io::Result<()> {
    let device = fs::symlink_metadata(directory)?.dev();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, metadata) = (entry.path(), entry.metadata()?);
        if metadata.dev() != device {
            continue;
        }
        if metadata.is_dir() {
            empty(&path)?;
            // One in which something is mounted stays.
            let _ = fs::remove_dir(&path);
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_emptied_and_links_are_not_followed() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("kept"), "").unwrap();
        fs::create_dir_all(folder.path().join("lib/modules/6.1")).unwrap();
        fs::write(folder.path().join("lib/modules/6.1/a.ko"), "").unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join("link")).unwrap();
        empty(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(other.path().join("kept").exists());
    }
}
