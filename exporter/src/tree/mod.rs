//! A file tree in memory: the one currency between scanning, machine edits and file systems.
//!
//! Names, link targets and xattrs are bytes. Inodes live in one vector and directories name them by
//! number, so a hard link is two entries with one number.

use std::collections::BTreeMap;
use std::sync::Arc;

mod archive;
mod content;
mod copy;
mod dump;
mod edit;
mod holes;
mod host;
pub(crate) mod initramfs;
mod joined;
pub mod kernel;
mod list;
pub(crate) mod memory;
mod name;
pub mod os;
mod path;
mod places;
pub(crate) mod posix_acl;
mod scan;
#[cfg(test)]
pub(crate) mod testing;
mod texts;
mod unpack;
pub mod version;
mod xattr;
mod xattrs;

pub use archive::{Archive, ArchiveFile, Piece};
pub(crate) use archive::{Compression, Decoders, Room, Section, SectionReader, Turn};
pub use dump::Detail;
pub(crate) use dump::{Line, What, escape};
pub use edit::Editor;
pub use host::{HostDir, HostFile};
pub use joined::Joined;
pub use name::Name;
pub(crate) use places::Places;
pub use scan::{Progress, scan, scan_where};
pub(crate) use texts::Texts;
pub(crate) use xattr::portable_xattrs;
pub use xattrs::Xattrs;

/// The number of an inode in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(pub u32);

/// Seconds and nanoseconds since 1970 (negative seconds are before it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// A device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// Owner, permissions and times: what every kind of inode has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The low twelve bits of the mode: permissions, setuid, setgid, sticky.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content.
    pub mtime: Time,
    /// Extended attributes, POSIX ACLs (`system.posix_acl_access`, `…_default`) among them.
    pub xattrs: Xattrs,
}

/// One inode: what it is and its metadata.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Owner, permissions, times, xattrs.
    pub meta: Meta,
    /// What it is.
    pub kind: InodeKind,
}

/// What an inode is.
#[derive(Clone, Debug)]
pub enum InodeKind {
    /// A directory: names in byte order.
    Directory(BTreeMap<Name, InodeId>),
    /// A regular file.
    File(Content),
    /// A symbolic link and its target.
    Symlink(Box<[u8]>),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

// A tree of a million files should fit small machines.
const _: () = assert!(size_of::<Inode>() <= 72);

/// The content of a regular file.
#[derive(Clone, Debug)]
pub enum Content {
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
    /// A file on this machine, read when the image is written.
    Host(HostFile),
    /// A file in an archive, read when the image is written.
    Archive(ArchiveFile),
    /// Several files, or parts of them, one behind the other.
    Joined(Joined),
}

impl Content {
    /// These files, one behind the other.
    pub fn joined(parts: Vec<Self>) -> Self {
        Self::Joined(Joined::new(parts.into_iter().map(|part| (0..part.len(), part)).collect()))
    }

    /// These bytes of the file, which has all of them.
    #[must_use]
    pub fn cut(self, range: std::ops::Range<u64>) -> Self {
        Self::Joined(Joined::new(vec![(range, self)]))
    }

    /// Length of the file in bytes, holes included.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host(file) => file.len(),
            Self::Archive(file) => file.len(),
            Self::Joined(files) => files.len(),
        }
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ranges that hold data, ascending and apart; everything between them is a hole.
    pub fn data_ranges(&self) -> Vec<std::ops::Range<u64>> {
        match self {
            Self::Bytes(bytes) if bytes.is_empty() => Vec::new(),
            Self::Bytes(bytes) => std::iter::once(0..bytes.len() as u64).collect(),
            Self::Host(file) => file.data_ranges(),
            Self::Archive(file) => file.data_ranges(),
            Self::Joined(files) => files.data_ranges(),
        }
    }
}

/// A file tree. It always has a root directory.
#[derive(Clone, Debug)]
pub struct Tree {
    inodes: Vec<Inode>,
}

impl Tree {
    /// The number of the root directory.
    pub const ROOT: InodeId = InodeId(0);

    /// A tree of one empty root directory with this metadata.
    pub fn new(root: Meta) -> Self {
        Self { inodes: vec![Inode { meta: root, kind: InodeKind::Directory(BTreeMap::new()) }] }
    }

    /// An inode by number.
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.0 as usize]
    }

    /// An inode by number, to change.
    pub fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id.0 as usize]
    }

    /// The number that the next new inode gets: those there are have lower ones.
    pub fn next_id(&self) -> InodeId {
        InodeId(u32::try_from(self.inodes.len()).expect("a tree has less than 2^32 inodes"))
    }

    /// A new inode that no directory names yet.
    pub fn add(&mut self, inode: Inode) -> InodeId {
        let id = self.next_id();
        self.inodes.push(inode);
        id
    }

    /// The entries of a directory; `None` for anything else.
    pub fn entries(&self, id: InodeId) -> Option<&BTreeMap<Name, InodeId>> {
        match &self.inode(id).kind {
            InodeKind::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    /// Name `child` in the directory `parent`, in place of what had that name before.
    ///
    /// # Panics
    /// If `parent` is no directory.
    pub fn link(&mut self, parent: InodeId, name: &[u8], child: InodeId) {
        match &mut self.inode_mut(parent).kind {
            InodeKind::Directory(entries) => entries.insert(name.into(), child),
            _ => panic!("link: the parent is no directory"),
        };
    }

    /// Add an inode and name it in `parent`.
    pub fn insert(&mut self, parent: InodeId, name: &[u8], inode: Inode) -> InodeId {
        let id = self.add(inode);
        self.link(parent, name, id);
        id
    }

    /// Every entry below the root, parents first and names in byte order, as (parent, name, inode).
    /// An inode with several names comes once for each.
    pub fn walk(&self) -> impl Iterator<Item = (InodeId, &[u8], InodeId)> {
        let mut stack: Vec<_> =
            self.entries(Self::ROOT).map(|entries| (Self::ROOT, entries.iter())).into_iter().collect();
        std::iter::from_fn(move || {
            loop {
                let (parent, entries) = stack.last_mut()?;
                let parent = *parent;
                match entries.next() {
                    None => {
                        stack.pop();
                    }
                    Some((name, &id)) => {
                        if let Some(below) = self.entries(id) {
                            stack.push((id, below.iter()));
                        }
                        return Some((parent, &**name, id));
                    }
                }
            }
        })
    }
}
