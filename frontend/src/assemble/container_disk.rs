//! The folder of a containerDisk: owners, permissions and times as the exporter's own archives have them.
//!
//! The daemon makes a layer of it. Nothing in it is from a clock, so the same disk is the same layer.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use exporter::container::containerdisk::{DIRECTORY, DIRECTORY_MODE, DISK_MODE, OWNER, QCOW2};
use exporter::error::{Error, Result};

/// Make the folder that the disk goes to.
pub(super) fn make_folder(output: &Path) -> Result<()> {
    let folder = output.join(DIRECTORY);
    fs::create_dir(&folder)
        .map_err(|error| Error::io(folder.display().to_string(), "cannot make the folder", error))
}

/// Give the disk and its folder to the user that QEMU runs as, with the time `seconds` since 1970.
pub(super) fn hand_over(output: &Path, seconds: Option<i64>) -> Result<()> {
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    for (name, mode) in [(QCOW2, DISK_MODE), (DIRECTORY, DIRECTORY_MODE)] {
        let path = output.join(name);
        let changed = File::open(&path)
            .and_then(|file| file.set_modified(time))
            .and_then(|()| chown(&path, Some(OWNER), Some(OWNER)))
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)));
        changed.map_err(|error| {
            Error::io(path.display().to_string(), "cannot be given to the user of KubeVirt's QEMU", error)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_disk_and_its_folder_are_qemus() {
        let output = tempfile::tempdir().unwrap();
        make_folder(output.path()).unwrap();
        fs::write(output.path().join(QCOW2), "disk").unwrap();
        hand_over(output.path(), Some(1_700_000_000)).unwrap();
        for (name, mode) in [("disk", 0o40555), ("disk/disk.qcow2", 0o100440)] {
            let found = fs::metadata(output.path().join(name)).unwrap();
            assert_eq!(
                (found.mode(), found.uid(), found.gid(), found.mtime()),
                (mode, 107, 107, 1_700_000_000)
            );
        }
        assert!(make_folder(output.path()).is_err());
    }
}
