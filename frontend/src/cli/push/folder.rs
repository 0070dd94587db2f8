//! The folder of an update in the layer of an image: its files in the order in which a machine asks for them.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use exporter::container::update::{self, Described};
use exporter::container::{Format, Members};

use super::archive::{Archive, Member};
use super::layer::unreadable;
use crate::base::{Error, Result};

/// The files of an update.
pub(super) struct UpdateFolder {
    /// What messages call it.
    pub(super) shown: String,
    pub(super) described: Described,
    pub(super) archive: Archive,
    /// When the last of its files was changed, in seconds since 1970.
    pub(super) changed: i64,
}

impl UpdateFolder {
    /// All files of an update, and no others.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let described = Described::read(path)?;
        let (mut members, mut files, mut changed) = (Members::new(Format::Update), Vec::new(), 0);
        let failed = |error| unreadable(&shown, error);
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_file = entry.file_type().map_err(failed)?.is_file();
            let wrong = |why| {
                Error::user(format!("{shown}: {why}")).with_hint("name the folder as a build has made it")
            };
            if !is_file {
                return Err(wrong(format!("{name:?} is no file of an update")));
            }
            members.add(&name).map_err(wrong)?;
            // systemd-sysupdate asks no registry.
            if name.ends_with(update::GZIP) {
                continue;
            }
            let file = File::open(entry.path()).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            changed = changed.max(metadata.mtime());
            files.push(Member::new(name, Arc::new(file), metadata.len()).map_err(wrong)?);
        }
        if let Some(missing) = members.missing() {
            return Err(Error::user(format!("{shown}: {missing} is missing"))
                .with_hint("name the folder as a build has made it"));
        }
        files.sort_by(|a, b| rank(&a.name).cmp(&rank(&b.name)));
        Ok(Self { shown, described, archive: Archive(files), changed })
    }
}

/// What says what the update is comes first, and what is large last.
fn rank(name: &str) -> (u8, &str) {
    let rank = match name {
        "SHA256SUMS" => 0,
        name if name.starts_with("SHA256SUMS") => 1,
        "manifest.json" => 2,
        name if name.ends_with(".root.index") => 3,
        name if name.ends_with(".boot.tar.zst") => 4,
        name if name.ends_with(".root.zst") => 5,
        // For builds, and who reads from the front has then seen what a machine needs.
        _ => 6,
    };
    (rank, name)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use exporter::container::image::Blob;

    use super::super::layer::{Sent, SentLayer};
    use super::*;
    use crate::source::registry::Content;

    const MANIFEST: &str = r#"{"format":1,"id":"kiosk","version":"1.4.0","compatible":"acme kiosk-2",
        "architecture":"x86_64","loader":"grub","parts":[]}"#;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("kiosk_1.4.0.root.zst", "root"),
            ("kiosk_1.4.0.root.gz", "for systemd-sysupdate"),
            ("kiosk_1.4.0.root.placement", "placement"),
            ("kiosk_1.4.0.boot.tar.zst", "kernels"),
            ("manifest.json", MANIFEST),
            ("kiosk_1.4.0.root.index", "index"),
            ("SHA256SUMS", "sums"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_layer_has_what_describes_it_first() {
        let folder = folder();
        let update = UpdateFolder::open(folder.path()).unwrap();
        assert_eq!(update.described.compatible, "acme kiosk-2");
        let layer = SentLayer::new(Sent::Update(update), &|_| {}).unwrap();
        let mut bytes = Vec::new();
        layer.open().read_to_end(&mut bytes).unwrap();
        assert_eq!(layer.blob, Blob::of(&bytes));
        let mut archive = tar::Archive::new(&*bytes);
        let names = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        });
        let expected = [
            ("SHA256SUMS", "sums"),
            ("manifest.json", MANIFEST),
            ("kiosk_1.4.0.root.index", "index"),
            ("kiosk_1.4.0.boot.tar.zst", "kernels"),
            ("kiosk_1.4.0.root.zst", "root"),
            ("kiosk_1.4.0.root.placement", "placement"),
        ];
        assert_eq!(
            names.collect::<Vec<_>>(),
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn a_folder_with_other_files_or_without_one_is_refused() {
        for (change, part) in [
            ((|folder| fs::write(folder.join("disk.raw"), "")) as fn(&Path) -> _, "is no file of update"),
            (|folder| fs::remove_file(folder.join("kiosk_1.4.0.root.zst")), "*.root.zst is missing"),
            (|folder| fs::create_dir(folder.join("x")), "is no file of an update"),
            (|folder| fs::write(folder.join("manifest.json"), "{}"), "manifest.json"),
        ] {
            let folder = folder();
            change(folder.path()).unwrap();
            let error = UpdateFolder::open(folder.path()).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    /// As long as a file system allows, and longer than a header does.
    #[test]
    fn a_name_that_no_update_has_is_refused() {
        let folder = folder();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap().replace("kiosk_1.4.0", &"k".repeat(90));
            fs::rename(entry.path(), folder.path().join(name)).unwrap();
        }
        let error = UpdateFolder::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("has a name of more than 100 bytes"), "{error}");
    }
}
