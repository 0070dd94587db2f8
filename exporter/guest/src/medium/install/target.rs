//! The disk that is written on, with errors that say which one it is, and at which byte.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::Errno;

use super::ioctls;
use crate::update::index::BLOCK;

/// The most that the kernel is asked to empty at once: it tells nothing meanwhile.
const ZEROES_MAX: u64 = 256 << 20;

/// What a disk does.
pub(super) trait Device {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Zeroes from now on.
    fn clear(&self, place: Range<u64>) -> io::Result<()>;

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// All that was written is on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Have the kernel look for partitions anew, where it knows some.
    fn read_table(&self) -> io::Result<()>;

    /// What is read from now on comes from the disk, not out of memory. Buffers have to be [aligned](Aligned).
    fn forget(&mut self) -> io::Result<()>;
}

/// The disk.
pub(super) struct Target {
    /// `/dev/sda`.
    pub(super) name: String,
    /// In bytes.
    pub(super) len: u64,
    pub(super) device: Box<dyn Device>,
}

impl Target {
    pub(super) fn write(&self, bytes: &[u8], at: u64) -> Result<(), String> {
        self.device.write(bytes, at).map_err(self.failed("written", at))
    }

    pub(super) fn clear(&self, place: Range<u64>) -> Result<(), String> {
        let mut at = place.start;
        while at < place.end {
            let end = place.end.min(at + ZEROES_MAX);
            self.device.clear(at..end).map_err(self.failed("written", at))?;
            at = end;
        }
        Ok(())
    }

    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), String> {
        self.device.read(bytes, at).map_err(self.failed("read", at))
    }

    /// `at` is what was written last.
    pub(super) fn sync(&self, at: u64) -> Result<(), String> {
        self.device.sync().map_err(self.failed("written", at))
    }

    pub(super) fn forget(&mut self) -> Result<(), String> {
        self.device.forget().map_err(|error| format!("{}: cannot be read back: {error}", self.name))
    }

    fn failed(&self, what: &'static str, at: u64) -> impl Fn(io::Error) -> String {
        let name = self.name.clone();
        move |error| {
            format!(
                "{name}: cannot be {what} at byte {at}: {error}\nhint: the disk is failing or is gone; what is on it starts no \
                 machine, and it is taken again as it is"
            )
        }
    }
}

/// A disk of the machine, or a file in tests.
pub(super) struct Disk {
    file: File,
    path: PathBuf,
    /// Past the memory of the kernel.
    direct: Option<File>,
}

impl Disk {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Who has it mounted, or a part of it, has it alone.
        let exclusive = OFlags::EXCL.bits() as i32;
        let file = File::options().read(true).write(true).custom_flags(exclusive).open(path)?;
        Ok(Self { file, path: path.to_owned(), direct: None })
    }

    fn clear_by_hand(&self, place: Range<u64>) -> io::Result<()> {
        let (mut bytes, zeroes) = (vec![0; BLOCK], vec![0; BLOCK]);
        let mut at = place.start;
        while at < place.end {
            let len = (place.end - at).min(BLOCK as u64) as usize;
            self.file.read_exact_at(&mut bytes[..len], at)?;
            if bytes[..len] != zeroes[..len] {
                self.file.write_all_at(&zeroes[..len], at)?;
            }
            at += len as u64;
        }
        Ok(())
    }
}

impl Device for Disk {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn clear(&self, place: Range<u64>) -> io::Result<()> {
        match ioctls::clear(&self.file, place.clone()) {
            // A file; sectors that are none.
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => self.clear_by_hand(place),
            done => Ok(done?),
        }
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.direct.as_ref().unwrap_or(&self.file).read_exact_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn read_table(&self) -> io::Result<()> {
        match ioctls::read_table(&self.file) {
            // A file; a disk that can have no partitions.
            Err(Errno::NOTTY | Errno::INVAL) => Ok(()),
            done => Ok(done?),
        }
    }

    fn forget(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let direct = OFlags::DIRECT.bits() as i32;
        match File::options().read(true).custom_flags(direct).open(&self.path) {
            Ok(file) => self.direct = Some(file),
            // A file system that has no such thing: its pages are dropped, as far as it has some.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Bytes that a disk may be read into past the kernel's memory: they begin at a sector's boundary, whatever its size.
pub(super) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    const TO: usize = 4096;

    pub(super) fn new(len: usize) -> Self {
        let bytes = vec![0; len + Self::TO];
        let start = bytes.as_ptr().align_offset(Self::TO).min(Self::TO);
        Self { bytes, start, len }
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_where_the_kernel_takes_them() {
        for len in [512, 4096, 1 << 20] {
            let mut aligned = Aligned::new(len);
            assert_eq!(aligned.bytes().len(), len);
            assert!(aligned.bytes().as_ptr().cast::<[u8; 4096]>().align_offset(4096) < 4096);
            assert_eq!(aligned.bytes().as_ptr() as usize % 4096, 0);
        }
    }

    #[test]
    fn a_file_is_emptied_and_read_past_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sda");
        std::fs::write(&path, vec![7; 4 * BLOCK]).unwrap();
        let mut disk = Disk::open(&path).unwrap();
        disk.clear(4096..3 * BLOCK as u64).unwrap();
        disk.write(&[9; 512], 8192).unwrap();
        disk.forget().unwrap();
        let mut aligned = Aligned::new(4 * BLOCK);
        disk.read(aligned.bytes(), 0).unwrap();
        let bytes = aligned.bytes();
        assert!(bytes[..4096].iter().chain(&bytes[3 * BLOCK..]).all(|byte| *byte == 7));
        assert!(bytes[8192..8704].iter().all(|byte| *byte == 9));
        assert!(bytes[8704..3 * BLOCK].iter().all(|byte| *byte == 0));
    }
}
