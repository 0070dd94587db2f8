//! One number for all that a file system holds: the same for the same tree, by whatever way it got there.
//!
//! It is the SHA-256 of the tree's text form ([`crate::tree`]'s dump, with the hash of every content and without
//! holes), so it covers the names in byte order, types, permissions, owners, times to the nanosecond, devices,
//! targets, hard links, extended attributes and contents. An empty `lost+found` in the root is left out: mke2fs and
//! this crate add one to every tree.
//!
//! Nothing is trusted: a directory that is met twice is an error, and what is read and kept is bounded.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use super::format::Ino;
use super::volume::{InodeOnDisk, Volume, corrupt, unsupported};
use crate::error::{Error, Kind, Result};
use crate::fs::DiskBudget;
use crate::limits;
use crate::read_at::ReadAt;
use crate::tree::{Line, Meta, What, escape};

/// Where e2fsck puts what it finds.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// The SHA-256 of everything in the file system on `volume`.
///
/// # Errors
/// `Unsupported` for a file system that was not unmounted, for features and files that are not read, and for more
/// bytes, holes too, than `budget` has; `Corrupt` if it breaks the format.
pub fn tree_digest<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget) -> Result<[u8; 32]> {
    let volume = Volume::open(volume, budget)?;
    let (links, directories) = Default::default();
    let mut digest = TreeDigest { volume, hasher: Sha256::new(), links, directories };
    digest.root()?;
    Ok(digest.hasher.finalize().into())
}

struct TreeDigest<'a, V: ?Sized> {
    volume: Volume<'a, V>,
    hasher: Sha256,
    /// Files that have names still to come.
    links: HashMap<Ino, Linked>,
    /// All that were met.
    directories: HashSet<Ino>,
}

/// A file of several names.
struct Linked {
    first: String,
    /// Names that are still to come.
    left: u16,
}

/// A directory whose entries are still to be gone over.
struct Open {
    path: String,
    /// Bytes of the path before it was escaped.
    path_len: usize,
    left: Entries,
}

/// Entries of a directory, in the order of their names. There may be millions: they share their memory.
#[derive(Default)]
struct Entries {
    names: Vec<u8>,
    /// Where each name begins, its length and its inode, the last one first.
    list: Vec<(u32, u8, Ino)>,
    /// Bytes that all of them took.
    cost: u64,
}

impl Entries {
    /// Bytes of an entry beside its name.
    const COST: u64 = size_of::<(u32, u8, Ino)>() as u64;

    fn push(&mut self, name: &[u8], ino: Ino, budget: &DiskBudget) -> Result<()> {
        let too_many = |_| corrupt("a directory has too many entries");
        let start = u32::try_from(self.names.len()).map_err(too_many)?;
        let len = u8::try_from(name.len()).map_err(too_many)?;
        let cost = Self::COST + u64::from(len);
        budget.keep(cost)?;
        self.cost += cost;
        self.names.extend_from_slice(name);
        self.list.push((start, len, ino));
        Ok(())
    }

    fn name(&self, (start, len, _): (u32, u8, Ino)) -> &[u8] {
        let start = start as usize;
        self.names.get(start..start + usize::from(len)).unwrap_or_default()
    }

    fn sort(&mut self) {
        let mut list = std::mem::take(&mut self.list);
        list.sort_unstable_by(|one, other| self.name(*other).cmp(self.name(*one)));
        self.list = list;
    }

    fn pop(&mut self) -> Option<(Vec<u8>, Ino)> {
        let entry = self.list.pop()?;
        Some((self.name(entry).to_vec(), entry.2))
    }

    /// Takes one out by its name.
    fn remove(&mut self, name: &[u8]) {
        if let Some(at) = self.list.iter().position(|entry| self.name(*entry) == name) {
            self.list.remove(at);
        }
    }

    fn find(&self, name: &[u8]) -> Option<Ino> {
        self.list.iter().find(|entry| self.name(**entry) == name).map(|entry| entry.2)
    }
}

