//! Where a disk goes: checked before the build, written beside, renamed when all is well.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::cli::{Error, Result, shell};

/// A file name that a disk may be put under.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// The name to give to the disk; a symbolic link is followed.
    path: PathBuf,
    /// The directory that name is in.
    directory: PathBuf,
}

impl Destination {
    /// Finds out now what would otherwise be found out after the build.
    pub(crate) fn new(asked: &Path) -> Result<Self> {
        let place = asked.display();
        match fs::metadata(asked) {
            Ok(metadata) if metadata.is_dir() => {
                let hint = format!("name a file in it: -o {}", asked.join("disk.qcow2").display());
                return Err(Error::user(format!("{place}: is a directory")).with_hint(hint));
            }
            Ok(metadata) if !metadata.is_file() => {
                return Err(Error::user(format!("{place}: is not a regular file")));
            }
            _ => {}
        }
        // Renaming over a symbolic link would replace the link, not the file it stands for.
        let path = fs::canonicalize(asked).unwrap_or_else(|_| asked.to_owned());
        if path.file_name().is_none() {
            return Err(Error::user(format!("{place}: is not a file name")));
        }
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let destination = Self { path, directory };
        // Making a file is the only test that quotas, read-only mounts and ACLs all take part in.
        destination.temporary().map_err(|error| destination.refused(error))?;
        Ok(destination)
    }

    fn refused(&self, error: io::Error) -> Error {
        let directory = self.directory.display();
        if self.directory.exists() {
            return Error::user(format!("{directory}: a file cannot be made there")).because(error);
        }
        let hint = format!("make it: mkdir -p {}", shell::quote(&self.directory));
        Error::user(format!("{directory}: no such directory")).with_hint(hint)
    }

    /// The directory the disk goes to.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The disk's name; of several, each has its platform before the ending: `web-linux-arm64.qcow2`.
    pub(crate) fn path(&self, platform: Option<&str>) -> PathBuf {
        let Some(platform) = platform else { return self.path.clone() };
        let mut name = self.path.file_stem().map(OsString::from).unwrap_or_default();
        name.push("-");
        name.push(platform);
        if let Some(extension) = self.path.extension() {
            name.push(".");
            name.push(extension);
        }
        self.directory.join(name)
    }

    /// A file in the same directory, so that a rename is enough; gone when dropped.
    pub(crate) fn temporary(&self) -> io::Result<NamedTempFile> {
        let mut builder = Builder::new();
        builder.prefix(".vmimage-").suffix(".part");
        // The kernel takes the umask off, as for any file a program makes.
        builder.permissions(Permissions::from_mode(0o666));
        builder.tempfile_in(&self.directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_cannot_be_written_is_found_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let refuse = |path: &Path| Destination::new(path).unwrap_err().to_string();
        assert!(refuse(dir.path()).ends_with(": is a directory"));
        assert!(refuse(&dir.path().join("missing/web.qcow2")).ends_with("/missing: no such directory"));
        assert_eq!(refuse(Path::new("/dev/null")), "/dev/null: is not a regular file");
        assert!(refuse(Path::new("/proc/web.qcow2")).starts_with("/proc: a file cannot be made there: "));
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(refuse(&dir.path().join("file/web.qcow2")).contains("/file: a file cannot be made there"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn platforms_go_before_the_ending() {
        let dir = tempfile::tempdir().unwrap();
        let destination = Destination::new(&dir.path().join("web.v2.qcow2")).unwrap();
        assert_eq!(destination.path(None), dir.path().join("web.v2.qcow2"));
        assert_eq!(destination.path(Some("linux-arm64")), dir.path().join("web.v2-linux-arm64.qcow2"));
    }

    #[test]
    fn links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/web.raw"), "old").unwrap();
        symlink("real/web.raw", dir.path().join("link.raw")).unwrap();
        let destination = Destination::new(&dir.path().join("link.raw")).unwrap();
        assert_eq!(destination.path(None), dir.path().canonicalize().unwrap().join("real/web.raw"));
    }
}
