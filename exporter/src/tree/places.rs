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
