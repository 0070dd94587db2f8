//! Inodes and blocks of a file system that is there already, made by anybody. No byte of it is trusted.
//!
//! Read are file systems with extents, in blocks of any size. Others are refused, and so is one whose journal
//! has something to say ([`incompat::RECOVER`]): without it the blocks are not what they should be.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::format::{
    DirEntry2, EXTENT_BLOCKS_MAX, EXTENT_MAGIC, EXTENTS_FL, ExtentHeader, ExtentIndex, ExtentLeaf,
    GroupDescriptor, Ino, Inode, SUPERBLOCK_OFFSET, Superblock, XATTR_MAGIC, incompat, ro_compat,
};
use super::layout::has_superblock;
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use crate::tree::{Device, Time};

/// Bytes of an inode before the extra fields.
const GOOD_OLD_INODE_SIZE: usize = offset_of!(Inode, i_extra_isize);
/// Bytes of a group descriptor without the upper halves.
const GOOD_OLD_DESCRIPTOR_SIZE: usize = offset_of!(GroupDescriptor, bg_block_bitmap_hi);
/// The deepest extent tree (`EXT4_MAX_EXTENT_DEPTH`).
const DEPTH_MAX: u16 = 5;

/// An error of the file system.
pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "", message)
}

/// A file system.
pub(super) struct Volume<'a, V: ?Sized> {
    volume: &'a V,
    block_size: u64,
    inode_size: usize,
    descriptor_size: usize,
    superblock: Superblock,
}

/// An inode, and the bytes behind its fields.
pub(super) struct InodeOnDisk {
    inode: Inode,
    /// All its bytes.
    bytes: Vec<u8>,
}

/// A name in a directory, and what has it.
pub(super) type Entry = (Vec<u8>, Ino);

/// Blocks of a file that lie together.
pub(super) struct Extent {
    /// First block of the file.
    pub(super) logical: u64,
    /// First block of the volume.
    pub(super) physical: u64,
    /// How many.
    pub(super) blocks: u64,
    /// Or else the blocks are reserved, and read as zeros.
    pub(super) is_written: bool,
}

/// Where the extended attributes of an inode are.
pub(super) struct Attributes {
    /// Behind the fields of the inode, without the magic; empty for none.
    pub(super) inode: Vec<u8>,
    /// A block of its own.
    pub(super) block: Option<Vec<u8>>,
}

impl<'a, V: ReadAt + ?Sized> Volume<'a, V> {
    /// Read the superblock.
    pub(super) fn open(volume: &'a V) -> Result<Self> {
        let unsupported = |message: &str| Error::new(Kind::Unsupported, "ext4", message);
        if super::read(volume)?.is_none() {
            return Err(unsupported("there is no file system of the family"));
        }
        let mut bytes = [0; size_of::<Superblock>()];
        volume.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
        let superblock: Superblock = zerocopy::transmute!(bytes);
        let features = superblock.s_feature_incompat.get();
        if features & incompat::RECOVER != 0 {
            return Err(unsupported("the file system was not unmounted")
                .with_hint("shut the machine down, or mount the file system once"));
        }
        if features & !incompat::READABLE != 0 || features & incompat::EXTENTS == 0 {
            return Err(unsupported("the file system has features that are not read"));
        }
        let inode_size = usize::from(superblock.s_inode_size.get());
        let descriptor_size = match features & incompat::SIXTY_FOUR_BIT {
            0 => GOOD_OLD_DESCRIPTOR_SIZE,
            _ => usize::from(superblock.s_desc_size.get()),
        };
        let is_possible = inode_size.is_power_of_two()
            && (GOOD_OLD_INODE_SIZE..=4096).contains(&inode_size)
            && (GOOD_OLD_DESCRIPTOR_SIZE..=1024).contains(&descriptor_size)
            && superblock.s_inodes_per_group.get() > 0;
        if !is_possible {
            return Err(corrupt("the superblock has impossible sizes"));
        }
        let block_size = 1024 << superblock.s_log_block_size.get();
        Ok(Self { volume, block_size, inode_size, descriptor_size, superblock })
    }

    /// Bytes in a block.
    pub(super) fn block_size(&self) -> u64 {
        self.block_size
    }

    /// What the first superblock says.
    pub(super) fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Bytes of a group descriptor.
    pub(super) fn descriptor_size(&self) -> usize {
        self.descriptor_size
    }

    /// Bytes of an inode.
    pub(super) fn inode_size(&self) -> usize {
        self.inode_size
    }

