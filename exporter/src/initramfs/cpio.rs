//! Archives of the format `newc` (initramfs-buffer-format of the kernel's documentation): headers of thirteen numbers in
//! hexadecimal digits, names and contents, each filled up to four bytes.

use crate::error::{Error, Kind, Result, show_size};
use crate::tree::{Content, Time};

const S_IFCHR: u32 = 0o020000;
const S_IFDIR: u32 = 0o040000;
const S_IFREG: u32 = 0o100000;
const TRAILER: &str = "TRAILER!!!";
/// What a header's digits can say.
const FILE_LIMIT: u64 = u32::MAX as u64;

/// An archive that is being written: all is root's.
pub(super) struct Writer {
    bytes: Vec<u8>,
    inodes: u32,
    time: u32,
}

impl Writer {
    pub(super) fn new(time: Time) -> Self {
        let time = u32::try_from(time.seconds.max(0)).unwrap_or(u32::MAX);
        Self { bytes: Vec::new(), inodes: 0, time }
    }

    pub(super) fn directory(&mut self, name: &str) {
        self.header(name, S_IFDIR | 0o755, 2, 0, (0, 0));
    }

    pub(super) fn character_device(&mut self, name: &str, permissions: u32, device: (u32, u32)) {
        self.header(name, S_IFCHR | permissions, 1, 0, device);
    }

    /// A file, which has no more bytes than a header can say.
    pub(super) fn file(&mut self, name: &str, permissions: u32, bytes: &[u8]) {
        self.header(name, S_IFREG | permissions, 1, bytes.len() as u32, (0, 0));
        self.bytes.extend(bytes);
        self.fill();
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        (self.inodes, self.time) = (0, 0);
        self.header(TRAILER, 0, 1, 0, (0, 0));
        self.bytes
    }

    fn header(&mut self, name: &str, mode: u32, links: u32, size: u32, device: (u32, u32)) {
        if name != TRAILER {
            self.inodes += 1;
        }
        let name_size = name.len() as u32 + 1;
        // ino, mode, uid, gid, nlink, mtime, filesize, maj, min, rmaj, rmin, namesize, chksum
        let numbers =
            [self.inodes, mode, 0, 0, links, self.time, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend(b"070701");
        numbers.iter().for_each(|number| self.bytes.extend(format!("{number:08x}").as_bytes()));
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.fill();
    }

    fn fill(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Whether a file of so many bytes goes into an archive.
pub(super) fn check_size(name: &str, len: u64) -> Result<()> {
    if len <= FILE_LIMIT {
        return Ok(());
    }
    let message = format!("has {}, an initramfs takes files of 4 GiB at most", show_size(len));
    Err(Error::new(Kind::Unsupported, name, message)
        .with_hint("take a format with a disk of its own for the root, not uki"))
}

/// What is before and behind a file of so many bytes in an archive of that alone.
pub(super) fn around_file(name: &str, len: u64, time: Time) -> Result<[Content; 2]> {
    check_size(name, len)?;
    let mut before = Writer::new(time);
    before.header(name, S_IFREG | 0o644, 1, len as u32, (0, 0));
    let mut after = vec![0; (len.next_multiple_of(4) - len) as usize];
    after.extend(Writer::new(time).finish());
    Ok([Content::Bytes(before.bytes.into()), Content::Bytes(after.into())])
}
