//! From an inode of the tree to one on disk: how large it is, what lies behind it, what it has blocks for.

use std::mem::size_of;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::chunks::Chunks;
use super::clusters::Clusters;
use super::directory::Directory;
use super::format::{BLOCK_SIZE, CompactInode, DataLayout, ExtendedInode};
use super::xattr::{Attributes, Shared};
use crate::error::show_size;
use crate::fs::mode;
use crate::fs::refusal::check_target;
use crate::tree::{Content, Device, Inode, InodeId, InodeKind, Meta, Time, Tree};

/// An inode before it has a place: everything follows from it but the place itself.
pub(super) struct Record {
    is_extended: bool,
    attributes: Attributes,
    links: u32,
    /// Bytes of the content.
    pub(super) size: u64,
    pub(super) data: Data,
}

/// What an inode has beside its attributes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// The number of a device; 0 for what has no content.
    Device(u32),
    /// Blocks in a row, and bytes behind the inode.
    Flat { blocks: u64, tail: usize },
    /// Addresses of chunks behind the inode.
    Chunked(Chunks),
    /// Indexes of compressed extents behind the inode.
    Packed(Clusters),
}

impl Record {
    /// The inode `id` with so many names, in a file system of this time; an error says why EROFS cannot hold it.
    pub(super) fn new(
        tree: &Tree,
        (id, links): (InodeId, u32),
        shared: &Shared,
        created: Time,
    ) -> Result<Self, String> {
        let Inode { meta, kind } = tree.inode(id);
        let attributes = Attributes::new(&meta.xattrs, shared)?;
        let size = size(tree, id)?;
        let is_extended = !is_compact(meta, links, size, created);
        let mut record = Self { is_extended, attributes, links, size, data: Data::Device(0) };
        record.data = match kind {
            &InodeKind::CharDevice(device) | &InodeKind::BlockDevice(device) => {
                Data::Device(device_number(device)?)
            }
            InodeKind::Fifo | InodeKind::Socket => Data::Device(0),
            InodeKind::Directory(_) | InodeKind::Symlink(_) => record.flat(true),
            InodeKind::File(content) => match with_holes(content) {
                Some(chunks) => Data::Chunked(chunks),
                // Archives are read in the order of the blocks.
                None => record.flat(content.order().is_none()),
            },
        };
        Ok(record)
    }

    /// All in blocks but what fits behind the inode, all of it in one block.
    fn flat(&self, has_tail: bool) -> Data {
        let tail = (self.size % BLOCK_SIZE as u64) as usize;
        if has_tail && self.head_len() + tail <= BLOCK_SIZE {
            return Data::Flat { blocks: self.size / BLOCK_SIZE as u64, tail };
        }
        Data::Flat { blocks: self.size.div_ceil(BLOCK_SIZE as u64), tail: 0 }
    }

    /// The same with its content compressed, if that takes less room.
    pub(super) fn or_packed(mut self, clusters: Clusters) -> Self {
        let room = |record: &Self| record.len() + record.blocks() * BLOCK_SIZE as u64;
        let plain_room = room(&self);
        let plain = std::mem::replace(&mut self.data, Data::Packed(clusters));
        if room(&self) >= plain_room {
            self.data = plain;
        }
        self
    }

    /// Bytes of the inode and its attributes.
    pub(super) fn head_len(&self) -> usize {
        let inode = if self.is_extended { size_of::<ExtendedInode>() } else { size_of::<CompactInode>() };
        inode + self.attributes.len()
    }

    /// Where what lies behind them begins.
    pub(super) fn behind(&self) -> usize {
        match &self.data {
            Data::Packed(_) => self.head_len().next_multiple_of(size_of::<u64>()),
            Data::Device(_) | Data::Flat { .. } | Data::Chunked(_) => self.head_len(),
        }
    }

    /// Bytes of all of it that is in one place.
    pub(super) fn len(&self) -> u64 {
        let behind = match &self.data {
            Data::Device(_) => 0,
            Data::Flat { tail, .. } => *tail as u64,
            Data::Chunked(chunks) => chunks.addresses_len(),
            Data::Packed(clusters) => clusters.indexes_len(),
        };
        self.behind() as u64 + behind
    }

    /// Blocks that it has elsewhere.
    pub(super) fn blocks(&self) -> u64 {
        match &self.data {
            Data::Device(_) => 0,
            Data::Flat { blocks, .. } => *blocks,
            Data::Chunked(chunks) => chunks.blocks(),
            Data::Packed(clusters) => clusters.blocks(),
        }
    }

    /// Fill `out` with the inode and its attributes. Its blocks begin at `block`; `number` is its place among all.
    pub(super) fn render_head(&self, from: &Inode, block: u32, number: u32, out: &mut [u8]) {
        let (inode, attributes) = out.split_at_mut(self.head_len() - self.attributes.len());
        if self.is_extended {
            inode.copy_from_slice(self.extended(from, block, number).as_bytes());
        } else {
            inode.copy_from_slice(self.compact(from, block, number).as_bytes());
        }
        self.attributes.render(attributes);
    }

    fn compact(&self, Inode { meta, kind }: &Inode, block: u32, number: u32) -> CompactInode {
        CompactInode {
            i_format: self.layout().format(false),
            i_xattr_icount: U16::new(self.attributes.count()),
            i_mode: U16::new(mode::file_type(kind) | meta.permissions & 0o7777),
            i_nlink: U16::new(self.links as u16),
            i_size: U32::new(self.size as u32),
            i_reserved: U32::ZERO,
            i_u: U32::new(self.union(block)),
            i_ino: U32::new(number),
            i_uid: U16::new(meta.uid as u16),
            i_gid: U16::new(meta.gid as u16),
            i_reserved2: U32::ZERO,
        }
    }

