//! A disk file in the layer of a containerDisk, read where it lies.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use exporter::container::containerdisk::{self, Layer};
use exporter::container::{self, Format};

use super::layer::{Section, unreadable};
use crate::base::{Error, Result};

/// A disk file that KubeVirt takes.
pub(super) struct Disk {
    file: File,
    /// What messages call it.
    pub(super) shown: String,
    /// Where in the file the disk lies.
    start: u64,
    layer: Layer,
    /// When the file was changed, in seconds since 1970.
    pub(super) changed: i64,
}

impl Disk {
    /// A qcow2, a raw disk, or the qcow2 in a containerdisk archive.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        // Opening another kind of file could wait for ever.
        container::files(path)?;
        let metadata = path.metadata().map_err(|error| unreadable(&shown, error))?;
        let (format, range) = match container::identify(path)?.0 {
            Format::ContainerDisk => (Format::Qcow2, containerdisk::disk_range(path)?),
            format => (format, 0..metadata.len()),
        };
        let layer = Layer::around(format, range.end - range.start).ok_or_else(|| {
            let can = Format::ALL.iter().filter(|format| format.goes_into_images());
            let can: Vec<_> = can.map(|format| format.name()).collect();
            Error::user(format!("{shown}: KubeVirt takes no {format} disk from an image"))
                .with_hint(format!("push a disk in one of {}", can.join(", ")))
        })?;
        let file = File::open(path).map_err(|error| unreadable(&shown, error))?;
        Ok(Self { file, shown, start: range.start, layer, changed: metadata.mtime() })
    }

    /// Bytes of the layer.
    pub(super) fn size(&self) -> u64 {
        self.layer.size()
    }

    /// The layer from its start.
    pub(super) fn reader(&self) -> impl Read + '_ {
        let disk_len = self.layer.disk_len();
        let disk = Section::new(&self.file, self.start..self.start + disk_len);
        let tail = self.layer.size() - Layer::HEAD - disk_len;
        Cursor::new(self.layer.head()).chain(disk).chain(io::repeat(0).take(tail))
    }
}

#[cfg(test)]
mod tests {
    use super::super::layer::{Sent, SentLayer};
    use super::*;

    fn layer(disk: Disk) -> Result<SentLayer> {
        SentLayer::new(Sent::Disk(disk), &|_| {})
    }

    #[test]
    fn a_layer_is_a_tar_with_the_disk_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let content: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let layer = layer(Disk::open(&path).unwrap()).unwrap();
        let mut bytes = Vec::new();
        crate::source::registry::Content::open(&layer).read_to_end(&mut bytes).unwrap();
        assert_eq!(layer.blob, exporter::container::image::Blob::of(&bytes));
        let mut archive = tar::Archive::new(&*bytes);
        let members = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let header = entry.header();
            let path = entry.path().unwrap().display().to_string();
            (path, header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap(), content)
        });
        let expected = [
            ("disk/".to_owned(), 0o555, 107, 107, Vec::new()),
            ("disk/disk.img".to_owned(), 0o440, 107, 107, content),
        ];
        assert_eq!(members.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_disk_that_shrinks_is_not_padded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::write(&path, [1; 4096]).unwrap();
        let disk = Disk::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let error = layer(disk).err().unwrap();
        assert!(error.to_string().contains("disk: cannot be read"), "{error}");
    }

    #[test]
    fn what_kubevirt_does_not_take_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::write(&path, b"\x1f\x8b\x08packed").unwrap();
        let error = Disk::open(&path).err().unwrap();
        assert!(error.to_string().ends_with("KubeVirt takes no raw.gz disk from an image"), "{error}");
        let error = Disk::open(Path::new("/dev/null")).err().unwrap();
        assert!(error.to_string().ends_with("is not a regular file"), "{error}");
        let error = Disk::open(folder.path()).err().unwrap();
        assert!(error.to_string().ends_with("is a directory, and no .ovf is in it"), "{error}");
        assert!(
            Disk::open(&folder.path().join("none")).err().unwrap().to_string().contains("cannot be read")
        );
    }
}