    /// Fill `out` from `offset` on.
    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.volume.read_at(offset, out)
    }

    /// Fill `out`, which is as long as a block.
    pub(super) fn read_block(&self, block: u64, out: &mut [u8]) -> Result<()> {
        let outside = || corrupt("a block lies outside of the file system");
        self.read_at(block.checked_mul(self.block_size).ok_or_else(outside)?, out)
    }

    /// An inode by number.
    pub(super) fn inode(&self, ino: Ino) -> Result<InodeOnDisk> {
        if ino.0 == 0 || ino.0 > self.superblock.s_inodes_count.get() {
            return Err(corrupt(format!("there is no inode {}", ino.0)));
        }
        let per_group = self.superblock.s_inodes_per_group.get();
        let (group, index) = ((ino.0 - 1) / per_group, (ino.0 - 1) % per_group);
        let table = self.inode_table(group)?;
        let offset =
            table.checked_mul(self.block_size).map(|start| start + u64::from(index) * self.inode_size as u64);
        let mut bytes = vec![0; self.inode_size];
        self.read_at(offset.unwrap_or(u64::MAX), &mut bytes)?;
        Ok(InodeOnDisk::new(bytes))
    }

    /// The first block of the inodes of a group.
    fn inode_table(&self, group: u32) -> Result<u64> {
        let per_block = self.descriptors_per_block();
        let block = self.descriptor_block(group / per_block);
        let offset = block * self.block_size + u64::from(group % per_block) * self.descriptor_size as u64;
        let mut bytes = vec![0; self.descriptor_size];
        self.read_at(offset, &mut bytes)?;
        Ok(descriptor(&bytes).inode_table())
    }

    /// Group descriptors in a block.
    pub(super) fn descriptors_per_block(&self) -> u32 {
        self.block_size as u32 / self.descriptor_size as u32
    }

    /// Number of groups.
    pub(super) fn groups(&self) -> u32 {
        let blocks = self.blocks() - u64::from(self.superblock.s_first_data_block.get());
        u32::try_from(blocks.div_ceil(self.superblock.s_blocks_per_group.get().into())).unwrap_or(u32::MAX)
    }

    /// Number of blocks; with the first data block at least one.
    pub(super) fn blocks(&self) -> u64 {
        let high = match self.superblock.s_feature_incompat.get() & incompat::SIXTY_FOUR_BIT {
            0 => 0,
            _ => u64::from(self.superblock.s_blocks_count_hi.get()) << 32,
        };
        let blocks = high | u64::from(self.superblock.s_blocks_count_lo.get());
        blocks.max(u64::from(self.superblock.s_first_data_block.get()) + 1)
    }

    /// The first block of a group.
    pub(super) fn first_block(&self, group: u32) -> u64 {
        let (first, per_group) = (self.superblock.s_first_data_block, self.superblock.s_blocks_per_group);
        u64::from(first.get()) + u64::from(group) * u64::from(per_group.get())
    }

    /// The groups with a superblock.
    pub(super) fn superblock_groups(&self) -> Vec<u32> {
        (0..self.groups()).filter(|&group| self.has_superblock(group)).collect()
    }

    fn has_superblock(&self, group: u32) -> bool {
        let is_sparse = self.superblock.s_feature_ro_compat.get() & ro_compat::SPARSE_SUPER != 0;
        !is_sparse || has_superblock(group)
    }

    /// The place of a block of descriptors: behind the superblock; with `meta_bg`, from `s_first_meta_bg` on, in
    /// the first of the groups they describe.
    fn descriptor_block(&self, index: u32) -> u64 {
        match self.is_meta(index) {
            false => self.first_block(0) + 1 + u64::from(index),
            true => self.behind_superblock(index.saturating_mul(self.descriptors_per_block())),
        }
    }

    /// The same and the places of its copies: behind the superblocks of `copies`; with `meta_bg` in the second
    /// and the last of those groups.
    pub(super) fn descriptor_blocks(&self, index: u32, copies: &[u32]) -> Vec<u64> {
        if !self.is_meta(index) {
            return copies.iter().map(|&group| self.first_block(group) + 1 + u64::from(index)).collect();
        }
        let (per_block, groups) = (self.descriptors_per_block(), self.groups());
        let first = index.saturating_mul(per_block);
        let others = [first.saturating_add(1), first.saturating_add(per_block - 1)];
        let others =
            others.into_iter().filter(|&group| group < groups).map(|group| self.behind_superblock(group));
        std::iter::once(self.descriptor_block(index)).chain(others).collect()
    }

    fn is_meta(&self, index: u32) -> bool {
        let features = self.superblock.s_feature_incompat.get();
        features & incompat::META_BG != 0 && index >= self.superblock.s_first_meta_bg.get()
    }

    fn behind_superblock(&self, group: u32) -> u64 {
        self.first_block(group) + u64::from(self.has_superblock(group))
    }

    /// The extents of a file or directory, ascending and apart.
    pub(super) fn extents(&self, inode: &InodeOnDisk) -> Result<Vec<Extent>> {
        if !inode.has_extents() {
            return match inode.size() {
                0 => Ok(Vec::new()),
                _ => Err(Error::new(Kind::Unsupported, "ext4", "a file is not stored in extents")),
            };
        }
        let mut extents = Vec::new();
        self.read_extents(&inode.inode.i_block, None, &mut extents)?;
        let is_apart = |pair: &[Extent]| pair[0].logical + pair[0].blocks <= pair[1].logical;
        match extents.windows(2).all(is_apart) {
            true => Ok(extents),
            false => Err(corrupt("the extents of a file overlap")),
        }
    }

    /// The extents of a node of the tree, and of those below it, which are one less deep.
    fn read_extents(&self, node: &[u8], depth: Option<u16>, extents: &mut Vec<Extent>) -> Result<()> {
        let broken = || corrupt("an extent tree is broken");
        let (header, mut rest) = ExtentHeader::read_from_prefix(node).map_err(|_| broken())?;
        let own = header.eh_depth.get();
        if header.eh_magic.get() != EXTENT_MAGIC || depth.map_or(own > DEPTH_MAX, |depth| own != depth) {
            return Err(broken());
        }
        for _ in 0..header.eh_entries.get() {
            let after;
            if own == 0 {
                let leaf;
                (leaf, after) = ExtentLeaf::read_from_prefix(rest).map_err(|_| broken())?;
                extents.push(Extent::new(&leaf));
            } else {
                let index;
                (index, after) = ExtentIndex::read_from_prefix(rest).map_err(|_| broken())?;
                let mut block = vec![0; self.block_size as usize];
                let place = u64::from(index.ei_leaf_hi.get()) << 32 | u64::from(index.ei_leaf_lo.get());
                self.read_block(place, &mut block)?;
                self.read_extents(&block, Some(own - 1), extents)?;
            }
            rest = after;
        }
        Ok(())
    }

    /// The entries of a directory but `.` and `..`. Hash trees look like unused entries to those who don't use them.
    pub(super) fn entries(&self, inode: &InodeOnDisk) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for extent in self.extents(inode)? {
            let mut block = vec![0; self.block_size as usize];
            for number in 0..extent.blocks {
                self.read_block(extent.physical + number, &mut block)?;
                read_entries(&block, &mut entries)?;
            }
        }
        Ok(entries)
    }

    /// What a symbolic link holds.
    pub(super) fn symlink_target(&self, inode: &InodeOnDisk) -> Result<Vec<u8>> {
        let len = inode.size();
        if let Some(target) = inode.inode.i_block.get(..len as usize)
            && !inode.has_extents()
        {
            return Ok(target.to_vec());
        }
        let mut target = vec![0; self.block_size as usize];
        match self.extents(inode)?.first() {
            Some(extent) if len <= self.block_size => self.read_block(extent.physical, &mut target)?,
            _ => return Err(corrupt("a symbolic link has no target")),
        }
        target.truncate(len as usize);
        Ok(target)
    }

    /// The bytes that hold the extended attributes of an inode.
    pub(super) fn attributes(&self, inode: &InodeOnDisk) -> Result<Attributes> {
        let fields = &inode.inode;
        let block = u64::from(fields.i_file_acl_high.get()) << 32 | u64::from(fields.i_file_acl_lo.get());
        let block = match block {
            0 => None,
            place => {
                let mut block = vec![0; self.block_size as usize];
                self.read_block(place, &mut block)?;
                Some(block)
            }
        };
        Ok(Attributes { inode: inode.attributes().to_vec(), block })
    }
}

