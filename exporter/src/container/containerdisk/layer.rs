//! The one layer of a containerDisk: a tar with a directory and the disk in it.

use crate::container::Format;
use crate::container::archive::{self, Access, END, RECORD};

/// Where the disk lies in the image.
pub const DIRECTORY: &str = "disk/";
/// The path of a qcow2 disk in the image.
pub const QCOW2: &str = "disk/disk.qcow2";
/// That of a raw disk.
pub const RAW: &str = "disk/disk.img";
/// The user and the group that it belongs to: QEMU's in KubeVirt.
pub const OWNER: u32 = 107;
/// Permission bits of the directory.
pub const DIRECTORY_MODE: u32 = 0o555;
/// Permission bits of the disk.
pub const DISK_MODE: u32 = 0o440;

/// A layer around a disk file.
///
/// ```text
/// ┌────────┬──────────────────┬───────────┬───────────────────┐
/// │ disk/  │ disk/disk.qcow2, │ disk file │ zeroes: padding,  │
/// │ header │ header           │           │ end of the archive│
/// └────────┴──────────────────┴───────────┴───────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    path: &'static str,
    disk_len: u64,
}

impl Layer {
    /// Bytes in front of the disk file.
    pub const HEAD: u64 = 2 * RECORD;

    /// Around a disk file of `disk_len` bytes; `None` for a format that KubeVirt does not take.
    pub fn around(format: Format, disk_len: u64) -> Option<Self> {
        let path = match format {
            Format::Qcow2 => QCOW2,
            Format::Raw => RAW,
            _ => return None,
        };
        Some(Self { path, disk_len })
    }

    /// Bytes of the disk file.
    pub fn disk_len(&self) -> u64 {
        self.disk_len
    }

    /// Bytes of all of it.
    pub fn size(&self) -> u64 {
        Self::HEAD + self.disk_len.next_multiple_of(RECORD) + END
    }

    /// What is in front of the disk file: [`Self::HEAD`] bytes.
    pub fn head(&self) -> Vec<u8> {
        let access = |mode| Access { mode, owner: OWNER.into() };
        let directory = archive::directory(DIRECTORY, access(DIRECTORY_MODE));
        let disk = archive::file(self.path, access(DISK_MODE), self.disk_len);
        [*directory.as_bytes(), *disk.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_images_hold() {
        for &format in Format::ALL {
            let is_held = Layer::around(format, 512).is_some() || format == Format::ContainerDisk;
            assert_eq!(format.goes_into_images(), is_held, "{format}");
        }
    }
}
