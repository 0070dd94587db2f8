//! Changes to a tree: what is made belongs to root and has the one time given.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::path::{Stop, Walk, split};
use super::{Content, Inode, InodeId, InodeKind, Meta, Time, Tree};
use crate::error::{self, Error, Result, show_path, show_text};
use crate::limits;

/// A tree being changed.
///
/// Paths are those of the tree. Symlinks on the way are followed within the tree (`/lib -> usr/lib`),
/// missing directories are made (0755), and a symlink at the end is replaced, never written through.
#[derive(Debug)]
pub struct Editor<'tree> {
    tree: &'tree mut Tree,
    time: Time,
    /// Names looked up so far.
    lookups: u64,
}

impl<'tree> Editor<'tree> {
    /// Change `tree`; everything made gets `time`.
    pub fn new(tree: &'tree mut Tree, time: Time) -> Self {
        Self { tree, time, lookups: 0 }
    }

    /// The tree as it is now.
    pub fn tree(&self) -> &Tree {
        self.tree
    }

    /// The time of what is made.
    pub fn time(&self) -> Time {
        self.time
    }

    /// How many names were looked up to make directories.
    pub(crate) fn lookups(&self) -> u64 {
        self.lookups
    }

    pub(super) fn tree_mut(&mut self) -> &mut Tree {
        self.tree
    }

    /// Owner, group and time of what is made, and these permissions.
    fn meta(&self, permissions: u16) -> Meta {
        Meta { permissions, mtime: self.time, ..Meta::default() }
    }

    /// The directory at `path`, made with those above it where missing.
    pub fn mkdir_all(&mut self, path: impl AsRef<[u8]>) -> Result<InodeId> {
        let path = path.as_ref();
        let blocked = |why| {
            let place = show_text(&show_path(path)).into_owned();
            Error::new(error::Kind::Input, place, format!("cannot make the directory: {why}"))
        };
        if path.len() > limits::PATH {
            return Err(blocked("the path is longer than Linux takes"));
        }
        let mut walk = Walk::new(path);
        let made = loop {
            match walk.run(self.tree) {
                Stop::Found(id) if self.tree.entries(id).is_some() => break Ok(id),
                Stop::Found(_) => break Err(blocked("not a directory")),
                Stop::Blocked(why) => break Err(blocked(why)),
                Stop::Missing(_, name) if name.len() > limits::NAME => {
                    break Err(blocked("a name is longer than file systems take"));
                }
                Stop::Missing(parent, name) => {
                    let directory =
                        Inode { meta: self.meta(0o755), kind: InodeKind::Directory(BTreeMap::new()) };
                    walk.enter(self.tree.insert(parent, &name, directory), &name);
                }
            }
        };
        self.lookups += walk.lookups();
        made
    }

    /// The directory at `path`, made where missing, with these permissions and the time in any case.
    pub fn set_directory(&mut self, path: impl AsRef<[u8]>, permissions: u16) -> Result<InodeId> {
        let id = self.mkdir_all(path)?;
        let meta = &mut self.tree.inode_mut(id).meta;
        (meta.permissions, meta.mtime) = (permissions, self.time);
        Ok(id)
    }

    /// A regular file of these bytes. What had the name is replaced; other names of it keep it as it was.
    pub fn write_file(
        &mut self,
        path: impl AsRef<[u8]>,
        bytes: impl Into<Arc<[u8]>>,
        permissions: u16,
    ) -> Result<InodeId> {
        let kind = InodeKind::File(Content::Bytes(bytes.into()));
        self.replace(path.as_ref(), Inode { meta: self.meta(permissions), kind })
    }

