//! A disk file as the layer of a containerDisk: read where it lies, once to know its digest and once to be sent.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use exporter::container::containerdisk::{self, Blob, Layer};
use exporter::container::{self, Format};
use exporter::engine::Progress;
use sha2::{Digest, Sha256};

use crate::base::{Error, Result};
use crate::source::registry::Content;

const BUFFER: usize = 1 << 20;

/// The layer, and the file that the disk in it comes from.
pub(super) struct DiskLayer {
    disk: Disk,
    /// Of the layer.
    pub(super) blob: Blob,
}

impl DiskLayer {
    /// Read all of a disk to know its digest.
    pub(super) fn new(disk: Disk, progress: &dyn Fn(Progress)) -> Result<Self> {
        let total = disk.layer.size();
        let mut digest = Sha256::new();
        let mut done = 0;
        let mut buffer = vec![0; BUFFER];
        let mut reader = disk.reader();
        loop {
            let len = match reader.read(&mut buffer).map_err(|error| unreadable(&disk.shown, error))? {
                0 => break,
                len => len,
            };
            digest.update(&buffer[..len]);
            done += len as u64;
            progress(Progress { done: done.min(total), total });
        }
        drop(reader);
        Ok(Self { disk, blob: Blob { digest: format!("sha256:{:x}", digest.finalize()), size: total } })
    }
}

impl Content for DiskLayer {
    fn open(&self) -> Box<dyn Read + '_> {
        Box::new(self.disk.reader())
    }
}

/// A disk file that KubeVirt takes.
pub(super) struct Disk {
    file: File,
    /// What messages call it.
    shown: String,
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

    /// The layer from its start.
    fn reader(&self) -> impl Read + '_ {
        let disk_len = self.layer.disk_len();
        let disk = Section { file: &self.file, at: self.start, end: self.start + disk_len };
        let tail = self.layer.size() - Layer::HEAD - disk_len;
        Cursor::new(self.layer.head()).chain(disk).chain(io::repeat(0).take(tail))
    }
}

/// A part of a file, from front to end.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (self.end - self.at).min(buffer.len() as u64) as usize;
        match self.file.read_at(&mut buffer[..len], self.at)? {
            // Somebody else has cut it.
            0 if len > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.at += len as u64;
                Ok(len)
            }
        }
    }
}

fn unreadable(shown: &str, error: io::Error) -> Error {
    Error::user(format!("{shown}: cannot be read")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_a_tar_with_the_disk_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let content: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let layer = DiskLayer::new(Disk::open(&path).unwrap(), &|_| {}).unwrap();
        let mut bytes = Vec::new();
        layer.open().read_to_end(&mut bytes).unwrap();
        assert_eq!(layer.blob, Blob::of(&bytes));
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
        let error = DiskLayer::new(disk, &|_| {}).err().unwrap();
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
