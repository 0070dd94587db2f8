//! Layers, one over the other, become a tree.
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md>.

use std::collections::BTreeMap;

use super::cost::Memory;
use super::fault::Fault;
use super::layer::{Change, New};
use crate::error::show_path;
use crate::limits::{Budget, Exceeded};
use crate::tree::memory::{DIRECTORY, ENTRY};
use crate::tree::{Editor, Inode, InodeId, InodeKind, Meta, Name, Time, Tree};

/// The permissions of directories that no member describes, as all runtimes make them.
const IMPLIED: u16 = 0o755;

/// The tree so far.
pub(super) struct Merge<'a> {
    tree: Tree,
    memory: &'a Memory,
    /// Bytes of it that the tree takes, with what nothing leads to any more.
    bytes: u64,
    lookups: Budget,
    /// Whether something has lost its name, so that nothing may lead to it any more.
    has_orphans: bool,
    /// Whether a member described the root.
    has_root: bool,
    /// The latest time of all members.
    latest: Time,
    /// The first inode of the layer that is being applied.
    layer: InodeId,
    /// The directory of the last member: the next one mostly lies there too.
    last_parent: Option<(Vec<u8>, InodeId)>,
}

impl<'a> Merge<'a> {
    /// What `memory` has room for, with so many names looked up.
    pub(super) fn new(memory: &'a Memory, lookups: u64) -> Self {
        let root = Meta { permissions: IMPLIED, ..Meta::default() };
        let tree = Tree::new(root);
        let layer = tree.next_id();
        Self {
            tree,
            memory,
            bytes: 0,
            lookups: Budget::new("names looked up", lookups),
            has_orphans: false,
            has_root: false,
            latest: Time::default(),
            layer,
            last_parent: None,
        }
    }

    /// What is applied from here on is of layer `order`.
    pub(super) fn begin_layer(&mut self, order: u32) {
        self.memory.begin_layer(order, self.bytes);
        self.layer = self.tree.next_id();
        self.last_parent = None;
    }

    /// The tree. A root that no layer describes belongs to root, with the latest time of all.
    pub(super) fn finish(mut self) -> Tree {
        if self.has_orphans {
            self.sweep();
        }
        if !self.has_root {
            self.tree.inode_mut(Tree::ROOT).meta.mtime = self.latest;
        }
        self.tree
    }

    /// Apply one change.
    pub(super) fn apply(&mut self, change: Change) -> Result<(), Fault> {
        let bytes = change.memory();
        let shown = |exceeded| Fault::exceeded(&show_path(change.path()), exceeded);
        self.lookups.spend(change.lookups()).map_err(shown)?;
        self.hold(bytes).map_err(shown)?;
        match change {
            Change::Remove(path) => {
                let (parent, name) = split(&path);
                self.entries_of_lower(parent, |entries| {
                    entries.remove(name);
                });
                Ok(())
            }
            Change::Empty(path) => {
                self.entries_of_lower(&path, BTreeMap::clear);
                Ok(())
            }
            Change::Add(path, meta, new) => {
                self.latest = self.latest.max(meta.mtime);
                self.add(&path, meta, new)
            }
        }
    }

