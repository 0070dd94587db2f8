//! A file system that is there already, made by anybody, as far as it is read: its superblock, its groups, and from
//! there inodes, entries of directories and contents. No byte of it is trusted.
//!
//! All of it is read through one [`DiskBudget`], and nothing is collected: whatever the structures say, what one
//! reads is bounded, and what one keeps is the caller's. Where there are checksums they are checked.

mod content;
mod directory;
mod extents;
mod features;
mod inode;

use std::mem::{offset_of, size_of};

use zerocopy::{FromZeros, IntoBytes};

use super::csum::Crc32c;
use super::format::{
    CLEANLY_UNMOUNTED, DYNAMIC_REVISION, GroupDescriptor, Ino, SUPERBLOCK_OFFSET, Superblock, compat,
    incompat, ro_compat,
};
use super::geometry::has_superblock;
use super::sums;
use crate::error::{Error, Kind, Result};
use crate::fs::DiskBudget;
use crate::read_at::ReadAt;
use crate::seed::Uuid;
pub(super) use content::Attributes;
pub(super) use extents::Extent;
use inode::GOOD_OLD_INODE_SIZE;
pub(super) use inode::InodeOnDisk;

/// Bytes of a group descriptor without the upper halves.
const GOOD_OLD_DESCRIPTOR_SIZE: usize = offset_of!(GroupDescriptor, bg_block_bitmap_hi);
/// `s_creator_os`: others do not know of checksums of inodes.
const LINUX: u32 = 0;

/// An error of the file system.
pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "", message)
}

/// Something of the file system that is not read.
pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Kind::Unsupported, "ext4", message)
}

/// A file system.
pub(super) struct Volume<'a, V: ?Sized> {
    volume: &'a V,
    budget: &'a DiskBudget,
    block_size: u64,
    inode_size: usize,
    descriptor_size: usize,
    superblock: Superblock,
    /// What the checksums begin with, if there are some.
    sum: Option<Crc32c>,
}

impl<'a, V: ReadAt + ?Sized> Volume<'a, V> {
    /// Read the superblock of a file system that was unmounted.
    pub(super) fn open(volume: &'a V, budget: &'a DiskBudget) -> Result<Self> {
        let volume = Self::open_as_it_is(volume, budget)?;
        match volume.needs_recovery() {
            false => Ok(volume),
            true => Err(unsupported("the file system was not unmounted")
                .with_hint("shut the machine down, or mount the file system once")),
        }
    }

    /// Read the superblock, even if the journal should be read first: what is in it alone is not seen then.
    pub(super) fn open_as_it_is(volume: &'a V, budget: &'a DiskBudget) -> Result<Self> {
        if super::read(volume)?.is_none() {
            return Err(unsupported("there is no file system of the family"));
        }
        let mut bytes = [0; size_of::<Superblock>()];
        volume.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
        let superblock: Superblock = zerocopy::transmute!(bytes);
        features::check(&superblock)?;
        let sum = superblock.checksum_seed()?;
        let is_wide = superblock.s_feature_incompat.get() & incompat::SIXTY_FOUR_BIT != 0;
        let descriptor_size = match is_wide {
            false => GOOD_OLD_DESCRIPTOR_SIZE,
            true => usize::from(superblock.s_desc_size.get()),
        };
        let inode_size = match superblock.s_rev_level.get() {
            0 => GOOD_OLD_INODE_SIZE,
            _ => usize::from(superblock.s_inode_size.get()),
        };
        let block_size = 1024_u64 << superblock.s_log_block_size.get();
        let is_possible = inode_size.is_power_of_two()
            && (GOOD_OLD_INODE_SIZE as u64..=block_size).contains(&(inode_size as u64))
            && descriptor_size.is_power_of_two()
            && (GOOD_OLD_DESCRIPTOR_SIZE..=1024).contains(&descriptor_size)
            && superblock.s_rev_level.get() <= DYNAMIC_REVISION
            && superblock.s_inodes_per_group.get() > 0;
        match is_possible {
            true => Ok(Self { volume, budget, block_size, inode_size, descriptor_size, superblock, sum }),
            false => Err(corrupt("the superblock has impossible sizes")),
        }
    }

    /// Whether the blocks are not what they should be before the journal is read, or, without one, before they are checked.
    fn needs_recovery(&self) -> bool {
        let has_journal = self.superblock.s_feature_compat.get() & compat::HAS_JOURNAL != 0;
        // With a journal the kernel leaves the state as it is while the file system is mounted.
        let was_unmounted = has_journal || self.superblock.s_state.get() & CLEANLY_UNMOUNTED != 0;
        self.superblock.s_feature_incompat.get() & incompat::RECOVER != 0 || !was_unmounted
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

    /// What this and other volumes of the disk may cost.
    pub(super) fn budget(&self) -> &'a DiskBudget {
        self.budget
    }