/// The entries of one block of a directory.
fn read_entries(block: &[u8], entries: &mut Vec<Entry>) -> Result<()> {
    let mut rest = block;
    while !rest.is_empty() {
        let broken = || corrupt("a directory has entries of impossible length");
        let (entry, after) = DirEntry2::read_from_prefix(rest).map_err(|_| broken())?;
        let len = match entry.rec_len.get() {
            // Blocks of 64 KiB, whose length takes more than 16 bits.
            0 | u16::MAX => block.len(),
            len => usize::from(len),
        };
        let name = after.get(..usize::from(entry.name_len)).ok_or_else(broken)?;
        if len < size_of::<DirEntry2>() + name.len() || len > rest.len() {
            return Err(broken());
        }
        if entry.inode.get() != 0 && name != b"." && name != b".." {
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return Err(corrupt("a directory has an impossible name"));
            }
            entries.push((name.to_vec(), Ino(entry.inode.get())));
        }
        rest = &rest[len..];
    }
    Ok(())
}

/// A group descriptor of any size.
pub(super) fn descriptor(bytes: &[u8]) -> GroupDescriptor {
    let mut descriptor = GroupDescriptor::new_zeroed();
    let len = bytes.len().min(size_of::<GroupDescriptor>());
    descriptor.as_mut_bytes()[..len].copy_from_slice(&bytes[..len]);
    descriptor
}

