//! A tree becomes a directory of this machine, for programs that take nothing else.
//!
//! All of it is made in one empty folder that nobody else writes to: each directory of a path is one that was made
//! here, so no path leads through a link.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat, utimensat,
};

use super::{Content, Device, Inode, InodeId, InodeKind, Meta, Places, Time, Tree};
use crate::error::{Error, Result, show_path};

/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

impl Tree {
    /// Make all of the tree in the empty folder `to`, which becomes its root: owners, permissions, times, attributes,
    /// second names, devices and holes.
    ///
    /// # Errors
    /// With the path of the tree that this machine, or this user, cannot make.
    pub fn unpack(&self, to: &Path) -> Result<()> {
        let linked = self.linked();
        // Only those that are asked for again: directories, and files of several names.
        let mut places = Places::default();
        let mut directories = vec![Self::ROOT];
        for (parent, name, id) in self.walk() {
            let path = to.join(below(&places, parent)).join(OsStr::from_bytes(name));
            let outcome = match places.contains(id) {
                true => fs::hard_link(to.join(below(&places, id)), &path),
                false => make(self.inode(id), &path),
            };
            outcome.map_err(|error| failed(&path, to, error))?;
            let is_directory = self.entries(id).is_some();
            if is_directory {
                directories.push(id);
            }
            if (is_directory || linked.contains(&id)) && !places.contains(id) {
                places.insert(id, parent, name);
            }
        }
        // Last, and those within others first: what is made in a directory changes its time.
        directories.iter().rev().try_for_each(|id| {
            let path = to.join(below(&places, *id));
            describe(&self.inode(*id).meta, &path, false).map_err(|error| failed(&path, to, error))
        })
    }
}

/// The path of what is noted, from the root on.
fn below(places: &Places<'_>, id: InodeId) -> PathBuf {
    PathBuf::from(OsString::from_vec(places.path(id)))
}

/// An inode, complete unless it is a directory.
fn make(Inode { meta, kind }: &Inode, path: &Path) -> io::Result<()> {
    match kind {
        InodeKind::Directory(_) => return fs::create_dir(path),
        InodeKind::File(content) => fill(content, &File::create_new(path)?)?,
        InodeKind::Symlink(target) => symlink(OsStr::from_bytes(target), path)?,
        InodeKind::Fifo => node(path, FileType::Fifo, None)?,
        InodeKind::Socket => node(path, FileType::Socket, None)?,
        InodeKind::CharDevice(device) => node(path, FileType::CharacterDevice, Some(*device))?,
        InodeKind::BlockDevice(device) => node(path, FileType::BlockDevice, Some(*device))?,
    }
    describe(meta, path, matches!(kind, InodeKind::Symlink(_)))
}

fn node(path: &Path, kind: FileType, device: Option<Device>) -> io::Result<()> {
    let device = device.map_or(0, |Device { major, minor }| makedev(major, minor));
    Ok(mknodat(CWD, path, kind, Mode::RUSR, device)?)
}

/// Its data, and holes between them.
fn fill(content: &Content, to: &File) -> io::Result<()> {
    if let Content::Joined(_) = content {
        let mut reader = content.reader().map_err(io::Error::other)?;
        return io::copy(&mut reader, &mut &*to).map(drop);
    }
    to.set_len(content.len())?;
    let host =
        if let Content::Host(file) = content { Some(file.open().map_err(io::Error::other)?) } else { None };
    let mut buffer = vec![0; content.len().min(CHUNK as u64) as usize];
    for range in content.data_ranges() {
        for at in range.clone().step_by(CHUNK) {
            let bytes = &mut buffer[..(range.end - at).min(CHUNK as u64) as usize];
            match (content, &host) {
                (Content::Bytes(all), _) => bytes.copy_from_slice(&all[at as usize..][..bytes.len()]),
                (Content::Archive(file), _) => file.read_at(at, bytes).map_err(io::Error::other)?,
                (Content::Host(_) | Content::Joined(_), host) => {
                    host.iter().try_for_each(|file| file.read_exact_at(bytes, at))?;
                }
            }
            to.write_all_at(bytes, at)?;
        }
    }
    Ok(())
}

/// In this order: another owner takes away rights and attributes, and all of it changes the time.
fn describe(meta: &Meta, path: &Path, is_link: bool) -> io::Result<()> {
    lchown(path, Some(meta.uid), Some(meta.gid))?;
    if !is_link {
        fs::set_permissions(path, Permissions::from_mode(meta.permissions.into()))?;
    }
    for (name, value) in &meta.xattrs {
        lsetxattr(path, &**name, value, XattrFlags::empty())?;
    }
    let Time { seconds, nanoseconds } = meta.mtime;
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn failed(path: &Path, root: &Path, error: io::Error) -> Error {
    let shown = show_path(path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes());
    let what = match error.kind() {
        ErrorKind::PermissionDenied => "may not be made by the user who builds",
        _ => "cannot be made where the build's own files lie",
    };
    Error::io(shown, what, error)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::tree::testing::tree;
    use crate::tree::{Detail, HostDir, scan};

    /// Whoever runs the test owns what is made.
    fn owned(mut tree: Tree, folder: &Path) -> Tree {
        let mine = folder.metadata().unwrap();
        for id in 0..tree.next_id().0 {
            let meta = &mut tree.inode_mut(InodeId(id)).meta;
            (meta.uid, meta.gid) = (mine.uid(), mine.gid());
        }
        tree
    }

    #[test]
    fn what_was_unpacked_is_the_same_tree() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("/bin/sh", "program"), ("/etc/os", "text"), ("/lib", "-> /nowhere/else")];
        let mut tree = owned(tree(&files), folder.path());
        let shell = tree.lookup("/bin/sh").unwrap();
        let meta = &mut tree.inode_mut(shell).meta;
        meta.permissions = 0o4750;
        meta.mtime = Time { seconds: 1_600_000_000, nanoseconds: 123_456_789 };
        tree.link(Tree::ROOT, b"a second\xff name", shell);
        let pipe = Inode { meta: tree.inode(shell).meta.clone(), kind: InodeKind::Fifo };
        tree.insert(Tree::ROOT, b"pipe", pipe);
        tree.unpack(folder.path()).unwrap();
        let again = scan(&HostDir::open(folder.path()).unwrap(), NonZeroUsize::MIN, &mut |_| {}).unwrap();
        let detail = Detail { holes: false, hashes: true };
        assert_eq!(again.dump(detail).unwrap(), tree.dump(detail).unwrap());
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = owned(tree(&[("/a/file", "")]), folder.path());
        let file = tree.lookup("/a/file").unwrap();
        tree.inode_mut(file).meta.xattrs.insert((*b"nobody.knows").into(), (*b"x").into());
        let error = tree.unpack(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("/a/file: cannot be made where the build's own files lie"), "{error}");
    }
}