impl<V: ReadAt + ?Sized> TreeDigest<'_, V> {
    fn root(&mut self) -> Result<()> {
        let root = self.volume.inode(Ino::ROOT)?;
        self.line("/", &root)?;
        let mut entries = self.enter(&root)?;
        if let Some(ino) = entries.find(LOST_AND_FOUND)
            && self.is_empty_directory(ino)?
        {
            entries.remove(LOST_AND_FOUND);
        }
        // No recursion: directories may be nested as deep as there are inodes.
        let mut stack = vec![Open { path: String::new(), path_len: 0, left: entries }];
        while let Some(open) = stack.last_mut() {
            let Some((name, ino)) = open.left.pop() else {
                self.volume.budget().release(open.left.cost);
                stack.pop();
                continue;
            };
            let (path, path_len) =
                (format!("{}/{}", open.path, escape(&name)), open.path_len + 1 + name.len());
            if path_len > limits::PATH {
                return Err(unsupported(format!("a path is longer than {} bytes", limits::PATH)));
            }
            if let Some(left) = self.entry(&path, ino).map_err(|error| at(&path, error))? {
                stack.push(Open { path, path_len, left });
            }
        }
        Ok(())
    }

    /// One entry; its own entries if it is a directory.
    fn entry(&mut self, path: &str, ino: Ino) -> Result<Option<Entries>> {
        if let Slot::Occupied(mut linked) = self.links.entry(ino) {
            self.hasher.update(format!("{path} = {}\n", linked.get().first));
            linked.get_mut().left -= 1;
            if linked.get().left == 0 {
                self.volume.budget().release(linked.remove().cost());
            }
            return Ok(None);
        }
        let inode = self.volume.inode(ino)?;
        self.line(path, &inode)?;
        if inode.is_directory() {
            return self.enter(&inode).map(Some);
        }
        if inode.links() > 1 {
            let linked = Linked { first: path.to_owned(), left: inode.links() - 1 };
            self.volume.budget().keep(linked.cost())?;
            self.links.insert(ino, linked);
        }
        Ok(None)
    }

    fn line(&mut self, path: &str, inode: &InodeOnDisk) -> Result<()> {
        let meta = Meta {
            permissions: inode.permissions(),
            uid: inode.uid(),
            gid: inode.gid(),
            mtime: inode.mtime(),
            xattrs: self.volume.xattrs(inode)?,
        };
        let target;
        let what = match inode.file_type() {
            InodeOnDisk::DIRECTORY => What::Directory,
            InodeOnDisk::REGULAR => {
                What::File { len: inode.size(), data: None, sha256: Some(self.content(inode)?) }
            }
            InodeOnDisk::SYMLINK => {
                target = self.volume.symlink_target(inode)?;
                What::Symlink(&target)
            }
            InodeOnDisk::FIFO => What::Fifo,
            InodeOnDisk::SOCKET => What::Socket,
            InodeOnDisk::CHAR_DEVICE => What::CharDevice(inode.device()),
            InodeOnDisk::BLOCK_DEVICE => What::BlockDevice(inode.device()),
            _ => return Err(corrupt("an inode is of no type")),
        };
        self.hasher.update(Line { path, meta: &meta, what }.to_string());
        Ok(())
    }

    /// The entries of a directory that was not met before.
    fn enter(&mut self, inode: &InodeOnDisk) -> Result<Entries> {
        if !self.directories.insert(inode.ino()) {
            return Err(corrupt("a directory has two names"));
        }
        let mut entries = Entries::default();
        self.volume.entries(inode, &mut |name, ino| {
            entries.push(name, ino, self.volume.budget())?;
            Ok(ControlFlow::Continue(()))
        })?;
        entries.sort();
        Ok(entries)
    }

    fn is_empty_directory(&self, ino: Ino) -> Result<bool> {
        let inode = self.volume.inode(ino)?;
        let mut is_empty = inode.is_directory();
        if is_empty {
            self.volume.entries(&inode, &mut |_, _| {
                is_empty = false;
                Ok(ControlFlow::Break(()))
            })?;
        }
        Ok(is_empty)
    }

    /// The hash of a file's bytes, holes as zeros.
    fn content(&self, inode: &InodeOnDisk) -> Result<[u8; 32]> {
        let (mut hasher, mut done) = (Sha256::new(), 0);
        self.volume.content(inode, &mut |at, bytes| {
            self.hole(at - done, &mut hasher)?;
            hasher.update(bytes);
            done = at + bytes.len() as u64;
            Ok(())
        })?;
        self.hole(inode.size().saturating_sub(done), &mut hasher)?;
        Ok(hasher.finalize().into())
    }

    fn hole(&self, len: u64, hasher: &mut Sha256) -> Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        self.volume.budget().read(len)?;
        let mut left = len;
        while left > 0 {
            let part = ZEROS.get(..left as usize).unwrap_or(&ZEROS);
            hasher.update(part);
            left -= part.len() as u64;
        }
        Ok(())
    }
}

impl Linked {
    /// Bytes that are kept for it.
    fn cost(&self) -> u64 {
        (self.first.len() + size_of::<(Ino, Self)>()) as u64
    }
}

/// The same error with the path it was met at.
fn at(path: &str, error: Error) -> Error {
    match error.kind() {
        Kind::Corrupt => Error::new(Kind::Corrupt, path, error.to_string()),
        _ => error,
    }
}