    /// Fill `out` from `offset` on.
    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.budget.read(out.len() as u64)?;
        self.volume.read_at(offset, out)
    }

    /// The bytes of a block.
    pub(super) fn block(&self, block: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.block_size as usize];
        self.read_at(block.checked_mul(self.block_size).ok_or_else(outside)?, &mut bytes)?;
        Ok(bytes)
    }

    /// That so many blocks are blocks of the file system.
    fn check_blocks(&self, first: u64, count: u64) -> Result<()> {
        match first.checked_add(count) {
            Some(end) if end <= self.blocks() => Ok(()),
            _ => Err(outside()),
        }
    }

    /// An inode by number.
    pub(super) fn inode(&self, ino: Ino) -> Result<InodeOnDisk> {
        let missing = || corrupt(format!("there is no inode {}", ino.0));
        if ino.0 > self.superblock.s_inodes_count.get() {
            return Err(missing());
        }
        let per_group = self.superblock.s_inodes_per_group.get();
        let index = ino.0.checked_sub(1).ok_or_else(missing)?;
        let table = self.inode_table(index / per_group)?;
        let offset = table
            .checked_mul(self.block_size)
            .and_then(|start| start.checked_add(u64::from(index % per_group) * self.inode_size as u64));
        let mut bytes = vec![0; self.inode_size];
        self.read_at(offset.ok_or_else(outside)?, &mut bytes)?;
        let inode = InodeOnDisk::new(ino, bytes);
        self.check_inode(&inode)?;
        Ok(inode)
    }

    fn check_inode(&self, inode: &InodeOnDisk) -> Result<()> {
        let Some(sum) = self.sum.filter(|_| self.superblock.s_creator_os.get() == LINUX) else {
            return Ok(());
        };
        let mut sealed = inode.bytes().to_vec();
        sums::seal_inode(inode, &mut sealed, sum);
        match sealed == inode.bytes() {
            true => Ok(()),
            false => Err(sums::mismatch(&format!("inode {}", inode.ino().0))),
        }
    }

    /// What the checksums of the blocks of an inode begin with, if they have some.
    fn inode_sum(&self, inode: &InodeOnDisk) -> Option<Crc32c> {
        self.sum.map(|sum| sum.for_generation(inode.ino(), inode.fields().i_generation.get()))
    }

    /// The extents of a file or directory, ascending and apart.
    pub(super) fn extents<'v>(
        &'v self,
        inode: &InodeOnDisk,
    ) -> Box<dyn Iterator<Item = Result<Extent>> + 'v> {
        extents::of(self, inode)
    }

    /// The first block of the inodes of a group.
    fn inode_table(&self, group: u32) -> Result<u64> {
        if group >= self.groups() {
            return Err(corrupt(format!("there is no group {group}")));
        }
        let per_block = self.descriptors_per_block();
        let block = self.descriptor_block(group / per_block);
        let offset = block.checked_mul(self.block_size).ok_or_else(outside)?;
        let mut bytes = vec![0; self.descriptor_size];
        self.read_at(offset + u64::from(group % per_block) * self.descriptor_size as u64, &mut bytes)?;
        let descriptor = descriptor(&bytes);
        match self.sum.map(|sum| sums::descriptor(&bytes, group, sum)) {
            Some(sum) if sum != descriptor.bg_checksum.get() => {
                Err(sums::mismatch(&format!("group {group}")))
            }
            _ => Ok(descriptor.inode_table()),
        }
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
    pub(super) fn superblock_groups(&self) -> impl Iterator<Item = u32> {
        (0..self.groups()).filter(|&group| self.has_superblock(group))
    }

    fn has_superblock(&self, group: u32) -> bool {
        if self.superblock.s_feature_compat.get() & compat::SPARSE_SUPER2 != 0 {
            return group == 0 || self.superblock.s_backup_bgs.iter().any(|backup| backup.get() == group);
        }
        let is_sparse = self.superblock.s_feature_ro_compat.get() & ro_compat::SPARSE_SUPER != 0;
        !is_sparse || has_superblock(group)
    }

    /// The place of a block of descriptors: behind the superblock; with `meta_bg`, from `s_first_meta_bg` on, in
    /// the first of the groups they describe.
    pub(super) fn descriptor_block(&self, index: u32) -> u64 {
        match self.is_meta(index) {
            // The superblock is in block 1 of blocks of 1 KiB, though with clusters the first group begins at block 0.
            false => SUPERBLOCK_OFFSET / self.block_size + 1 + u64::from(index),
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
}

impl Superblock {
    /// What the checksums of everything else begin with, if there are some: then it has one itself, which is checked.
    fn checksum_seed(&self) -> Result<Option<Crc32c>> {
        if self.s_feature_ro_compat.get() & ro_compat::METADATA_CSUM == 0 {
            return Ok(None);
        }
        if self.s_checksum.get() != self.sum() {
            return Err(sums::mismatch("the superblock"));
        }
        Ok(Some(match self.s_feature_incompat.get() & incompat::CSUM_SEED {
            0 => Crc32c::of_file_system(Uuid(self.s_uuid)),
            _ => Crc32c::of_seed(self.s_checksum_seed.get()),
        }))
    }
}

fn outside() -> Error {
    corrupt("a block lies outside of the file system")
}

/// A group descriptor of any size.
pub(super) fn descriptor(bytes: &[u8]) -> GroupDescriptor {
    let mut descriptor = GroupDescriptor::new_zeroed();
    // As far as both reach.
    descriptor.as_mut_bytes().iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    descriptor
}

impl GroupDescriptor {
    /// The first block of its inodes.
    pub(super) fn inode_table(&self) -> u64 {
        u64::from(self.bg_inode_table_hi.get()) << 32 | u64::from(self.bg_inode_table_lo.get())
    }
}
