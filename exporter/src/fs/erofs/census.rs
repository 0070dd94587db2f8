//! What is in a tree: inodes and links, and names that EROFS can hold.

use std::collections::HashMap;

use crate::error::Result;
use crate::fs::refusal::{check_name, refuse, show_entry};
use crate::tree::{InodeId, Tree};

/// An inode of the tree that a directory names.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: InodeId,
    /// Names of a file; of a directory two, and one for each directory in it.
    pub(super) links: u32,
    /// Where its record begins, once it has a place.
    pub(super) slot: u32,
    /// Its first block, if it has blocks.
    pub(super) block: u32,
}

// There is one for each file.
const _: () = assert!(size_of::<Node>() == 16);

/// All inodes of a tree, parents before what is in them.
pub(super) struct Census {
    pub(super) nodes: Vec<Node>,
    /// The directory that each directory lies in.
    pub(super) parents: HashMap<InodeId, InodeId>,
    /// Which of the nodes is an inode, if it is one: one more than its place.
    numbers: Vec<u32>,
}

impl Census {
    /// Count `tree`.
    pub(super) fn new(tree: &Tree) -> Result<Self> {
        let numbers = vec![0; tree.next_id().0 as usize];
        let mut census = Self { nodes: Vec::new(), parents: HashMap::new(), numbers };
        census.push(Tree::ROOT, Some(Tree::ROOT));
        for (parent, name, id) in tree.walk() {
            census
                .add(tree, parent, name, id)
                .map_err(|reason| refuse(show_entry(tree, parent, name), reason))?;
        }
        Ok(census)
    }

    fn add(&mut self, tree: &Tree, parent: InodeId, name: &[u8], id: InodeId) -> Result<(), String> {
        check_name(name, "erofs")?;
        let is_directory = tree.entries(id).is_some();
        match self.node(id) {
            Some(_) if is_directory => return Err("a directory cannot have a second name".to_owned()),
            Some(node) => node.links += 1,
            None => self.push(id, is_directory.then_some(parent)),
        }
        if is_directory && let Some(above) = self.node(parent) {
            above.links += 1;
        }
        Ok(())
    }

    fn node(&mut self, id: InodeId) -> Option<&mut Node> {
        let index = self.numbers[id.0 as usize].checked_sub(1)?;
        self.nodes.get_mut(index as usize)
    }

    /// A node with its first name, and of a directory with its `.`.
    fn push(&mut self, id: InodeId, parent: Option<InodeId>) {
        self.nodes.push(Node { id, links: if parent.is_some() { 2 } else { 1 }, slot: 0, block: 0 });
        self.numbers[id.0 as usize] = self.nodes.len() as u32;
        self.parents.extend(parent.map(|parent| (id, parent)));
    }
}
