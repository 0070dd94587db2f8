//! The folder that the daemon makes a layer of: owners, permissions and times as the exporter's own archives have them.
//!
//! Nothing in it is from a clock, so the same disk or update is the same layer.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use exporter::container::containerdisk::{DIRECTORY, DIRECTORY_MODE, DISK_MODE, OWNER, QCOW2};
use exporter::container::{Target, update};
use exporter::error::{Error, Result};

/// Permission bits of the files of an update.
const UPDATE_MODE: u32 = 0o644;

/// What an image has in its layer, by the name of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OfImage {
    /// A disk, for the user that QEMU runs as.
    #[value(name = "containerdisk")]
    ContainerDisk,
    /// The files of an update, at the top.
    Update,
}

impl OfImage {
    /// Make what the artifacts go to.
    pub(super) fn prepare(self, output: &Path) -> Result<()> {
        if self == Self::Update {
            return Ok(());
        }
        let folder = output.join(DIRECTORY);
        fs::create_dir(&folder).map_err(in_folder(&folder))
    }

    /// Give what was made the owner, the mode and the time, `seconds` since 1970, that it has in the layer.
    pub(super) fn hand_over(self, output: &Path, made: &[Target], seconds: Option<i64>) -> Result<()> {
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let hand_over = |path: &Path, owner, mode| {
            File::open(path)
                .and_then(|file| file.set_modified(time))
                .and_then(|()| chown(path, Some(owner), Some(owner)))
                .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
                .map_err(in_folder(path))
        };
        match self {
            Self::ContainerDisk => {
                hand_over(&output.join(QCOW2), OWNER, DISK_MODE)?;
                hand_over(&output.join(DIRECTORY), OWNER, DIRECTORY_MODE)
            }
            Self::Update => {
                let lifted = made.iter().map(|target| lift(output, &target.path));
                let files: Vec<_> = lifted.collect::<Result<Vec<_>>>()?.concat();
                files.iter().try_for_each(|path| hand_over(path, 0, UPDATE_MODE))
            }
        }
    }
}

/// Move the files of a folder to the top: there a machine looks for them. What systemd-sysupdate takes is left out: it asks no
/// registry.
fn lift(output: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = in_folder(folder);
    let names = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
    });
    let moved = names.and_then(|names| {
        let is_of_servers = |name: &OsString| name.as_encoded_bytes().ends_with(update::GZIP.as_bytes());
        let moved = names.into_iter().filter(|name| !is_of_servers(name)).map(|name| {
            let path = output.join(&name);
            fs::rename(folder.join(&name), &path).map(|()| path)
        });
        let moved = moved.collect::<io::Result<Vec<_>>>()?;
        fs::remove_dir_all(folder).map(|()| moved)
    });
    moved.map_err(failed)
}

fn in_folder(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| {
        Error::io(path.display().to_string(), "cannot be made the content of an image's layer", error)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use exporter::container::{Compression, Format};

    use super::*;

    fn facts(path: &Path) -> (u32, u32, u32, i64) {
        let found = fs::metadata(path).unwrap();
        (found.mode(), found.uid(), found.gid(), found.mtime())
    }

    #[test]
    fn the_disk_and_its_folder_are_qemus() {
        let output = tempfile::tempdir().unwrap();
        let image = OfImage::ContainerDisk;
        image.prepare(output.path()).unwrap();
        fs::write(output.path().join(QCOW2), "disk").unwrap();
        image.hand_over(output.path(), &[], Some(1_700_000_000)).unwrap();
        for (name, mode) in [("disk", 0o40555), ("disk/disk.qcow2", 0o100440)] {
            assert_eq!(facts(&output.path().join(name)), (mode, 107, 107, 1_700_000_000));
        }
        assert!(image.prepare(output.path()).is_err());
    }

    #[test]
    fn the_files_of_an_update_are_at_the_top() {
        let output = tempfile::tempdir().unwrap();
        let folder = output.path().join("disk-update");
        fs::create_dir(&folder).unwrap();
        for name in ["SHA256SUMS", "manifest.json", "kiosk_1.4.0.root.gz"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let target = Target::new(
            folder.clone(),
            Format::Update,
            Compression::Zstd,
            exporter::seed::Seed::new(b"update").uuid("disk"),
        );
        OfImage::Update.prepare(output.path()).unwrap();
        OfImage::Update.hand_over(output.path(), &[target], None).unwrap();
        let names: Vec<_> =
            fs::read_dir(output.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(facts(&output.path().join("SHA256SUMS")), (0o100644, 0, 0, 0));
        assert_eq!(fs::read_to_string(output.path().join("manifest.json")).unwrap(), "manifest.json");
    }
}
