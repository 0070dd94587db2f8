//! One directory of this machine, read: its entries in byte order, with all that is known of them.
//!
//! Nothing is opened but the directory, and regular files that have holes: to open a pipe or a device
//! could block or do worse. No symlink is followed: the directory is opened below the root by `openat2`,
//! entries are looked at by name within it.
//!
//! Linux has no `getxattrat` for a name in an open directory (before 6.13), and `fgetxattr` wants a file
//! opened for reading. So xattrs are read by `lgetxattr("/proc/self/fd/DIRECTORY/NAME")`: the kernel
//! takes the first part to exactly the open directory, and `l` stops at the name itself.
//!
//! What other file systems are mounted below the root belongs to this machine and not to the tree: a
//! mount point is kept, as an empty directory or an empty file.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Statx, StatxAttributes, StatxFlags, statx};

use super::host::{Changed, HostDir, Listing, join};
use super::{Content, Device, InodeKind, Meta, Name, Time, Xattrs, holes, xattr};
use crate::error::{self, Error, Result, show_path};

/// The entries of a directory.
pub(super) struct Directory {
    pub(super) files: Arc<Listing>,
    /// By name.
    pub(super) entries: Vec<Entry>,
}

pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) meta: Meta,
    pub(super) kind: EntryKind,
    /// What its other names have too, if it has any.
    pub(super) link: Option<HardLink>,
}

pub(super) enum EntryKind {
    /// A regular file: its index in the listing.
    File(u32),
    /// A directory to be read.
    Directory,
    /// All there is to know of anything else, mount points among it.
    Known(InodeKind),
}

/// A file by device and inode number, the same for all names of it.
pub(super) type HardLink = (u32, u32, u64);

/// Read the directory at `path` (no slash in front, empty for the root).
pub(super) fn read(root: &Arc<HostDir>, path: &[u8]) -> Result<Directory> {
    let unreadable = |error| failed(path, "cannot read the directory", error);
    let at = if path.is_empty() { b"." } else { path };
    let fd = root.open_below(at, OFlags::RDONLY | OFlags::DIRECTORY).map_err(unreadable)?;
    let mut directory = Dir::new(fd).map_err(|error| unreadable(error.into()))?;
    let names = sorted_names(&mut directory).map_err(unreadable)?;
    let fd = directory.fd().map_err(|error| unreadable(error.into()))?;
    let mut reader = Reader { root, path, fd, files: Listing::new(Arc::clone(root), path.into()) };
    let entries = names.iter().map(|name| reader.entry(name)).collect::<Result<_>>()?;
    Ok(Directory { files: reader.files.finish(), entries })
}

/// The order the host gives depends on its file system; the tree must not.
fn sorted_names(directory: &mut Dir) -> std::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    while let Some(entry) = directory.read() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

struct Reader<'a> {
    root: &'a Arc<HostDir>,
    path: &'a [u8],
    fd: BorrowedFd<'a>,
    files: Listing,
}

impl Reader<'_> {
    fn entry(&mut self, name: &CStr) -> Result<Entry> {
        let failed = |message, error| failed(&join(self.path, name.to_bytes()), message, error);
        let status = status(self.fd, name).map_err(|error| failed("cannot read its metadata", error))?;
        let xattrs =
            xattr::read_all(self.fd, name).map_err(|error| failed("cannot read its xattrs", error))?;
        let several_names = status.stx_nlink > 1 && file_type(&status) != FileType::Directory;
        let link = (status.stx_dev_major, status.stx_dev_minor, status.stx_ino);
        Ok(Entry {
            name: name.to_bytes().into(),
            meta: meta(&status, xattrs),
            kind: self.kind(&status, name)?,
            link: several_names.then_some(link),
        })
    }

    fn kind(&mut self, status: &Statx, name: &CStr) -> Result<EntryKind> {
        let path = || join(self.path, name.to_bytes());
        let device = Device { major: status.stx_rdev_major, minor: status.stx_rdev_minor };
        Ok(EntryKind::Known(match file_type(status) {
            FileType::Directory if is_mount_point(status) => InodeKind::Directory(BTreeMap::new()),
            FileType::Directory => return Ok(EntryKind::Directory),
            FileType::RegularFile if is_mount_point(status) => {
                InodeKind::File(Content::Bytes(Arc::default()))
            }
            FileType::RegularFile => return self.file(status, name).map(EntryKind::File),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(self.fd, name, Vec::new())
                    .map_err(|error| failed(&path(), "cannot read the symlink", error.into()))?;
                InodeKind::Symlink(target.as_bytes().into())
            }
            FileType::Fifo => InodeKind::Fifo,
            FileType::Socket => InodeKind::Socket,
            FileType::CharacterDevice => InodeKind::CharDevice(device),
            FileType::BlockDevice => InodeKind::BlockDevice(device),
            _ => return Err(Error::new(error::Kind::Input, show_path(&path()), "a file of unknown type")),
        }))
    }

    fn file(&mut self, status: &Statx, name: &CStr) -> Result<u32> {
        let len = status.stx_size;
        let data = if status.stx_blocks.saturating_mul(512) < len {
            let path = join(self.path, name.to_bytes());
            let data = self.root.open_file(&path).and_then(|fd| holes::data_ranges(&fd, len));
            Some(data.map_err(|error| failed(&path, "cannot find its holes", error))?)
        } else {
            None
        };
        let changed = Changed::new(status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec.into());
        Ok(self.files.push(name.to_bytes().into(), len, changed, data))
    }
}

/// Owner, permissions, time and xattrs of the root itself.
pub(super) fn root_meta(root: &HostDir) -> Result<Meta> {
    let read = || Ok(meta(&status(root.fd(), c"")?, xattr::read_all(root.fd(), c".")?));
    read().map_err(|error| failed(b"", "cannot read its metadata", error))
}

fn failed(path: &[u8], message: &str, error: std::io::Error) -> Error {
    Error::io(show_path(path), message, error)
}

/// What `name` in the directory is, not what it links to; the directory itself if `name` is empty.
fn status(fd: impl AsFd, name: &CStr) -> std::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    Ok(statx(fd, name, flags, StatxFlags::BASIC_STATS)?)
}

fn file_type(status: &Statx) -> FileType {
    FileType::from_raw_mode(status.stx_mode.into())
}

fn is_mount_point(status: &Statx) -> bool {
    status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

fn meta(status: &Statx, xattrs: Xattrs) -> Meta {
    Meta {
        permissions: status.stx_mode & 0o7777,
        uid: status.stx_uid,
        gid: status.stx_gid,
        mtime: Time { seconds: status.stx_mtime.tv_sec, nanoseconds: status.stx_mtime.tv_nsec },
        xattrs,
    }
}