impl GroupDescriptor {
    /// The first block of its inodes.
    pub(super) fn inode_table(&self) -> u64 {
        u64::from(self.bg_inode_table_hi.get()) << 32 | u64::from(self.bg_inode_table_lo.get())
    }
}

impl Extent {
    fn new(leaf: &ExtentLeaf) -> Self {
        let len = u32::from(leaf.ee_len.get());
        // Longer ones are not initialised, and as long as what is above the limit.
        let is_written = len <= EXTENT_BLOCKS_MAX;
        Self {
            logical: leaf.ee_block.get().into(),
            physical: u64::from(leaf.ee_start_hi.get()) << 32 | u64::from(leaf.ee_start_lo.get()),
            blocks: u64::from(if is_written { len } else { len - EXTENT_BLOCKS_MAX }),
            is_written,
        }
    }
}

impl InodeOnDisk {
    /// Types in `i_mode`.
    pub(super) const FIFO: u16 = 0x1000;
    pub(super) const CHAR_DEVICE: u16 = 0x2000;
    pub(super) const DIRECTORY: u16 = 0x4000;
    pub(super) const BLOCK_DEVICE: u16 = 0x6000;
    pub(super) const REGULAR: u16 = 0x8000;
    pub(super) const SYMLINK: u16 = 0xa000;
    pub(super) const SOCKET: u16 = 0xc000;

    /// The inode in so many bytes.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let mut inode = Inode::new_zeroed();
        let len = bytes.len().min(size_of::<Inode>());
        inode.as_mut_bytes()[..len].copy_from_slice(&bytes[..len]);
        Self { inode, bytes }
    }

    /// Its fields; those it has no room for are zero.
    pub(super) fn fields(&self) -> &Inode {
        &self.inode
    }

    pub(super) fn file_type(&self) -> u16 {
        self.inode.i_mode.get() & 0xf000
    }

    pub(super) fn is_directory(&self) -> bool {
        self.file_type() == Self::DIRECTORY
    }

    pub(super) fn permissions(&self) -> u16 {
        self.inode.i_mode.get() & 0xfff
    }

    pub(super) fn uid(&self) -> u32 {
        u32::from(self.inode.i_uid_high.get()) << 16 | u32::from(self.inode.i_uid.get())
    }

    pub(super) fn gid(&self) -> u32 {
        u32::from(self.inode.i_gid_high.get()) << 16 | u32::from(self.inode.i_gid.get())
    }

    pub(super) fn links(&self) -> u16 {
        self.inode.i_links_count.get()
    }

    pub(super) fn size(&self) -> u64 {
        u64::from(self.inode.i_size_high.get()) << 32 | u64::from(self.inode.i_size_lo.get())
    }

    pub(super) fn has_extents(&self) -> bool {
        self.inode.i_flags.get() & EXTENTS_FL != 0
    }

    /// Two more bits of seconds and all nanoseconds are in the extra fields, if the inode has those.
    pub(super) fn mtime(&self) -> Time {
        let seconds = i64::from(self.inode.i_mtime.get() as i32);
        let end = offset_of!(Inode, i_mtime_extra) + size_of::<u32>() - GOOD_OLD_INODE_SIZE;
        if self.extra_size() < end {
            return Time { seconds, nanoseconds: 0 };
        }
        let extra = self.inode.i_mtime_extra.get();
        Time { seconds: seconds + (i64::from(extra & 3) << 32), nanoseconds: extra >> 2 }
    }

    /// The number of a device, in the old form with eight bits each or in the new one.
    pub(super) fn device(&self) -> Device {
        let word =
            |at: usize| self.inode.i_block[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        match (word(0), word(4)) {
            (0, new) => Device { major: new >> 8 & 0xfff, minor: new & 0xff | new >> 12 & 0xf_ff00 },
            (old, _) => Device { major: old >> 8 & 0xff, minor: old & 0xff },
        }
    }

    /// Bytes of extra fields.
    pub(super) fn extra_size(&self) -> usize {
        match self.bytes.len() > GOOD_OLD_INODE_SIZE {
            true => usize::from(self.inode.i_extra_isize.get()),
            false => 0,
        }
    }

    /// What lies behind the magic behind the extra fields.
    fn attributes(&self) -> &[u8] {
        let area = self.bytes.get(GOOD_OLD_INODE_SIZE + self.extra_size()..).unwrap_or_default();
        area.strip_prefix(&XATTR_MAGIC.to_le_bytes()).unwrap_or_default()
    }
}