    fn extended(&self, Inode { meta, kind }: &Inode, block: u32, number: u32) -> ExtendedInode {
        ExtendedInode {
            i_format: self.layout().format(true),
            i_xattr_icount: U16::new(self.attributes.count()),
            i_mode: U16::new(mode::file_type(kind) | meta.permissions & 0o7777),
            i_reserved: U16::ZERO,
            i_size: U64::new(self.size),
            i_u: U32::new(self.union(block)),
            i_ino: U32::new(number),
            i_uid: U32::new(meta.uid),
            i_gid: U32::new(meta.gid),
            // Before 1970 it is negative, in two's complement.
            i_mtime: U64::new(meta.mtime.seconds as u64),
            i_mtime_nsec: U32::new(meta.mtime.nanoseconds),
            i_nlink: U32::new(self.links),
            i_reserved2: [0; 16],
        }
    }

    fn layout(&self) -> DataLayout {
        match self.data {
            Data::Flat { tail: 0, .. } | Data::Device(_) => DataLayout::FlatPlain,
            Data::Flat { .. } => DataLayout::FlatInline,
            Data::Chunked(_) => DataLayout::ChunkBased,
            Data::Packed(_) => DataLayout::CompressedFull,
        }
    }

    /// `i_u`.
    fn union(&self, block: u32) -> u32 {
        match &self.data {
            Data::Device(number) => *number,
            Data::Flat { .. } => block,
            Data::Chunked(chunks) => chunks.format(),
            Data::Packed(clusters) => clusters.blocks() as u32,
        }
    }
}

/// Whether a compact inode says all of it.
fn is_compact(meta: &Meta, links: u32, size: u64, created: Time) -> bool {
    let is_small = |number: u32| u16::try_from(number).is_ok();
    meta.mtime == created
        && [meta.uid, meta.gid, links].into_iter().all(is_small)
        && u32::try_from(size).is_ok()
}

/// Bytes of the content; an error says why there are too many.
fn size(tree: &Tree, id: InodeId) -> Result<u64, String> {
    match &tree.inode(id).kind {
        InodeKind::File(content) if i64::try_from(content.len()).is_err() => {
            Err(format!("{} are too much for a file", show_size(content.len())))
        }
        InodeKind::File(content) => Ok(content.len()),
        InodeKind::Directory(_) => Ok(Directory::new(tree, id, id).len()),
        InodeKind::Symlink(target) => check_target(target, "erofs").map(|()| target.len() as u64),
        InodeKind::CharDevice(_) | InodeKind::BlockDevice(_) | InodeKind::Fifo | InodeKind::Socket => Ok(0),
    }
}

/// The chunks of a file, if holes are worth it.
pub(super) fn with_holes(content: &Content) -> Option<Chunks> {
    Chunks::new(content.len().div_ceil(BLOCK_SIZE as u64), &content.data_blocks(BLOCK_SIZE))
}

/// `rdev`.
fn device_number(device: Device) -> Result<u32, String> {
    let too_large = || format!("the device number {}:{} is too large", device.major, device.minor);
    mode::encode_device(device).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: Time = Time { seconds: 1_700_000_000, nanoseconds: 7 };

    fn record(meta: Meta, kind: InodeKind) -> Result<Record, String> {
        let mut tree = Tree::new(Meta::default());
        let id = tree.insert(Tree::ROOT, b"name", Inode { meta, kind });
        Record::new(&tree, (id, 1), &Shared::default(), CREATED)
    }

    fn of_len(len: usize) -> Data {
        record(Meta::default(), InodeKind::File(Content::Bytes(vec![1; len].into()))).unwrap().data
    }

    #[test]
    fn what_is_left_of_the_last_block_lies_behind_the_inode_if_it_fits() {
        assert_eq!(of_len(0), Data::Flat { blocks: 0, tail: 0 });
        assert_eq!(of_len(4032), Data::Flat { blocks: 0, tail: 4032 });
        assert_eq!(of_len(4033), Data::Flat { blocks: 1, tail: 0 });
        assert_eq!(of_len(4096), Data::Flat { blocks: 1, tail: 0 });
        assert_eq!(of_len(8193), Data::Flat { blocks: 2, tail: 1 });
    }

    #[test]
    fn only_inodes_of_the_file_systems_time_with_small_numbers_are_compact() {
        let same = Meta { uid: 65_535, gid: 65_535, mtime: CREATED, ..Meta::default() };
        let is_extended = |meta: &Meta| record(meta.clone(), InodeKind::Fifo).unwrap().is_extended;
        assert!(!is_extended(&same));
        for change in [
            &(|meta: &mut Meta| meta.uid = 65_536) as &dyn Fn(&mut Meta),
            &|meta| meta.gid = 65_536,
            &|meta| meta.mtime.nanoseconds += 1,
            &|meta| meta.mtime.seconds -= 1,
        ] {
            let mut meta = same.clone();
            change(&mut meta);
            assert!(is_extended(&meta), "{meta:?}");
        }
        assert!(!is_compact(&same, 65_536, 0, CREATED));
        assert!(!is_compact(&same, 1, 1 << 32, CREATED));
    }

    #[test]
    fn device_numbers_have_twelve_and_twenty_bits() {
        assert_eq!(device_number(Device { major: 0xabc, minor: 0x1_2345 }), Ok(0x123a_bc45));
        for (major, minor) in [(0x1000, 0), (0, 0x10_0000)] {
            assert!(device_number(Device { major, minor }).is_err());
        }
    }
}
