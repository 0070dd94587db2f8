//! What is in a tree, as ext4 counts it: inodes, links, blocks. Everything ext4 cannot hold is refused
//! here, so that nothing that comes after can fail but for want of space.

use std::collections::BTreeMap;
use std::ops::Range;

use super::dir::{Directory, Entry, FileType, LOST_FOUND_BLOCKS};
use super::format::{BLOCK_SIZE, FIRST_INO, Ino, LINK_MAX};
use super::{inode, ranges, xattr};
use crate::error::{Result, show_path, show_size};
use crate::fs::refusal::{check_name, check_target, refuse, show_entry, show_inode};
use crate::tree::{InodeId, InodeKind, Tree};

/// The name of the directory that e2fsck wants in the root directory.
pub(super) const LOST_FOUND: &[u8] = b"lost+found";
/// Blocks of a file are numbered with 32 bits, and the last number means none.
const FILE_MAX: u64 = (u32::MAX as u64) * BLOCK_SIZE as u64;

/// An inode of the tree that a directory names.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: InodeId,
    /// Names of a file; of a directory two, and one for each directory in it.
    pub(super) links: u32,
}

// There is one for each file: what only directories have is kept apart.
const _: () = assert!(size_of::<Node>() == 8);

/// What a directory has beside its node.
#[derive(Clone, Debug)]
pub(super) struct DirectoryNode {
    /// Which of the nodes it is.
    pub(super) index: u32,
    /// The directory it is in.
    parent: Ino,
    pub(super) blocks: u32,
}

/// All inodes of a tree in the order in which it is gone over, the root first; so are their numbers, unless they are those
/// of an earlier build.
#[derive(Clone, Debug)]
pub(super) struct Census {
    pub(super) nodes: Vec<Node>,
    /// The directories among them, in the same order.
    pub(super) directories: Vec<DirectoryNode>,
    /// The inode number of each inode of the tree; 0 for what no directory names.
    numbers: Vec<Ino>,
    /// The nodes by their numbers, but for the root, where those are not in the order of the nodes.
    by_number: Option<Vec<(Ino, u32)>>,
    /// Whether `lost+found` is to be added.
    pub(super) adds_lost_found: bool,
    /// Blocks that content, directories and attributes take at least; extent trees come on top.
    pub(super) blocks: u64,
}

impl Census {
    /// Count `tree`.
    pub(super) fn new(tree: &Tree, hash_seed: [u32; 4]) -> Result<Self> {
        let root_entries = tree.entries(Tree::ROOT).expect("the root is a directory");
        let adds_lost_found = !root_entries.contains_key(LOST_FOUND);
        let mut census = Self {
            nodes: vec![Node { id: Tree::ROOT, links: 2 }],
            directories: vec![DirectoryNode { index: 0, parent: Ino::ROOT, blocks: 0 }],
            numbers: vec![Ino::ROOT],
            by_number: None,
            adds_lost_found,
            blocks: 0,
        };
        if adds_lost_found {
            census.nodes[0].links += 1;
            census.blocks += u64::from(LOST_FOUND_BLOCKS);
        }
        census.blocks += node_blocks(tree, Tree::ROOT).map_err(|reason| refuse(show_path(b""), reason))?;
        for (parent, name, id) in tree.walk() {
            census
                .add(tree, parent, name, id)
                .map_err(|reason| refuse(show_entry(tree, parent, name), reason))?;
        }
        census.check_links(tree)?;
        census.measure_directories(tree, hash_seed)?;
        Ok(census)
    }

    /// The same with a number for each of the nodes, none of them twice.
    pub(super) fn renumbered(&self, of_nodes: &[Ino]) -> Self {
        let mut census = self.clone();
        for (node, ino) in self.nodes.iter().zip(of_nodes) {
            census.numbers[node.id.0 as usize] = *ino;
        }
        for directory in &mut census.directories {
            directory.parent = of_nodes[self.index(directory.parent).expect("the number of a node")];
        }
        let mut by_number: Vec<_> = of_nodes.iter().copied().zip(0..).skip(1).collect();
        by_number.sort_unstable();
        census.by_number = Some(by_number);
        census
    }

    /// The number of the first inode below the root.
    pub(super) fn first_ino(&self) -> u32 {
        FIRST_INO + u32::from(self.adds_lost_found)
    }

    /// Inodes in use, the reserved ones included: in a row, the number of the last one.
    pub(super) fn last_ino(&self) -> Ino {
        Ino(self.first_ino() + self.nodes.len() as u32 - 2)
    }

    /// The numbers of all inodes in use.
    pub(super) fn used_inodes(&self) -> Vec<Range<u32>> {
        let below = std::iter::once(1..self.first_ino());
        match &self.by_number {
            None => ranges::merged(std::iter::once(1..self.last_ino().0 + 1)),
            Some(nodes) => ranges::merged(below.chain(nodes.iter().map(|(ino, _)| ino.0..ino.0 + 1))),
        }
    }

    /// The inode number of an inode of the tree.
    pub(super) fn number(&self, id: InodeId) -> Ino {
        self.numbers[id.0 as usize]
    }

