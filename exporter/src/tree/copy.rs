//! Parts of one tree in another.

use std::collections::HashMap;

use super::path::split;
use super::{Editor, Inode, InodeId, InodeKind, Tree};
use crate::error::{self, Error, Result, show_path};

impl Editor<'_> {
    /// Name a copy of `id` of `other`, with all below it, by `path`, in place of whatever had that name.
    /// Owners, times and hard links stay as they are.
    ///
    /// # Errors
    /// Those of [`mkdir_all`](Self::mkdir_all).
    pub fn copy(&mut self, path: impl AsRef<[u8]>, other: &Tree, id: InodeId) -> Result<InodeId> {
        let path = path.as_ref();
        let no_name = || Error::new(error::Kind::Input, show_path(path), "not the name of a file");
        let (directory, name) = split(path).ok_or_else(no_name)?;
        let parent = self.mkdir_all(directory)?;
        Ok(self.tree_mut().copy_from(other, id, parent, name, &mut Copies::new()))
    }
}

/// Inodes of the other tree that have a copy, so that each has one under all its names.
type Copies = HashMap<InodeId, InodeId>;

impl Tree {
    /// A tree of its own of what lies below the directory `id`.
    pub fn subtree(&self, id: InodeId) -> Self {
        let (mut copy, mut copies) = (Self::new(self.inode(id).meta.clone()), Copies::new());
        for (name, &child) in self.entries(id).into_iter().flatten() {
            copy.copy_from(self, child, Self::ROOT, name, &mut copies);
        }
        copy
    }

    /// What lies below the directory at `path`, which stays, empty, with its owner and permissions.
    ///
    /// # Errors
    /// If there is no directory at that very place.
    pub fn take_subtree(&mut self, path: &str) -> Result<Self> {
        let directory = self.lookup(path).filter(|&id| self.entries(id).is_some());
        let none = || Error::new(error::Kind::NotFound, path, "is no directory of the tree");
        let id = directory.ok_or_else(none)?;
        let taken = self.subtree(id);
        self.inode_mut(id).kind = InodeKind::Directory(Default::default());
        Ok(taken)
    }

    fn copy_from(
        &mut self,
        other: &Tree,
        id: InodeId,
        parent: InodeId,
        name: &[u8],
        copies: &mut Copies,
    ) -> InodeId {
        let mut first = None;
        let mut todo = vec![(id, parent, name)];
        while let Some((from, parent, name)) = todo.pop() {
            if let Some(&copy) = copies.get(&from) {
                self.link(parent, name, copy);
                continue;
            }
            let Inode { meta, kind } = other.inode(from).clone();
            let entries = other.entries(from);
            let kind = if entries.is_some() { InodeKind::Directory(Default::default()) } else { kind };
            let copy = self.insert(parent, name, Inode { meta, kind });
            copies.insert(from, copy);
            first.get_or_insert(copy);
            todo.extend(entries.into_iter().flatten().map(|(name, &id)| (id, copy, &**name)));
        }
        first.unwrap_or(parent)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Detail, Time};
    use super::*;

    #[test]
    fn a_directory_comes_with_all_below_it_and_nothing_else() {
        let mut donor = tree(&[
            ("/lib", "-> usr/lib"),
            ("/usr/lib/modules/6.1/kernel/a.ko", "a"),
            ("/usr/lib/modules/6.1/build", "-> /usr/src"),
            ("/usr/lib/other", "no"),
        ]);
        let file = donor.lookup("/usr/lib/modules/6.1/kernel/a.ko").unwrap();
        donor.link(donor.lookup("/usr/lib/modules/6.1").unwrap(), b"linked.ko", file);
        donor.inode_mut(file).meta.uid = 7;

        let mut root = tree(&[("/lib/modules/6.1", "a file"), ("/app", "app")]);
        let from = donor.resolve("/lib/modules/6.1").unwrap();
        Editor::new(&mut root, Time::default()).copy("/lib/modules/6.1", &donor, from).unwrap();
        let expected = tree(&[("/app", "app"), ("/lib/modules/", "")]);
        let names: Vec<_> =
            root.walk().map(|(_, name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(names, ["app", "lib", "modules", "6.1", "build", "kernel", "a.ko", "linked.ko"]);
        let copy = root.lookup("/lib/modules/6.1/linked.ko").unwrap();
        assert_eq!(root.lookup("/lib/modules/6.1/kernel/a.ko"), Some(copy));
        assert_eq!(root.inode(copy).meta.uid, 7);
        assert!(Editor::new(&mut root, Time::default()).remove("/lib/modules/6.1"));
        let dump = |tree: &Tree| tree.dump(Detail::default()).unwrap();
        assert_eq!(dump(&root), dump(&expected));
    }

    #[test]
    fn what_is_taken_is_there_no_longer() {
        let mut root =
            tree(&[("/srv/www/index.html", "hello"), ("/srv/log", "-> /var/log"), ("/app", "app")]);
        root.inode_mut(root.lookup("/srv").unwrap()).meta.uid = 33;
        // A second name elsewhere below it.
        let page = root.lookup("/srv/www/index.html").unwrap();
        root.link(root.lookup("/srv").unwrap(), b"page", page);
        let taken = root.take_subtree("/srv").unwrap();
        assert_eq!(taken.inode(Tree::ROOT).meta.uid, 33);
        let names = |tree: &Tree| {
            let names = tree.walk().map(|(_, name, _)| String::from_utf8_lossy(name).into_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&taken), ["log", "page", "www", "index.html"]);
        assert_eq!(taken.lookup("/page"), taken.lookup("/www/index.html"));
        assert_eq!(names(&root), ["app", "srv"]);
        assert_eq!(root.inode(root.lookup("/srv").unwrap()).meta.uid, 33);
        for wrong in ["/app", "/none"] {
            assert!(root.take_subtree(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_names_can_be_given() {
        let donor = tree(&[("/a", "")]);
        let mut root = tree(&[]);
        let error = Editor::new(&mut root, Time::default()).copy("/", &donor, Tree::ROOT).unwrap_err();
        assert_eq!(error.to_string(), "/: not the name of a file");
    }
}
