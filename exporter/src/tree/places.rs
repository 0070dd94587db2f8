//! The paths of a tree's entries, put together when they are asked for: all of them can be much more than the tree.

use std::collections::HashMap;

use super::{InodeId, Tree};

/// Where inodes are, each by the first of its names.
#[derive(Debug, Default)]
pub(crate) struct Places<'tree>(HashMap<InodeId, (InodeId, &'tree [u8])>);

impl<'tree> Places<'tree> {
    /// Remembers that `id` is called `name` in `parent`, of which the same is known or which is the root.
    pub(crate) fn insert(&mut self, id: InodeId, parent: InodeId, name: &'tree [u8]) {
        self.0.entry(id).or_insert((parent, name));
    }

    /// Whether it is known where `id` is.
    pub(crate) fn contains(&self, id: InodeId) -> bool {
        id == Tree::ROOT || self.0.contains_key(&id)
    }

    /// The names on the way from the root to `id`.
    pub(crate) fn names(&self, mut id: InodeId) -> Vec<&'tree [u8]> {
        let mut names = Vec::new();
        while let Some(&(parent, name)) = self.0.get(&id) {
            names.push(name);
            id = parent;
        }
        names.reverse();
        names
    }
}
