//! A directory of this machine becomes a tree.
//!
//! Nothing is opened but directories, and regular files that have holes: to open a pipe or a device
//! could block or do worse. No symlink is followed: directories are opened below the root by
//! `openat2`, entries are looked at by name within their directory.
//!
//! Linux has no `getxattrat` for a name in an open directory (before 6.13), and `fgetxattr` wants a file
//! opened for reading. So xattrs are read by `lgetxattr("/proc/self/fd/DIRECTORY/NAME")`: the kernel
//! takes the first part to exactly the open directory, and `l` stops at the name itself.
//!
//! What other file systems are mounted below the root belongs to this machine and not to the tree: a
//! mount point is kept, as an empty directory or an empty file.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Statx, StatxAttributes, StatxFlags, statx};

use super::{
    Content, Device, HostDir, HostFile, Inode, InodeId, Kind, Meta, Time, Tree, Xattrs, holes, xattr,
};
use crate::error::{self, Error, Result, show_path};

/// How far a scan has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries seen.
    pub entries: u64,
    /// Bytes of the regular files seen, holes included.
    pub bytes: u64,
}

/// Read the tree below `root`; `progress` is called after every directory.
pub fn scan(root: &Arc<HostDir>, progress: &mut dyn FnMut(Progress)) -> Result<Tree> {
    xattr::require_proc()?;
    let mut scan = Scan {
        root,
        tree: Tree::new(root_meta(root).map_err(|error| failed(b"", "can't read its metadata", error))?),
        links: HashMap::new(),
        todo: vec![(Tree::ROOT, Vec::new())],
        progress: Progress::default(),
    };
    while let Some((id, path)) = scan.todo.pop() {
        scan.directory(id, &path)?;
        progress(scan.progress);
    }
    Ok(scan.tree)
}

/// A file by device and inode number, the same for all names of it.
type HardLink = (u32, u32, u64);

struct Scan<'root> {
    root: &'root Arc<HostDir>,
    tree: Tree,
    /// Files of several names seen so far.
    links: HashMap<HardLink, InodeId>,
    /// Directories still to read: a list and no recursion, since a tree may be deeper than the stack or
    /// than there are file descriptors.
    todo: Vec<(InodeId, Vec<u8>)>,
    progress: Progress,
}

impl Scan<'_> {
    /// Read the entries of the directory `id`, which lies at `path` (no slash in front, empty for the root).
    fn directory(&mut self, id: InodeId, path: &[u8]) -> Result<()> {
        let unreadable = |error| failed(path, "can't read the directory", error);
        let at = if path.is_empty() { b"." } else { path };
        let fd = self.root.open_below(at, OFlags::RDONLY | OFlags::DIRECTORY).map_err(unreadable)?;
        let mut directory = Dir::new(fd).map_err(|error| unreadable(error.into()))?;
        let mut names = Vec::new();
        while let Some(entry) = directory.read() {
            let entry = entry.map_err(|error| unreadable(error.into()))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        // The order the host gives depends on its file system; inode numbers must not.
        names.sort_unstable();
        let fd = directory.fd().map_err(|error| unreadable(error.into()))?;
        let first_below = self.todo.len();
        for name in &names {
            self.entry(id, fd, name, path)?;
        }
        self.todo[first_below..].reverse();
        Ok(())
    }

    fn entry(&mut self, parent: InodeId, fd: BorrowedFd<'_>, name: &CStr, above: &[u8]) -> Result<()> {
        let mut path = above.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let status = status(fd, name).map_err(|error| failed(&path, "can't read its metadata", error))?;
        self.progress.entries += 1;

        let link = (status.stx_dev_major, status.stx_dev_minor, status.stx_ino);
        let is_directory = file_type(&status) == FileType::Directory;
        let several_names = status.stx_nlink > 1 && !is_directory;
        if let Some(&id) = several_names.then(|| self.links.get(&link)).flatten() {
            self.tree.link(parent, name.to_bytes(), id);
            return Ok(());
        }
        let kind = self.kind(&status, fd, name, &path)?;
        let xattrs =
            xattr::read_all(fd, name).map_err(|error| failed(&path, "can't read its xattrs", error))?;
        let id = self.tree.insert(parent, name.to_bytes(), Inode { meta: meta(&status, xattrs), kind });
        if several_names {
            self.links.insert(link, id);
        }
        if is_directory && !is_mount_point(&status) {
            self.todo.push((id, path));
        }
        Ok(())
    }

    fn kind(&mut self, status: &Statx, fd: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<Kind> {
        let device = Device { major: status.stx_rdev_major, minor: status.stx_rdev_minor };
        Ok(match file_type(status) {
            FileType::Directory => Kind::Directory(BTreeMap::new()),
            FileType::RegularFile if is_mount_point(status) => Kind::File(Content::Bytes(Arc::default())),
            FileType::RegularFile => Kind::File(self.content(status, path)?),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(fd, name, Vec::new());
                Kind::Symlink(
                    target
                        .map_err(|error| failed(path, "can't read the symlink", error.into()))?
                        .as_bytes()
                        .into(),
                )
            }
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::CharDevice(device),
            FileType::BlockDevice => Kind::BlockDevice(device),
            _ => return Err(Error::new(error::Kind::Input, show_path(path), "a file of unknown type")),
        })
    }

    fn content(&mut self, status: &Statx, path: &[u8]) -> Result<Content> {
        let len = status.stx_size;
        self.progress.bytes += len;
        let data = if status.stx_blocks.saturating_mul(512) < len {
            let fd = self.root.open_below(path, OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK);
            let data = fd.and_then(|fd| holes::data_ranges(&fd, len));
            Some(data.map_err(|error| failed(path, "can't find its holes", error))?)
        } else {
            None
        };
        Ok(Content::Host(Arc::new(HostFile::new(self.root.clone(), path, len, data))))
    }
}

fn failed(path: &[u8], message: &str, error: std::io::Error) -> Error {
    Error::io(show_path(path), message, error)
}

/// What `name` in the directory is, not what it links to; the directory itself if `name` is empty.
fn status(fd: impl AsFd, name: &CStr) -> std::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    Ok(statx(fd, name, flags, StatxFlags::BASIC_STATS)?)
}

fn root_meta(root: &HostDir) -> std::io::Result<Meta> {
    Ok(meta(&status(root.fd(), c"")?, xattr::read_all(root.fd(), c".")?))
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
