//! All files of a file system, one after the other, as whoever goes over them is told of each: every directory before what
//! is in it, names in the order of their bytes, and no more in memory than the names of the directories on the way.
//!
//! Nothing is trusted: what is read and kept is bounded by a [`DiskBudget`](super::DiskBudget), and a directory that is met
//! twice is an error.

use std::ops::Range;

use super::{DiskBudget, ext4, fat, probe};
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use crate::tree::{Device, Meta};

/// A file that is met.
pub struct Met<'a> {
    /// From the root, without a slash in front; empty for the root itself.
    pub path: &'a [u8],
    /// Owner, permissions, times, attributes. A [further name](FileKind::Link) has no attributes of its own.
    pub meta: &'a Meta,
    /// What it is.
    pub kind: FileKind<'a>,
}

/// What a file is.
pub enum FileKind<'a> {
    /// A directory: what is in it comes next.
    Directory,
    /// A regular file.
    File {
        /// Bytes, holes included.
        len: u64,
        /// What is in it.
        content: &'a dyn FileContent,
    },
    /// A further name of a file.
    Link {
        /// The name under which it was met first.
        first: &'a [u8],
        /// Whether it is a socket.
        is_socket: bool,
    },
    /// A symbolic link and its target.
    Symlink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

/// What is in a regular file. It is read when it is asked for, and once at most.
pub trait FileContent {
    /// Tells the ranges of the file that hold data, ascending, apart and not empty: between them are holes.
    ///
    /// # Errors
    /// If the file system breaks its format, or `visit` says so.
    fn ranges(&self, visit: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()>;

    /// Hands over the bytes of these ranges, piece by piece, each with its place in the file.
    ///
    /// # Errors
    /// The same.
    fn data(&self, visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()>;
}

/// Where to go from what was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into it, if it is a directory.
    Into,
    /// Over what is in it.
    Over,
}

/// Who is told.
pub type Visit<'a> = dyn FnMut(&Met<'_>) -> Result<Step> + 'a;

/// Go over all files of the file system on `volume`. Of an ext4 an empty `lost+found` is left out, which every one has.
///
/// # Errors
/// `Unsupported` for a file system whose files are not read, or that was not unmounted; `Corrupt` for one that breaks its
/// format; what `visit` says.
pub fn walk<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget, visit: &mut Visit<'_>) -> Result<()> {
    match probe::kind(volume)? {
        Some("ext2" | "ext3" | "ext4") => ext4::walk(volume, budget, visit),
        Some("vfat") => fat::walk(volume, budget, visit),
        Some(kind) => {
            Err(Error::new(Kind::Unsupported, kind, "the files of such a file system are not read here"))
        }
        None => Err(Error::new(Kind::Unsupported, "", "there is no file system that is known")),
    }
}