    /// A symlink. What had the name is replaced.
    pub fn symlink(&mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Result<InodeId> {
        let kind = InodeKind::Symlink(target.as_ref().into());
        self.replace(path.as_ref(), Inode { meta: self.meta(0o777), kind })
    }

    /// Name `inode` by `path`, in place of anything but a directory.
    fn replace(&mut self, path: &[u8], inode: Inode) -> Result<InodeId> {
        let refused = |why| Error::new(error::Kind::Input, show_text(&show_path(path)), why);
        let (directory, name) = split(path).ok_or_else(|| refused("not the name of a file"))?;
        if path.len() > limits::PATH {
            return Err(refused("the path is longer than Linux takes"));
        }
        if name.len() > limits::NAME {
            return Err(refused("the name is longer than file systems take"));
        }
        let parent = self.mkdir_all(directory)?;
        let old = self.tree.entries(parent).and_then(|entries| entries.get(name));
        if old.is_some_and(|&old| self.tree.entries(old).is_some()) {
            return Err(refused("is a directory, expected a file"));
        }
        Ok(self.tree.insert(parent, name, inode))
    }

    /// A regular file with the owner, permissions and attributes of the one that has the name; if there is none, root's
    /// with these permissions.
    pub fn rewrite_file(
        &mut self,
        path: impl AsRef<[u8]>,
        bytes: impl Into<Arc<[u8]>>,
        permissions: u16,
    ) -> Result<InodeId> {
        let path = path.as_ref();
        let old = self.tree.resolve(path).map(|id| self.tree.inode(id).meta.clone());
        let id = self.write_file(path, bytes, permissions)?;
        if let Some(old) = old {
            *self.meta_mut(id) = Meta { mtime: self.time, ..old };
        }
        Ok(id)
    }

    /// A copy of the regular file at `from`, with its metadata, by the name `to`; whether there is such a file.
    pub fn copy_file(&mut self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<bool> {
        let file = self.tree.resolve(from).map(|id| self.tree.inode(id).clone());
        match file.filter(|inode| matches!(inode.kind, InodeKind::File(_))) {
            Some(file) => self.replace(to.as_ref(), file).map(|_| true),
            None => Ok(false),
        }
    }

    /// Metadata of an inode, to change.
    pub fn meta_mut(&mut self, id: InodeId) -> &mut Meta {
        &mut self.tree.inode_mut(id).meta
    }

    /// Lay what `id` is in `from`, a directory with all below it, over what is at `path`. Directories that are
    /// there stay as they are; of all else what had the name is replaced. `change` is applied to the metadata of
    /// everything copied, which has the one time of this editor.
    pub fn overlay(
        &mut self,
        path: &[u8],
        from: &Tree,
        id: InodeId,
        change: &dyn Fn(&mut Meta),
    ) -> Result<InodeId> {
        let top = self.overlay_one(path, from, id, change)?;
        let mut open: Vec<_> =
            from.entries(id).map(|entries| (path.to_vec(), entries.iter())).into_iter().collect();
        while let Some((directory, entries)) = open.last_mut() {
            let Some((name, &child)) = entries.next() else {
                open.pop();
                continue;
            };
            let path = [directory, &b"/"[..], name].concat();
            self.overlay_one(&path, from, child, change)?;
            open.extend(from.entries(child).map(|entries| (path, entries.iter())));
        }
        Ok(top)
    }

    /// The same without what is in a directory.
    fn overlay_one(
        &mut self,
        path: &[u8],
        from: &Tree,
        id: InodeId,
        change: &dyn Fn(&mut Meta),
    ) -> Result<InodeId> {
        let Inode { meta, kind } = from.inode(id);
        let mut meta = Meta { mtime: self.time, ..meta.clone() };
        change(&mut meta);
        if !matches!(kind, InodeKind::Directory(_)) {
            return self.replace(path, Inode { meta, kind: kind.clone() });
        }
        let is_new = self.tree.resolve(path).is_none();
        let made = self.mkdir_all(path)?;
        if is_new {
            *self.meta_mut(made) = meta;
        }
        Ok(made)
    }

    /// Remove what has this name, a directory with all below it; whether there was something.
    pub fn remove(&mut self, path: impl AsRef<[u8]>) -> bool {
        let Some((directory, name)) = split(path.as_ref()) else { return false };
        let Some(parent) = self.tree.resolve(directory) else { return false };
        match &mut self.tree.inode_mut(parent).kind {
            InodeKind::Directory(entries) => entries.remove(name).is_some(),
            _ => false,
        }
    }

    /// Remove all below the directory at `path`; whether there was something.
    pub fn empty_dir(&mut self, path: impl AsRef<[u8]>) -> bool {
        let Some(id) = self.tree.resolve(path) else { return false };
        match &mut self.tree.inode_mut(id).kind {
            InodeKind::Directory(entries) => !std::mem::take(entries).is_empty(),
            _ => false,
        }
    }

    /// Set the time of what has this name; whether there was something.
    pub fn set_mtime(&mut self, path: impl AsRef<[u8]>, time: Time) -> bool {
        let path = path.as_ref();
        let found =
            if split(path).is_some() { self.tree.resolve_nofollow(path) } else { self.tree.resolve(path) };
        found.map(|id| self.tree.inode_mut(id).meta.mtime = time).is_some()
    }

    /// Nothing in the tree is newer than `latest` afterwards (`SOURCE_DATE_EPOCH` of reproducible-builds.org).
    pub fn clamp_times(&mut self, latest: Time) {
        for inode in &mut self.tree.inodes {
            inode.meta.mtime = inode.meta.mtime.min(latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Time = Time { seconds: 1_700_000_000, nanoseconds: 0 };

    fn read(tree: &Tree, path: &str) -> Option<Vec<u8>> {
        tree.read(path, 100).unwrap()
    }

    #[test]
    fn files_are_written_through_directory_links_but_not_through_file_links() {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, TIME);
        editor.symlink("/lib", "usr/lib").unwrap();
        editor.write_file("/lib/systemd/unit", *b"unit", 0o644).unwrap();
        editor.symlink("/etc/resolv.conf", "/run/secret").unwrap();
        editor.write_file("/run/secret", *b"secret", 0o600).unwrap();
        editor.write_file("/etc/resolv.conf", *b"mine", 0o644).unwrap();
        assert_eq!(read(&tree, "/usr/lib/systemd/unit").unwrap(), b"unit");
        assert_eq!(read(&tree, "/run/secret").unwrap(), b"secret");
        assert_eq!(read(&tree, "/etc/resolv.conf").unwrap(), b"mine");
        let meta = &tree.inode(tree.lookup("/usr/lib").unwrap()).meta;
        assert_eq!((meta.permissions, meta.uid, meta.mtime), (0o755, 0, TIME));
    }

    #[test]
    fn a_file_never_takes_the_place_of_a_directory_nor_lies_below_a_file() {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, TIME);
        editor.write_file("/etc/file", *b"", 0o644).unwrap();
        editor.symlink("/loop", "loop").unwrap();
        for (path, message) in [
            ("/etc", "/etc: is a directory, expected a file"),
            ("/", "/: not the name of a file"),
            ("/etc/..", "/etc/..: not the name of a file"),
            ("/etc/file/below", "/etc/file/: cannot make the directory: not a directory"),
            ("/loop/below", "/loop/: cannot make the directory: too many levels of symbolic links"),
        ] {
            assert_eq!(editor.write_file(path, *b"", 0o644).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn replacing_one_name_leaves_the_other_names_of_a_file() {
        let mut tree = Tree::new(Meta::default());
        let id = Editor::new(&mut tree, TIME).write_file("/a", *b"old", 0o644).unwrap();
        tree.link(Tree::ROOT, b"b", id);
        let mut editor = Editor::new(&mut tree, TIME);
        editor.write_file("/a", *b"new", 0o644).unwrap();
        assert_eq!(read(&tree, "/a").unwrap(), b"new");
        assert_eq!(read(&tree, "/b").unwrap(), b"old");
    }

    #[test]
    fn a_rewritten_file_keeps_its_owner_and_a_new_one_is_roots() {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, TIME);
        let id = editor.write_file("/etc/shadow", *b"old", 0o640).unwrap();
        editor.meta_mut(id).gid = 42;
        editor.rewrite_file("/etc/shadow", *b"new", 0o600).unwrap();
        editor.rewrite_file("/etc/gshadow", *b"new", 0o600).unwrap();
        let meta = |path| {
            let meta = &tree.inode(tree.lookup(path).unwrap()).meta;
            (meta.permissions, meta.gid)
        };
        assert_eq!((meta("/etc/shadow"), meta("/etc/gshadow")), ((0o640, 42), (0o600, 0)));
        assert_eq!(read(&tree, "/etc/shadow").unwrap(), b"new");
    }

    #[test]
    fn a_copy_has_all_that_lies_below_and_leaves_folders_that_are_there() {
        let mut from = Tree::new(Meta { permissions: 0o711, ..Meta::default() });
        let mut source = Editor::new(&mut from, Time::default());
        source.write_file("/a/file", *b"text", 0o755).unwrap();
        source.symlink("/a/link", "file").unwrap();
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, TIME);
        editor.set_directory("/srv", 0o700).unwrap();
        editor.overlay(b"/srv", &from, Tree::ROOT, &|meta| meta.uid = 7).unwrap();
        assert_eq!(read(&tree, "/srv/a/link").unwrap(), b"text");
        let meta = |path: &str| tree.inode(tree.lookup(path).unwrap()).meta.clone();
        assert_eq!((meta("/srv").permissions, meta("/srv").uid), (0o700, 0));
        assert_eq!((meta("/srv/a/file").permissions, meta("/srv/a/file").uid), (0o755, 7));
        assert_eq!(meta("/srv/a/file").mtime, TIME);
        let mut editor = Editor::new(&mut tree, TIME);
        editor.write_file("/flat", *b"", 0o644).unwrap();
        assert!(editor.overlay(b"/flat", &from, Tree::ROOT, &|_| {}).is_err());
    }

    #[test]
    fn removing_takes_names_away_and_no_link_target() {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, TIME);
        editor.write_file("/run/deep/file", *b"", 0o644).unwrap();
        editor.symlink("/var/run", "/run").unwrap();
        assert!(editor.remove("/var/run"));
        assert!(!editor.remove("/var/run"));
        assert!(!editor.remove("/"));
        assert!(editor.tree().lookup("/run/deep/file").is_some());
        assert!(editor.empty_dir("/run"));
        assert!(!editor.empty_dir("/run"));
        assert_eq!(tree.children("/run").count(), 0);
    }

    #[test]
    fn times_are_clamped_and_set() {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, TIME);
        editor.write_file("/new", *b"", 0o644).unwrap();
        editor.write_file("/old", *b"", 0o644).unwrap();
        assert!(editor.set_mtime("/old", Time { seconds: -1, nanoseconds: 5 }));
        assert!(editor.set_mtime("/", TIME));
        assert!(!editor.set_mtime("/none", TIME));
        editor.clamp_times(Time { seconds: 10, nanoseconds: 0 });
        let time = |path| tree.inode(tree.lookup(path).unwrap()).meta.mtime.seconds;
        assert_eq!((time("/new"), time("/old"), time("/")), (10, -1, 10));
    }

    /// Through a link to the last, each path could make the tree deeper than all that reads it goes.
    #[test]
    fn a_tree_is_not_made_deeper_than_a_path_can_say() {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, Time::default());
        let long = "/a".repeat(1000);
        editor.mkdir_all(&long).unwrap();
        editor.symlink("/b", &long).unwrap();
        editor.mkdir_all(format!("/b{long}")).unwrap();
        editor.symlink("/c", format!("/b{long}")).unwrap();
        let error = editor.mkdir_all(format!("/c{long}")).unwrap_err().to_string();
        assert!(
            error.ends_with("…: cannot make the directory: its path is longer than Linux takes"),
            "{error}"
        );
        assert!(editor.write_file(format!("/c{long}/file"), *b"", 0o644).is_err());
        for (path, said) in [
            ("/a".repeat(2048), "longer than Linux takes"),
            (format!("/{}/b", "a".repeat(256)), "a name is longer than file systems take"),
            (format!("/{}", "a".repeat(256)), "the name is longer than file systems take"),
        ] {
            let error = editor.write_file(path, *b"", 0o644).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    /// Once as deep as the stack.
    #[test]
    fn a_deep_folder_is_laid_over_without_end_of_the_stack() {
        let directory = || Inode { meta: Meta::default(), kind: InodeKind::Directory(BTreeMap::new()) };
        for (depth, is_right) in [(2000, true), (200_000, false)] {
            let mut from = Tree::new(Meta::default());
            (0..depth).fold(Tree::ROOT, |parent, _| from.insert(parent, b"a", directory()));
            let mut tree = Tree::new(Meta::default());
            let mut editor = Editor::new(&mut tree, Time::default());
            let laid = editor.overlay(b"/top", &from, Tree::ROOT, &|_| {});
            assert_eq!(laid.is_ok(), is_right, "{depth}");
            assert!(!is_right || tree.walk().count() == depth + 1);
        }
    }
}
