//! Blocks that the disk file shares with the files it is made of, on file systems that can: Btrfs and XFS.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{copy_file_range, fstatvfs, ioctl_ficlone};

/// A file system whose files can share blocks.
#[derive(Debug)]
pub(super) struct Reflink {
    device: u64,
    block: u64,
}

impl Reflink {
    /// The file system of `file`, which is open for reading and writing and empty; `None` if it cannot.
    pub(super) fn of(file: &File) -> Option<Self> {
        // Wherever files can be cloned at all, an empty one can into itself, which changes nothing.
        ioctl_ficlone(file, file).ok()?;
        Some(Self { device: file.metadata().ok()?.dev(), block: fstatvfs(file).ok()?.f_frsize })
    }

    /// Let `len` bytes of `to` at `at` be those of `from` at `offset`, without reading them: whether they
    /// are. If not, some of them may be.
    pub(super) fn share(&self, from: &File, mut offset: u64, to: &File, mut at: u64, len: u64) -> bool {
        let is_aligned = [offset, at, len].iter().all(|number| number.is_multiple_of(self.block));
        let is_here = || from.metadata().is_ok_and(|metadata| metadata.dev() == self.device);
        if !is_aligned || !is_here() {
            return false;
        }
        let mut left = len as usize;
        // Aligned and on one file system, this shares blocks, or copies them where it cannot after all.
        while left > 0 {
            match copy_file_range(from, Some(&mut offset), to, Some(&mut at), left) {
                Ok(copied) if copied > 0 => left -= copied,
                _ => return false,
            }
        }
        true
    }
}
