//! A netboot folder in the layer of an image: what `source` of an `install.toml` fetches, and nothing that starts a machine.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use exporter::spec::Architecture;

use super::archive::{Archive, Member};
use super::layer::unreadable;
use crate::base::{Error, Result};
use crate::cli::serve::pxe::Folder;

/// What an image says that it has in its layer.
pub(super) const CONTENT: &str = "medium";

/// The disk of a medium, with what describes it.
pub(super) struct MediumFolder {
    /// What messages call it.
    pub(super) shown: String,
    pub(super) architecture: Architecture,
    pub(super) archive: Archive,
    /// When the last of its files was changed, in seconds since 1970.
    pub(super) changed: i64,
}

impl MediumFolder {
    /// The files in the order in which an installer asks for them.
    ///
    /// # Errors
    /// If the folder is not whole, or installs nothing.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let wrong = |why: &str| Error::user(format!("{shown}: {why}"));
        let folder = Folder::open(path)?;
        let installed = folder.installed().ok_or_else(|| {
            wrong("has no disk, which is all that a registry would have it for")
                .with_hint("build it with install among the modes of [medium]")
        })?;
        let architecture =
            folder.architecture().ok_or_else(|| wrong("is for machines that are not known here"))?;
        let (mut members, mut changed) = (Vec::new(), 0);
        for (name, file, len) in installed {
            let metadata = file.metadata().map_err(|error| unreadable(&shown, error))?;
            changed = changed.max(metadata.mtime());
            members.push(Member::new(name.to_owned(), file, len).map_err(|why| wrong(&why))?);
        }
        Ok(Self { shown, architecture, archive: Archive(members), changed })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;

    const ABOUT: &str = r#"{"version":1,"name":"web","architecture":"aarch64","modes":["install"],
        "disk":{"file":"disk.zst","bytes":5,"packed":true,"index":"disk.index"}}"#;

    fn folder(about: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let index = [&[0; 32][..], &[7, 0, 0, 0]].concat();
        for (name, bytes) in [
            ("medium.json", about.as_bytes()),
            ("SHA256SUMS", b""),
            ("disk.zst", b"a frame"),
            ("disk.index", &index),
            ("initramfs", b"not of a disk"),
            ("vmlinuz", b"not of a disk"),
        ] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn a_layer_has_what_an_installer_asks_for_in_its_order() {
        let folder = folder(ABOUT);
        let medium = MediumFolder::open(folder.path()).unwrap();
        assert_eq!(medium.architecture, Architecture::Aarch64);
        let mut bytes = Vec::new();
        medium.archive.reader().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, medium.archive.size());
        let mut archive = tar::Archive::new(&*bytes);
        let files = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.size())
        });
        let expected = [("medium.json", ABOUT.len() as u64), ("disk.index", 36), ("disk.zst", 7)];
        assert_eq!(files.collect::<Vec<_>>(), expected.map(|(name, len)| (name.to_owned(), len)));
    }

    #[test]
    fn what_no_machine_is_installed_from_is_refused() {
        let refused = |about: &str| MediumFolder::open(folder(about).path()).err().unwrap().to_string();
        let live = r#"{"version":1,"name":"web","architecture":"aarch64","modes":["live"]}"#;
        assert!(refused(live).contains("has no disk"), "{}", refused(live));
        assert!(refused(&ABOUT.replace("aarch64", "m68k")).contains("not known here"));
        let cut = refused(&ABOUT.replace(":5,", ":70000,"));
        assert!(cut.contains("disk.index: has 36 bytes, and not the 72"), "{cut}");
    }
}
