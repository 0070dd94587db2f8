//! A tree as FAT sees it: checked, named, and with the length of every directory.

use super::format::{ENTRY_LEN, LongEntry};
use super::geometry::{FatType, Shape};
use super::names::{self, EntryName};
use crate::error::{Error, Kind, Result, show_path, show_size};
use crate::tree::{self, Content, InodeId, Tree};

/// Longest directory in bytes: its entries are counted in 16 bits.
const DIRECTORY_MAX: u64 = 65_536 * ENTRY_LEN as u64;

/// A directory or file; nodes know each other by their place in [`Volume::nodes`].
pub(super) struct Node<'a> {
    pub(super) parent: usize,
    name: &'a [u8],
    /// How the parent names it; nothing names the root.
    pub(super) entry: Option<EntryName>,
    pub(super) body: Body<'a>,
}

pub(super) enum Body<'a> {
    Directory(Vec<usize>),
    File(&'a Content),
}

/// The nodes of a tree, the root first and parents before children.
pub(super) struct Volume<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    has_label: bool,
}

impl<'a> Volume<'a> {
    pub(super) const ROOT: usize = 0;

    /// # Errors
    /// [`Kind::Input`] with the path of what FAT cannot hold.
    pub(super) fn new(tree: &'a Tree, has_label: bool) -> Result<Self> {
        let root = Node { parent: 0, name: b"", entry: None, body: Body::Directory(Vec::new()) };
        let mut volume = Self { nodes: vec![root], has_label };
        let mut directories = std::collections::BTreeMap::from([(Tree::ROOT, Self::ROOT)]);
        for (parent, name, id) in tree.walk() {
            let node = volume.add(tree, directories[&parent], name, id)?;
            if tree.entries(id).is_some() {
                directories.insert(id, node);
            }
        }
        volume.name_entries()?;
        Ok(volume)
    }

    fn add(&mut self, tree: &'a Tree, parent: usize, name: &'a [u8], id: InodeId) -> Result<usize> {
        let refuse = |what: &str| {
            let path = show_path(&[self.path(parent).as_slice(), b"/", name].concat());
            Err(Error::new(Kind::Input, path, format!("FAT cannot hold {what}")))
        };
        let body = match &tree.inode(id).kind {
            tree::InodeKind::Directory(_) => Body::Directory(Vec::new()),
            tree::InodeKind::File(content) if content.len() > u64::from(u32::MAX) => {
                return refuse(&format!("a file of {}, only up to 4 GiB - 1", show_size(content.len())));
            }
            tree::InodeKind::File(content) => Body::File(content),
            tree::InodeKind::Symlink(_) => return refuse("a symbolic link"),
            tree::InodeKind::Fifo => return refuse("a named pipe"),
            tree::InodeKind::Socket => return refuse("a socket"),
            tree::InodeKind::CharDevice(_) | tree::InodeKind::BlockDevice(_) => return refuse("a device"),
        };
        let index = self.nodes.len();
        self.nodes.push(Node { parent, name, entry: None, body });
        if let Body::Directory(children) = &mut self.nodes[parent].body {
            children.push(index);
        }
        Ok(index)
    }

    fn name_entries(&mut self) -> Result<()> {
        for directory in 0..self.nodes.len() {
            let Body::Directory(children) = &self.nodes[directory].body else { continue };
            let children = children.clone();
            let names: Vec<_> = children.iter().map(|&child| self.nodes[child].name).collect();
            let entries = names::assign(&names).map_err(|(index, reason)| {
                Error::new(Kind::Input, show_path(&self.path(children[index])), reason.message())
            })?;
            for (&child, entry) in children.iter().zip(entries) {
                self.nodes[child].entry = Some(entry);
            }
            if self.directory_len(directory) > DIRECTORY_MAX {
                let path = show_path(&self.path(directory));
                return Err(Error::new(
                    Kind::Input,
                    path,
                    "the directory has more entries than FAT can hold",
                ));
            }
        }
        Ok(())
    }

    fn path(&self, node: usize) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = node;
        while at != Self::ROOT {
            names.push(self.nodes[at].name);
            at = self.nodes[at].parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// Bytes of the content of a node: a file's length, a directory's entries.
    pub(super) fn len(&self, node: usize) -> u64 {
        match &self.nodes[node].body {
            Body::Directory(_) => self.directory_len(node),
            Body::File(content) => content.len(),
        }
    }

    fn directory_len(&self, node: usize) -> u64 {
        let Body::Directory(children) = &self.nodes[node].body else { return 0 };
        let named = children.iter().filter_map(|&child| self.nodes[child].entry.as_ref());
        let entries: usize = named.map(|entry| 1 + entry.long.len().div_ceil(LongEntry::UNITS)).sum();
        let own = if node == Self::ROOT { usize::from(self.has_label) } else { 2 };
        ((entries + own) * ENTRY_LEN) as u64
    }

    /// Entries of the root directory.
    pub(super) fn root_entries(&self) -> u64 {
        self.directory_len(Self::ROOT) / ENTRY_LEN as u64
    }

    /// Clusters of a node: every directory has one at least, but the fixed root of FAT12 and FAT16 none.
    pub(super) fn clusters(&self, node: usize, shape: Shape) -> u64 {
        let needed = self.len(node).div_ceil(shape.cluster_size);
        match &self.nodes[node].body {
            Body::Directory(_) if node == Self::ROOT && shape.kind != FatType::Fat32 => 0,
            Body::Directory(_) => needed.max(1),
            Body::File(_) => needed,
        }
    }

    /// Clusters of all nodes.
    pub(super) fn all_clusters(&self, shape: Shape) -> u64 {
        (0..self.nodes.len()).map(|node| self.clusters(node, shape)).sum()
    }
}
