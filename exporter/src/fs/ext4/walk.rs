//! All files of a file system, each directory before what is in it, names in the order of their bytes.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use super::format::Ino;
use super::volume::{InodeOnDisk, Volume, corrupt, unsupported};
use crate::error::{Error, Kind, Result, show_path};
use crate::fs::DiskBudget;
use crate::fs::files::{FileContent, FileKind, Met, Step, Visit};
use crate::limits;
use crate::read_at::ReadAt;
use crate::tree::Meta;

/// Where e2fsck puts what it finds: mke2fs and this crate add an empty one to every tree.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Go over all of them.
///
/// # Errors
/// `Unsupported` for a file system that was not unmounted, for features and files that are not read, and for more
/// bytes than `budget` has; `Corrupt` if it breaks the format.
pub(crate) fn walk<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget, visit: &mut Visit<'_>) -> Result<()> {
    let volume = Volume::open(volume, budget)?;
    let (links, directories) = Default::default();
    Walk { volume, links, directories }.all(visit)
}

struct Walk<'a, V: ?Sized> {
    volume: Volume<'a, V>,
    /// Files that have names still to come.
    links: HashMap<Ino, Linked>,
    /// All that were met.
    directories: HashSet<Ino>,
}

/// A file of several names.
struct Linked {
    first: Vec<u8>,
    /// Names that are still to come.
    left: u16,
}

/// A directory whose entries are still to be gone over.
struct Open {
    path: Vec<u8>,
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

    /// Of those that are sorted.
    fn has_a_name_twice(&self) -> bool {
        self.list.windows(2).any(|pair| matches!(pair, [one, other] if self.name(*one) == self.name(*other)))
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

impl<V: ReadAt + ?Sized> Walk<'_, V> {
    fn all(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let root = self.volume.inode(Ino::ROOT)?;
        if self.meet(b"", &root, visit)? == Step::Over {
            return Ok(());
        }
        let mut entries = self.enter(&root)?;
        if let Some(ino) = entries.find(LOST_AND_FOUND)
            && self.is_empty_directory(ino)?
        {
            entries.remove(LOST_AND_FOUND);
        }
        // No recursion: directories may be nested as deep as there are inodes.
        let mut stack = vec![Open { path: Vec::new(), left: entries }];
        while let Some(open) = stack.last_mut() {
            let Some((name, ino)) = open.left.pop() else {
                self.volume.budget().release(open.left.cost);
                stack.pop();
                continue;
            };
            let path = match &open.path[..] {
                b"" => name,
                folder => [folder, &name].join(&b'/'),
            };
            if path.len() >= limits::PATH {
                return Err(unsupported(format!("a path is longer than {} bytes", limits::PATH)));
            }
            if let Some(left) = self.entry(&path, ino, visit).map_err(|error| at(&path, error))? {
                stack.push(Open { path, left });
            }
        }
        Ok(())
    }

    /// One entry; its own entries if it is a directory that is gone into.
    fn entry(&mut self, path: &[u8], ino: Ino, visit: &mut Visit<'_>) -> Result<Option<Entries>> {
        let inode = self.volume.inode(ino)?;
        if let Slot::Occupied(mut linked) = self.links.entry(ino) {
            let is_socket = inode.file_type() == InodeOnDisk::SOCKET;
            let kind = FileKind::Link { first: &linked.get().first, is_socket };
            visit(&Met { path, meta: &meta(&inode), kind })?;
            linked.get_mut().left -= 1;
            if linked.get().left == 0 {
                self.volume.budget().release(linked.remove().cost());
            }
            return Ok(None);
        }
        let step = self.meet(path, &inode, visit)?;
        if inode.is_directory() {
            let entries = self.enter(&inode)?;
            if step == Step::Into {
                return Ok(Some(entries));
            }
            self.volume.budget().release(entries.cost);
        } else if inode.links() > 1 {
            let linked = Linked { first: path.to_vec(), left: inode.links() - 1 };
            self.volume.budget().keep(linked.cost())?;
            self.links.insert(ino, linked);
        }
        Ok(None)
    }

    fn meet(&self, path: &[u8], inode: &InodeOnDisk, visit: &mut Visit<'_>) -> Result<Step> {
        let meta = Meta { xattrs: self.volume.xattrs(inode)?, ..meta(inode) };
        let (content, target);
        let kind = match inode.file_type() {
            InodeOnDisk::DIRECTORY => FileKind::Directory,
            InodeOnDisk::REGULAR => {
                content = OfInode { volume: &self.volume, inode };
                FileKind::File { len: inode.size(), content: &content }
            }
            InodeOnDisk::SYMLINK => {
                target = self.volume.symlink_target(inode)?;
                FileKind::Symlink(&target)
            }
            InodeOnDisk::FIFO => FileKind::Fifo,
            InodeOnDisk::SOCKET => FileKind::Socket,
            InodeOnDisk::CHAR_DEVICE => FileKind::CharDevice(inode.device()),
            InodeOnDisk::BLOCK_DEVICE => FileKind::BlockDevice(inode.device()),
            _ => return Err(corrupt("an inode is of no type")),
        };
        visit(&Met { path, meta: &meta, kind })
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
        // A link and a directory of one name would have what is in the directory go where the link leads.
        match entries.has_a_name_twice() {
            false => Ok(entries),
            true => Err(corrupt("a directory has a name twice")),
        }
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
}

impl Linked {
    /// Bytes that are kept for it.
    fn cost(&self) -> u64 {
        (self.first.len() + size_of::<(Ino, Self)>()) as u64
    }
}

/// Without the attributes.
fn meta(inode: &InodeOnDisk) -> Meta {
    Meta {
        permissions: inode.permissions(),
        uid: inode.uid(),
        gid: inode.gid(),
        mtime: inode.mtime(),
        ..Meta::default()
    }
}

/// The content of a regular file.
struct OfInode<'w, 'a, V: ?Sized> {
    volume: &'w Volume<'a, V>,
    inode: &'w InodeOnDisk,
}

impl<V: ReadAt + ?Sized> FileContent for OfInode<'_, '_, V> {
    fn ranges(&self, visit: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()> {
        if self.inode.is_inline() {
            let mut len = 0;
            self.data(&mut |_, bytes| {
                len += bytes.len() as u64;
                Ok(())
            })?;
            return if len > 0 { visit(0..len) } else { Ok(()) };
        }
        let mut last: Option<Range<u64>> = None;
        for extent in self.volume.extents(self.inode) {
            let extent = extent?;
            let start = extent.logical * self.volume.block_size();
            let end = self.inode.size().min(start.saturating_add(extent.blocks * self.volume.block_size()));
            if start >= end {
                break;
            }
            match &mut last {
                _ if !extent.is_written => {}
                Some(range) if range.end == start => range.end = end,
                last => last.replace(start..end).map_or(Ok(()), &mut *visit)?,
            }
        }
        last.map_or(Ok(()), visit)
    }

    fn data(&self, visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        // Inline, there may be nothing.
        self.volume.content(self.inode, &mut |at, bytes| match bytes {
            [] => Ok(()),
            bytes => visit(at, bytes),
        })
    }
}

/// The same error with the path it was met at.
fn at(path: &[u8], error: Error) -> Error {
    match error.kind() {
        Kind::Corrupt => Error::new(Kind::Corrupt, show_path(&[b"/", path].concat()), error.to_string()),
        _ => error,
    }
}