    /// Take memory for a part of the tree, and that of what nothing leads to if there is no other.
    fn hold(&mut self, bytes: u64) -> Result<(), Exceeded> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.memory.check(self.bytes) {
            Err(_) if self.has_orphans => {
                self.sweep();
                // If less comes free it would be done again and again.
                self.memory.check(self.bytes.saturating_add(self.memory.ahead()))
            }
            held => held,
        }
    }

    fn sweep(&mut self) {
        self.layer = self.tree.sweep(self.layer);
        self.bytes = self.tree.memory();
        (self.last_parent, self.has_orphans) = (None, false);
    }

    /// Change the entries of a directory, if lower layers have one there. No symlink leads to it: the
    /// same layer may put a directory in place of the symlink, and means that.
    fn entries_of_lower(&mut self, path: &[u8], change: impl FnOnce(&mut BTreeMap<Name, InodeId>)) {
        (self.last_parent, self.has_orphans) = (None, true);
        if let Some(id) = self.tree.lookup(path)
            && let InodeKind::Directory(entries) = &mut self.tree.inode_mut(id).kind
        {
            change(entries);
        }
    }

    fn add(&mut self, path: &[u8], meta: Meta, new: New) -> Result<(), Fault> {
        if path.is_empty() {
            return self.describe_root(meta, &new);
        }
        let (parent, name) = split(path);
        let parent = self.parent(parent, meta.mtime)?;
        let old = self.tree.entries(parent).and_then(|entries| entries.get(name)).copied();
        let kind = match new {
            New::Directory => {
                if let Some(old) = old.filter(|&old| self.tree.entries(old).is_some()) {
                    self.tree.inode_mut(old).meta = meta;
                    return Ok(());
                }
                InodeKind::Directory(BTreeMap::new())
            }
            New::HardLink(target) => {
                let target = self.link_target(path, &target)?;
                if old != Some(target) {
                    self.put(parent, name, target, old);
                }
                return Ok(());
            }
            New::File(content) => InodeKind::File(content),
            New::Symlink(target) => InodeKind::Symlink(target.into()),
            New::Fifo => InodeKind::Fifo,
            New::CharDevice(device) => InodeKind::CharDevice(device),
            New::BlockDevice(device) => InodeKind::BlockDevice(device),
        };
        let id = self.tree.add(Inode { meta, kind });
        self.put(parent, name, id, old);
        Ok(())
    }

    fn describe_root(&mut self, meta: Meta, new: &New) -> Result<(), Fault> {
        if !matches!(new, New::Directory) {
            return Err(Fault::corrupt("/: the root is no directory"));
        }
        self.tree.inode_mut(Tree::ROOT).meta = meta;
        self.has_root = true;
        Ok(())
    }

    fn put(&mut self, parent: InodeId, name: &[u8], id: InodeId, old: Option<InodeId>) {
        if old.is_some() {
            // Paths may lead elsewhere now.
            (self.last_parent, self.has_orphans) = (None, true);
        }
        self.tree.link(parent, name, id);
    }

    /// The directory at `path`, through symlinks of the same layer, made where it is missing; what is made has
    /// the time of the member that needs it.
    fn parent(&mut self, path: &[u8], time: Time) -> Result<InodeId, Fault> {
        if let Some((last, id)) = &self.last_parent
            && last == path
        {
            return Ok(*id);
        }
        self.make_way(path, time);
        let before = self.tree.next_id();
        let mut editor = Editor::new(&mut self.tree, time);
        let made = editor.mkdir_all(path);
        let lookups = editor.lookups();
        let id = made.map_err(|error| Fault::corrupt(error.to_string()))?;
        let implied = u64::from(self.tree.next_id().0 - before.0) * (ENTRY + DIRECTORY);
        // The next change asks whether it is too much.
        self.bytes = self.bytes.saturating_add(implied);
        let spent = self.lookups.spend(lookups);
        spent.map_err(|exceeded| Fault::exceeded(&show_path(path), exceeded))?;
        self.last_parent = Some((path.to_vec(), id));
        Ok(id)
    }

    /// Put a directory in place of what a lower layer has on the way to `path` that is none. A layer is unpacked
    /// on its own, and then lies over those below: there a directory hides a file, and a symlink as well.
    fn make_way(&mut self, path: &[u8], time: Time) {
        let mut here = Tree::ROOT;
        for name in path.split(|&byte| byte == b'/') {
            let Some(&id) = self.tree.entries(here).and_then(|entries| entries.get(name)) else { return };
            if self.tree.entries(id).is_none() {
                if id < self.layer {
                    let meta = Meta { permissions: IMPLIED, mtime: time, ..Meta::default() };
                    self.tree.insert(here, name, Inode { meta, kind: InodeKind::Directory(BTreeMap::new()) });
                    self.has_orphans = true;
                }
                return;
            }
            here = id;
        }
    }

    /// What has this path, in the layer or in lower ones; symlinks lead to its directory only.
    fn link_target(&mut self, link: &[u8], target: &[u8]) -> Result<InodeId, Fault> {
        let invalid = |why| {
            let (link, target) = (show_path(link), show_path(target));
            Fault::corrupt(format!("{link}: a hard link to {target}, which {why}"))
        };
        let (directory, name) = split(target);
        let (directory, lookups) = self.tree.resolve_counted(directory);
        let spent = self.lookups.spend(lookups);
        spent.map_err(|exceeded| Fault::exceeded(&show_path(link), exceeded))?;
        let entries = directory.and_then(|id| self.tree.entries(id));
        let id = entries.and_then(|entries| entries.get(name)).copied();
        let id = id.ok_or_else(|| invalid("is not there"))?;
        match self.tree.entries(id) {
            Some(_) => Err(invalid("is a directory")),
            None => Ok(id),
        }
    }
}

/// The directory part of a clean path and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}
