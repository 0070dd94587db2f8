//! Files as a tar archive, made of a tree and unpacked into another one: owners, modes, times, extended attributes, hard
//! links, devices, and names of any bytes. Both sides of a copy do both.
//!
//! Neither follows a link within the tree. An archive may come from somebody who means harm: nothing is written but
//! below the folder it is unpacked in, and neither names nor lengths are believed.
//!
//! Left out: sockets; what is mounted below a folder; attributes that belong to a machine and not to a file (labels of
//! SELinux, those of overlayfs).

mod archive;
mod meta;
mod pack;
#[cfg(test)]
mod tests;
mod unpack;

use std::fmt;
use std::io;

#[cfg(feature = "fuzz")]
pub(crate) use archive::members;
pub use pack::pack;
pub use unpack::{unpack, unpack_named};

/// Folders within folders: each is open while what is in it is copied.
const DEPTH_MAX: usize = 400;
/// Bytes of a path, with its final zero (`PATH_MAX` of linux/limits.h).
const PATH_MAX: usize = 4096;
/// Bytes of the records in front of a member: two paths, and as many attributes as Linux keeps of an inode.
const RECORDS_MAX: u64 = 256 << 10;
/// Bytes of memory for inodes with several names, some twenty thousand: of more, each name becomes a file of its own.
const LINKED_MAX: usize = 4 << 20;

/// What an archive may decide of the files that are made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// All.
    All,
    /// What the user may do who unpacks it: files are theirs, nothing has their rights for others (set-user-ID), devices
    /// are refused, and so are attributes that grant something.
    Own,
}

/// Why a tree was not copied.
#[derive(Debug)]
pub enum Failure {
    /// What is wrong with the files of this side, and with which.
    Files(String),
    /// What is wrong with the archive, or with the stream it is in.
    Stream(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(error) => f.write_str(error),
            Self::Stream(error) => write!(f, "archive: {error}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// An error of a file.
fn of_file<E: fmt::Display>(path: &[u8]) -> impl Fn(E) -> Failure + '_ {
    move |error| Failure::Files(format!("{}: {error}", path.escape_ascii()))
}

/// An archive that is not as it should be.
fn damaged(what: &str) -> Failure {
    Failure::Stream(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// A member of an archive: a file with all but its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Member {
    /// Relative, `/` between its names.
    path: Vec<u8>,
    kind: Kind,
    /// Permissions, set-user-ID, set-group-ID and sticky bits.
    mode: u32,
    uid: u32,
    gid: u32,
    /// Seconds since 1970, and nanoseconds.
    mtime: (i64, u32),
    /// Names and values.
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// With so many bytes.
    File(u64),
    #[default]
    Folder,
    /// To where it leads.
    Symlink(Vec<u8>),
    /// The path of another member.
    Hardlink(Vec<u8>),
    Fifo,
    /// Of characters or of blocks; its numbers.
    Device(bool, u32, u32),
}
