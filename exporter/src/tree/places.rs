//! Paths of inodes, made when they are asked for: kept for every directory, they could take far more than the tree.

use std::collections::HashMap;

use super::{InodeId, Tree};

/// The first name of each inode that is noted, and the directory that has it.
#[derive(Debug, Default)]
pub(crate) struct Places<'a>(HashMap<InodeId, (InodeId, &'a [u8])>);

impl<'a> Places<'a> {
    /// Note that `id` is `name` in `parent`, a directory that is noted itself.
    pub(crate) fn insert(&mut self, id: InodeId, parent: InodeId, name: &'a [u8]) {
        self.0.insert(id, (parent, name));
    }

    /// Whether it is noted.
    pub(crate) fn contains(&self, id: InodeId) -> bool {
        self.0.contains_key(&id)
    }

    /// The names from the root to `id`, the last one first.
    pub(crate) fn names_up(&self, mut id: InodeId) -> impl Iterator<Item = &'a [u8]> {
        std::iter::from_fn(move || {
            let &(parent, name) = self.0.get(&id).filter(|_| id != Tree::ROOT)?;
            id = parent;
            Some(name)
        })
    }

    /// Its path, without a slash in front.
    pub(crate) fn path(&self, id: InodeId) -> Vec<u8> {
        let mut names: Vec<_> = self.names_up(id).collect();
        names.reverse();
        names.join(&b'/')
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::*;

    #[test]
    fn paths_are_those_of_the_first_names() {
        let mut tree = tree(&[("/a/b/c", ""), ("/d", "")]);
        let file = tree.lookup("/a/b/c").unwrap();
        tree.link(Tree::ROOT, b"z", file);
        let mut places = Places::default();
        for (parent, name, id) in tree.walk() {
            if !places.contains(id) {
                places.insert(id, parent, name);
            }
        }
        for path in ["", "a", "a/b", "a/b/c", "d"] {
            assert_eq!(places.path(tree.lookup(path).unwrap()), path.as_bytes());
        }
        assert_eq!(places.path(tree.lookup("z").unwrap()), b"a/b/c");
    }
}
