//! One number for all that a file system holds: the same for the same tree, by whatever way it got there.
//!
//! It is the SHA-256 of the tree's text form ([`crate::tree`]'s dump, with the hash of every content and without
//! holes), so it covers the names in byte order, types, permissions, owners, times to the nanosecond, devices,
//! targets, hard links, extended attributes and contents. An empty `lost+found` in the root is left out: mke2fs and
//! this crate add one to every tree.
//!
//! Nothing is trusted: a directory that is met twice is an error, and what is read is bounded by the volume's
//! caller.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::format::Ino;
use super::volume::{Entry, InodeOnDisk, Volume, corrupt};
use super::xattr;
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use crate::tree::{Line, Meta, What, escape};

/// Where e2fsck puts what it finds.
const LOST_AND_FOUND: &[u8] = b"lost+found";
/// Bytes of content that are read at once.
const CHUNK: u64 = 1 << 20;
/// Bytes of holes in all files together beyond which nobody waits for the end.
const HOLES_MAX: u64 = 64 << 30;

/// The SHA-256 of everything in the file system on `volume`.
///
/// # Errors
/// `Unsupported` for a file system without extents, one that was not unmounted, and for features that change how
/// files lie in it; `Corrupt` if it breaks the format.
pub fn tree_digest<V: ReadAt + ?Sized>(volume: &V) -> Result<[u8; 32]> {
    let volume = Volume::open(volume)?;
    let mut digest = TreeDigest {
        volume,
        hasher: Sha256::new(),
        links: HashMap::new(),
        directories: HashSet::new(),
        holes: 0,
    };
    digest.root()?;
    Ok(digest.hasher.finalize().into())
}

struct TreeDigest<'a, V: ?Sized> {
    volume: Volume<'a, V>,
    hasher: Sha256,
    /// The first path of files that have several names.
    links: HashMap<Ino, String>,
    /// All that were met.
    directories: HashSet<Ino>,
    /// Bytes of holes that were hashed.
    holes: u64,
}

/// Entries of a directory that are still to be gone over, the next one last.
struct Open {
    path: String,
    left: Vec<Entry>,
}

impl<V: ReadAt + ?Sized> TreeDigest<'_, V> {
    fn root(&mut self) -> Result<()> {
        let root = self.volume.inode(Ino::ROOT)?;
        self.line("/", &root)?;
        let mut entries = self.enter(Ino::ROOT, &root)?;
        if let Some(at) = entries.iter().position(|(name, _)| name == LOST_AND_FOUND)
            && self.is_empty_directory(entries[at].1)?
        {
            entries.remove(at);
        }
        // No recursion: directories may be nested as deep as there are inodes.
        let mut stack = vec![Open { path: String::new(), left: entries }];
        while let Some(open) = stack.last_mut() {
            let Some((name, ino)) = open.left.pop() else {
                stack.pop();
                continue;
            };
            let path = format!("{}/{}", open.path, escape(&name));
            if let Some(entries) = self.entry(&path, ino)? {
                stack.push(Open { path, left: entries });
            }
        }
        Ok(())
    }

    /// One entry; its own entries if it is a directory.
    fn entry(&mut self, path: &str, ino: Ino) -> Result<Option<Vec<Entry>>> {
        if let Some(first) = self.links.get(&ino) {
            self.hasher.update(format!("{path} = {first}\n"));
            return Ok(None);
        }
        let inode = self.volume.inode(ino)?;
        self.line(path, &inode).map_err(|error| at(path, error))?;
        if inode.is_directory() {
            return self.enter(ino, &inode).map(Some).map_err(|error| at(path, error));
        }
        if inode.links() > 1 {
            self.links.insert(ino, path.to_owned());
        }
        Ok(None)
    }

    fn line(&mut self, path: &str, inode: &InodeOnDisk) -> Result<()> {
        let attributes = self.volume.attributes(inode)?;
        let xattrs = xattr::read(&attributes)?;
        let meta = Meta {
            permissions: inode.permissions(),
            uid: inode.uid(),
            gid: inode.gid(),
            mtime: inode.mtime(),
            xattrs,
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

    /// The entries of a directory that was not met before, in reverse order.
    fn enter(&mut self, ino: Ino, inode: &InodeOnDisk) -> Result<Vec<Entry>> {
        if !self.directories.insert(ino) {
            return Err(corrupt("a directory has two names"));
        }
        let mut entries = self.volume.entries(inode)?;
        entries.sort_unstable_by(|one, other| other.cmp(one));
        Ok(entries)
    }

    fn is_empty_directory(&self, ino: Ino) -> Result<bool> {
        let inode = self.volume.inode(ino)?;
        Ok(inode.is_directory() && self.volume.entries(&inode)?.is_empty())
    }

    /// The hash of a file's bytes, holes as zeros.
    fn content(&mut self, inode: &InodeOnDisk) -> Result<[u8; 32]> {
        let (mut hasher, mut done) = (Sha256::new(), 0);
        for extent in self.volume.extents(inode)?.iter().filter(|extent| extent.is_written) {
            let start = extent.logical * self.volume.block_size();
            let end = inode.size().min(start + extent.blocks * self.volume.block_size());
            if start >= end {
                break;
            }
            self.hole(start - done, &mut hasher)?;
            let place = extent.physical * self.volume.block_size();
            let mut buffer = vec![0; (end - start).min(CHUNK) as usize];
            for at in (start..end).step_by(CHUNK as usize) {
                let buffer = &mut buffer[..(end - at).min(CHUNK) as usize];
                self.volume.read_at(place + (at - start), buffer)?;
                hasher.update(buffer);
            }
            done = end;
        }
        self.hole(inode.size() - done, &mut hasher)?;
        Ok(hasher.finalize().into())
    }

    fn hole(&mut self, len: u64, hasher: &mut Sha256) -> Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        self.holes = self.holes.saturating_add(len);
        if self.holes > HOLES_MAX {
            return Err(Error::new(Kind::Unsupported, "ext4", "the files have too many holes to be hashed"));
        }
        let mut left = len;
        while left > 0 {
            let part = left.min(ZEROS.len() as u64);
            hasher.update(&ZEROS[..part as usize]);
            left -= part;
        }
        Ok(())
    }
}

/// The same error with the path it was met at.
fn at(path: &str, error: Error) -> Error {
    match error.kind() {
        Kind::Corrupt => Error::new(Kind::Corrupt, path, error.to_string()),
        _ => error,
    }
}