    /// Which of the nodes has this number; `None` for the reserved ones and `lost+found`.
    pub(super) fn index(&self, ino: Ino) -> Option<usize> {
        match (ino, &self.by_number) {
            (Ino::ROOT, _) => Some(0),
            (Ino(ino), None) => {
                let index = ino.checked_sub(self.first_ino())? as usize + 1;
                Some(index).filter(|index| *index < self.nodes.len())
            }
            (ino, Some(nodes)) => {
                let at = nodes.binary_search_by_key(&ino, |(ino, _)| *ino).ok()?;
                Some(nodes[at].1 as usize)
            }
        }
    }

    /// The number of an added `lost+found`.
    pub(super) fn lost_found(&self) -> Option<Ino> {
        self.adds_lost_found.then_some(Ino(FIRST_INO))
    }

    /// What node `index` has beside as a directory, if it is one.
    pub(super) fn directory_node(&self, index: usize) -> Option<&DirectoryNode> {
        let found = self.directories.binary_search_by_key(&index, |directory| directory.index as usize);
        found.ok().map(|at| &self.directories[at])
    }

    /// A directory of the tree, put into blocks.
    pub(super) fn directory<'a>(
        &self,
        tree: &'a Tree,
        directory: &DirectoryNode,
        seed: [u32; 4],
    ) -> Option<Directory<'a>> {
        let node = &self.nodes[directory.index as usize];
        let entries = tree.entries(node.id).into_iter().flatten();
        let mut entries: Vec<_> = entries
            .map(|(name, &id)| Entry { name, ino: self.number(id), file_type: (&tree.inode(id).kind).into() })
            .collect();
        if let Some(ino) = self.lost_found().filter(|_| node.id == Tree::ROOT) {
            entries.push(Entry { name: LOST_FOUND, ino, file_type: FileType::Directory });
        }
        Directory::new(self.number(node.id), directory.parent, entries, seed)
    }

    fn add(&mut self, tree: &Tree, parent: InodeId, name: &[u8], id: InodeId) -> Result<(), String> {
        check_name(name, "ext4")?;
        let is_directory = tree.entries(id).is_some();
        if parent == Tree::ROOT && name == LOST_FOUND && !is_directory {
            return Err("e2fsck wants a directory of this name in the root directory".to_owned());
        }
        let known = self.numbers.get(id.0 as usize).filter(|ino| ino.0 != 0);
        if let Some(&ino) = known {
            if is_directory {
                return Err("a directory cannot have a second name".to_owned());
            }
            let index = self.index(ino).expect("the number of a node");
            self.nodes[index].links += 1;
            return Ok(());
        }
        if id.0 as usize >= self.numbers.len() {
            self.numbers.resize(id.0 as usize + 1, Ino(0));
        }
        let parent = self.number(parent);
        if is_directory {
            let above = self.index(parent).expect("parents come before their entries");
            self.nodes[above].links += 1;
        }
        self.blocks += node_blocks(tree, id)?;
        if is_directory {
            self.directories.push(DirectoryNode { index: self.nodes.len() as u32, parent, blocks: 0 });
        }
        self.nodes.push(Node { id, links: if is_directory { 2 } else { 1 } });
        self.numbers[id.0 as usize] = self.last_ino();
        Ok(())
    }

    fn check_links(&self, tree: &Tree) -> Result<()> {
        let too_many = |node: &&Node| node.links > LINK_MAX && tree.entries(node.id).is_none();
        match self.nodes.iter().find(too_many) {
            None => Ok(()),
            Some(node) => {
                let reason = format!("{} hard links, ext4 allows {LINK_MAX}", node.links);
                Err(refuse(show_inode(tree, node.id), reason))
            }
        }
    }

    fn measure_directories(&mut self, tree: &Tree, hash_seed: [u32; 4]) -> Result<()> {
        for at in 0..self.directories.len() {
            let node = &self.directories[at];
            let directory = self.directory(tree, node, hash_seed).ok_or_else(|| {
                let id = self.nodes[node.index as usize].id;
                let entries = tree.entries(id).map_or(0, BTreeMap::len);
                let reason = format!("{entries} entries are too many for a directory");
                refuse(show_inode(tree, id), reason)
            })?;
            let blocks = directory.blocks();
            self.directories[at].blocks = blocks;
            self.blocks += u64::from(blocks);
        }
        Ok(())
    }
}

/// Blocks that an inode takes beside directory entries; an error says why ext4 cannot hold it.
fn node_blocks(tree: &Tree, id: InodeId) -> Result<u64, String> {
    let inode = tree.inode(id);
    let attributes = xattr::Placed::new(&inode.meta.xattrs).map_err(|reason| reason.to_string())?;
    let content = match &inode.kind {
        InodeKind::File(content) if content.len() > FILE_MAX => {
            return Err(format!("{} are too much for a file", show_size(content.len())));
        }
        InodeKind::File(content) => {
            content.data_blocks(BLOCK_SIZE).iter().map(|range| range.end - range.start).sum()
        }
        InodeKind::Symlink(target) => {
            check_target(target, "ext4")?;
            u64::from(!inode::is_fast_symlink(target))
        }
        &InodeKind::CharDevice(device) | &InodeKind::BlockDevice(device)
            if inode::encode_device(device).is_none() =>
        {
            return Err(format!("the device number {}:{} is too large", device.major, device.minor));
        }
        _ => 0,
    };
    Ok(content + u64::from(attributes.needs_block()))
}
