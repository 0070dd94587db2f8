//! Where an artifact goes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use exporter::container::{Base, Compression, Folder, Format, Output};

use crate::base::Result;

/// A name for the artifact of one format.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    path: PathBuf,
    format: Format,
    over: Option<Over>,
}

/// How a disk is written over another when it arrives.
#[derive(Clone, Debug)]
pub(crate) struct Over {
    pub(crate) base: Base,
    pub(crate) compression: Compression,
}

impl Destination {
    /// Finds out now what would otherwise be found out after the build.
    pub(crate) fn new(path: &Path, format: Format) -> Result<Self> {
        Unnamed::create(path, format)?;
        Ok(Self { path: path.to_owned(), format, over: None })
    }

    /// What is sent of a disk that is written over a base: its bytes as they are, of which the base has most.
    pub(crate) const ARRIVES_OVER_BASE: Format = Format::Raw;

    /// The same for a disk that is written over `base`.
    pub(crate) fn over(self, base: Base, compression: Compression) -> Self {
        Self { over: Some(Over { base, compression }), ..self }
    }

    /// What a disk is written over when it arrives.
    pub(super) fn base(&self) -> Option<&Over> {
        self.over.as_ref()
    }

    /// The format that it arrives in.
    pub(super) fn arrives(&self) -> Format {
        if self.over.is_some() { Self::ARRIVES_OVER_BASE } else { self.format }
    }

    /// The format of what goes there.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The name; of several, each has its platform in it: `web-linux-arm64.qcow2`, of folders `web-linux-arm64`.
    pub(crate) fn path(&self, platform: Option<&str>) -> PathBuf {
        let Some(platform) = platform else { return self.path.clone() };
        let name = self.path.file_name().unwrap_or_default().as_bytes();
        let (stem, extension) = name.split_at(name.len() - self.extension_len(name));
        let name = [stem, b"-", platform.as_bytes(), extension].concat();
        self.path.with_file_name(OsString::from_vec(name))
    }

    /// Bytes of the extension in `name`, its dot included.
    fn extension_len(&self, name: &[u8]) -> usize {
        let usual = self.format.suffix();
        match name.ends_with(usual.as_bytes()) {
            _ if self.format.is_folder() => 0,
            true => usual.len(),
            false => self.path.extension().map_or(0, |extension| extension.len() + 1),
        }
    }
}

/// An artifact on its way, beside its destination and under a temporary name; nothing is left of it unless it is
/// persisted.
#[derive(Debug)]
pub(crate) enum Unnamed {
    File(Output),
    Folder(Folder),
}

impl Unnamed {
    /// Starts one. To make a file or a folder is the only test that quotas, read-only mounts and ACLs all take part in.
    pub(crate) fn create(path: &Path, format: Format) -> Result<Self> {
        Ok(match format.is_folder() {
            true => Self::Folder(Folder::create(path, format)?),
            false => Self::File(Output::create(path)?),
        })
    }

    /// Where it lies until it is persisted.
    pub(crate) fn temporary(&self) -> &Path {
        match self {
            Self::File(file) => file.temporary(),
            Self::Folder(folder) => folder.temporary(),
        }
    }

    /// Lets it appear under its name.
    pub(crate) fn persist(self) -> Result<()> {
        Ok(match self {
            Self::File(file) => file.persist(),
            Self::Folder(folder) => folder.persist(),
        }?)
    }
}

/// The format of folders that `path` has for an extension, which no folder has: `web.ovf`.
pub(crate) fn is_named_as_file(path: &Path) -> Option<Format> {
    let format: Format = path.extension()?.to_str()?.parse().ok()?;
    format.is_folder().then_some(format)
}

/// The extensions that pick a format, each once.
pub(crate) fn extensions() -> Vec<String> {
    let mut extensions = Vec::new();
    for extension in Format::ALL.iter().flat_map(|format| format.extensions()) {
        let extension = format!(".{extension}");
        if !extensions.contains(&extension) {
            extensions.push(extension);
        }
    }
    extensions
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
        let refuse = |path: &Path| Destination::new(path, Format::Ovf).unwrap_err().to_string();
        assert!(
            refuse(dir.path()).ends_with(": the destination holds \"file\", which is not of an earlier ovf")
        );
        assert!(refuse(&dir.path().join("file")).ends_with("/file: the destination is not a directory"));
        assert!(refuse(&dir.path().join("missing/web")).ends_with("/missing does not exist"));
        assert!(refuse(Path::new("/proc/web")).starts_with("/proc/web: cannot create the folder: "));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn platforms_go_before_the_extension() {
        let dir = tempfile::tempdir().unwrap();
        for (name, format, with_platform) in [
            ("web.v2.qcow2", Format::Qcow2, "web.v2-linux-arm64.qcow2"),
            ("web.img", Format::Raw, "web-linux-arm64.img"),
            ("web", Format::Raw, "web-linux-arm64"),
            ("web.v2", Format::Ovf, "web.v2-linux-arm64"),
            ("disk-ovf", Format::Ovf, "disk-ovf-linux-arm64"),
        ] {
            let destination = Destination::new(&dir.path().join(name), format).unwrap();
            assert_eq!(destination.path(None), dir.path().join(name));
            assert_eq!(destination.path(Some("linux-arm64")), dir.path().join(with_platform));
        }
    }

    #[test]
    fn a_folder_has_no_extension() {
        assert_eq!(is_named_as_file(Path::new("a/web.ovf")), Some(Format::Ovf));
        for path in ["web", "web.ova", "web.raw", "ovf", "web.ovf/web"] {
            assert_eq!(is_named_as_file(Path::new(path)), None, "{path}");
        }
        assert!(extensions().contains(&".ova".to_owned()) && !extensions().contains(&".ovf".to_owned()));
    }
}
