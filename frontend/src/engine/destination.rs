//! Where a disk file goes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use exporter::container::{Format, Output};

use crate::base::Result;

/// A file name for the disk file of one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    path: PathBuf,
    format: Format,
}

impl Destination {
    /// Finds out now what would otherwise be found out after the build.
    pub(crate) fn new(path: &Path, format: Format) -> Result<Self> {
        // Making a file is the only test that quotas, read-only mounts and ACLs all take part in.
        Output::create(path)?;
        Ok(Self { path: path.to_owned(), format })
    }

    /// The format of the file.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The file's name; of several, each has its platform before the ending: `web-linux-arm64.qcow2`.
    pub(crate) fn path(&self, platform: Option<&str>) -> PathBuf {
        let Some(platform) = platform else { return self.path.clone() };
        let name = self.path.file_name().unwrap_or_default().as_bytes();
        let usual = format!(".{}", self.format.extension());
        let ending = match name.ends_with(usual.as_bytes()) {
            true => usual.len(),
            false => self.path.extension().map_or(0, |extension| extension.len() + 1),
        };
        let (stem, ending) = name.split_at(name.len() - ending);
        let name = [stem, b"-", platform.as_bytes(), ending].concat();
        self.path.with_file_name(OsString::from_vec(name))
    }
}

/// The endings that pick a format, each once.
pub(crate) fn endings() -> Vec<String> {
    let mut endings = Vec::new();
    for extension in Format::ALL.iter().flat_map(|format| format.extensions()) {
        let ending = format!(".{extension}");
        if !endings.contains(&ending) {
            endings.push(ending);
        }
    }
    endings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_found_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let refuse = |path: &Path| Destination::new(path, Format::Raw).unwrap_err().to_string();
        assert!(refuse(dir.path()).ends_with(": the destination is a directory"));
        assert!(refuse(&dir.path().join("missing/web.raw")).ends_with("/missing does not exist"));
        assert!(refuse(Path::new("/proc/web.raw")).starts_with("/proc/web.raw: cannot create the file: "));
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(refuse(&dir.path().join("file/web.raw")).contains("/file/web.raw: cannot create the file: "));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn platforms_go_before_the_ending() {
        let dir = tempfile::tempdir().unwrap();
        for (name, format, with_platform) in [
            ("web.v2.qcow2", Format::Qcow2, "web.v2-linux-arm64.qcow2"),
            ("web.img", Format::Raw, "web-linux-arm64.img"),
            ("web", Format::Raw, "web-linux-arm64"),
        ] {
            let destination = Destination::new(&dir.path().join(name), format).unwrap();
            assert_eq!(destination.path(None), dir.path().join(name));
            assert_eq!(destination.path(Some("linux-arm64")), dir.path().join(with_platform));
        }
    }
}
