//! From a tree to a plan: a place for each inode, then for its blocks.

use std::collections::HashMap;
use std::sync::Arc;

use zerocopy::little_endian::{U16, U32, U64};

use super::census::{Census, Node};
use super::format::{BLOCK_SIZE, NULL_ADDRESS, SLOT_SIZE, Superblock};
use super::inode::{Data, Record};
use super::pack::Packed;
use super::room::Room;
use super::xattr::Shared;
use super::{Algorithm, Options, extents};
use crate::engine::Run;
use crate::error::Result;
use crate::fs::refusal::{refuse, show_inode};
use crate::fs::{Contents, no_space, order};
use crate::tree::{InodeId, Tree};

/// A tree that EROFS can hold, all of it in its place: the file system is as large as its content.
pub struct Draft(Arc<Plan>);

/// All decisions about a file system; [`super::render`] turns them into bytes.
pub(super) struct Plan {
    pub(super) tree: Arc<Tree>,
    /// In the order of their slots.
    pub(super) nodes: Vec<Node>,
    /// The slot of each inode of the tree; 0 for what no directory names.
    slots: Vec<u32>,
    /// The directory that each directory lies in.
    pub(super) parents: HashMap<InodeId, InodeId>,
    shared: Shared,
    /// The files, if they are compressed.
    pub(super) packed: Option<Packed>,
    has_chunks: bool,
    /// The first block behind the inodes: that of shared attributes.
    xattr_block: u32,
    /// Blocks of the file system.
    blocks: u32,
    options: Options,
}

impl Draft {
    /// Lay out `tree`. If files are to be compressed, `run` says how that is done.
    ///
    /// # Errors
    /// `Input` names the path that EROFS cannot hold, or the option that is wrong.
    pub fn new(tree: &Arc<Tree>, options: &Options, run: &Run<'_>) -> Result<Self> {
        options.check()?;
        let mut plan = Plan::new(tree, options, run)?;
        plan.place_inodes()?;
        plan.place_blocks()?;
        Ok(Self(Arc::new(plan)))
    }

    /// Its size in bytes, a multiple of 4096: no less is enough, and more is not used.
    pub fn size(&self) -> u64 {
        u64::from(self.0.blocks) * BLOCK_SIZE as u64
    }

    /// The file system at the start of `size` bytes.
    ///
    /// # Errors
    /// `NoSpace` if they are fewer than [`size`](Self::size).
    pub fn plan(&self, size: u64) -> Result<Contents> {
        if size < self.size() {
            return Err(no_space("erofs", self.size(), size));
        }
        Ok(extents::contents(Arc::clone(&self.0), size))
    }
}

impl Plan {
    /// Everything counted, nothing placed.
    fn new(tree: &Arc<Tree>, options: &Options, run: &Run<'_>) -> Result<Self> {
        let Census { nodes, parents, .. } = Census::new(tree)?;
        let inodes: Vec<_> = nodes.iter().map(|node| node.id).collect();
        let shared = Shared::new(tree, inodes.iter().copied());
        let packed = options.compression.map(|algorithm| Packed::new(tree, &inodes, algorithm, run));
        Ok(Self {
            tree: Arc::clone(tree),
            nodes,
            slots: vec![0; tree.next_id().0 as usize],
            parents,
            shared,
            packed: packed.transpose()?,
            has_chunks: false,
            xattr_block: 0,
            blocks: 0,
            options: options.clone(),
        })
    }

    fn place_inodes(&mut self) -> Result<()> {
        let mut room = Room::new();
        for index in 0..self.nodes.len() {
            let id = self.nodes[index].id;
            let refused = |reason| refuse(show_inode(&self.tree, id), reason);
            let record = self.try_record(index).map_err(refused)?;
            let slot = room.take(record.len()) / SLOT_SIZE as u64;
            let slot = u32::try_from(slot)
                .map_err(|_| refused("with this file, the inodes take more than 128 GiB".to_owned()))?;
            self.has_chunks |= matches!(record.data, Data::Chunked(_));
            self.nodes[index].slot = slot;
            self.slots[id.0 as usize] = slot;
        }
        self.nodes.sort_unstable_by_key(|node| node.slot);
        self.xattr_block = room.end() as u32;
        Ok(())
    }

    fn place_blocks(&mut self) -> Result<()> {
        let shared = self.shared.area().len().div_ceil(BLOCK_SIZE);
        let mut next = u64::from(self.xattr_block) + shared as u64;
        let order: Vec<_> = self.disk_order().collect();
        for index in order {
            let blocks = self.record(index).blocks();
            if blocks > 0 {
                self.nodes[index].block = next as u32;
            }
            next += blocks;
            if next > u64::from(NULL_ADDRESS) {
                let reason = "with this file, the file system has 16 TiB or more".to_owned();
                return Err(refuse(show_inode(&self.tree, self.nodes[index].id), reason));
            }
        }
        self.blocks = next as u32;
        Ok(())
    }

    /// The nodes in the order of their blocks.
    pub(super) fn disk_order(&self) -> impl Iterator<Item = usize> + '_ {
        order::disk_order(&self.tree, self.nodes.iter().map(|node| node.id))
    }

    fn try_record(&self, index: usize) -> Result<Record, String> {
        let Node { id, links, .. } = self.nodes[index];
        let record = Record::new(&self.tree, (id, links), &self.shared, self.options.created)?;
        let clusters = self.packed.as_ref().and_then(|packed| packed.clusters(id, record.size));
        Ok(match clusters {
            Some(clusters) => record.or_packed(clusters),
            None => record,
        })
    }

    /// What a node is on disk.
    pub(super) fn record(&self, index: usize) -> Record {
        self.try_record(index).expect("the draft has refused what it cannot hold")
    }

    /// The number of an inode (`nid`).
    pub(super) fn slot(&self, id: InodeId) -> u32 {
        self.slots[id.0 as usize]
    }

    /// The shared attributes, and the block that they begin in.
    pub(super) fn shared_area(&self) -> (u32, Vec<u8>) {
        (self.xattr_block, self.shared.area())
    }

    /// The superblock with what lies behind it.
    pub(super) fn superblock(&self) -> Vec<u8> {
        let Options { label, uuid, created, compression } = &self.options;
        let mut superblock = Superblock::new(self.has_chunks, *compression);
        // The root was the first to be placed.
        superblock.root_nid = U16::new(self.slot(Tree::ROOT) as u16);
        superblock.inos = U64::new(self.nodes.len() as u64);
        superblock.build_time = U64::new(created.seconds as u64);
        superblock.build_time_nsec = U32::new(created.nanoseconds);
        superblock.blocks = U32::new(self.blocks);
        superblock.xattr_blkaddr = U32::new(self.xattr_block);
        superblock.uuid = uuid.0;
        superblock.volume_name[..label.len()].copy_from_slice(label.as_bytes());
        superblock.seal(&compression.map(Algorithm::configuration).unwrap_or_default())
    }
}
