//! Another UUID for a file system that is there.
//!
//! The checksum of every structure begins with the UUID, so all are made anew: of group descriptors, bitmaps,
//! inodes, directories, extent trees and blocks of attributes. The journal has a UUID of its own, and nothing in
//! it counts after a clean end. [`metadata_csum_seed`][seed] would keep the sums as they are, but older GRUBs do
//! not read it.
//!
//! [seed]: https://docs.kernel.org/filesystems/ext4/checksums.html

use std::mem::size_of;
use std::ops::Range;

use zerocopy::{FromBytes, IntoBytes};

use super::csum::Crc32c;
use super::format::{
    BG_BLOCK_UNINIT, BG_INODE_UNINIT, CLEANLY_UNMOUNTED, EXTENT_MAGIC, ExtentHeader, ExtentIndex, FIRST_INO,
    GroupDescriptor, Ino, SUPERBLOCK_OFFSET, Superblock, compat, incompat, ro_compat,
};
use super::sums::{self, Sum};
use super::volume::{InodeOnDisk, Volume, corrupt, descriptor};
use crate::error::{Error, Kind, Result};
use crate::fs::DiskBudget;
use crate::patches::Patches;
use crate::read_at::ReadAt;
use crate::seed::Uuid;

/// The deepest extent tree (`EXT4_MAX_EXTENT_DEPTH`).
const DEPTH_MAX: u16 = 5;

/// A file system with another UUID, as what differs from the one that is there.
#[derive(Debug)]
pub(crate) struct Renamed {
    pub(crate) patches: Patches,
    /// The bytes that are in use, in order.
    pub(crate) used: Vec<Range<u64>>,
}

/// Plan the file system on `volume` with another UUID.
///
/// # Errors
/// `Unsupported` if it was not unmounted, was found damaged, or has a feature whose checksums are not known;
/// `Corrupt` if a checksum does not match: the new one would hide it.
pub(crate) fn rename<V: ReadAt + ?Sized>(volume: &V, uuid: Uuid, budget: &DiskBudget) -> Result<Renamed> {
    let volume = Volume::open(volume, budget)?;
    check(volume.superblock())?;
    // With the UUID that it has nothing changes.
    let own = Renaming::plan(&volume, Uuid(volume.superblock().s_uuid))?;
    if !own.patches.is_empty() {
        return Err(corrupt("the checksums do not match").with_hint(sums::REPAIR));
    }
    let mut renaming = Renaming::plan(&volume, uuid)?;
    let used = renaming.used();
    renaming.patches.add(0, renaming.copies);
    Ok(Renamed { used, patches: renaming.patches })
}

fn check(superblock: &Superblock) -> Result<()> {
    let refuse =
        |message: &str, hint: &str| Err(Error::new(Kind::Unsupported, "ext4", message).with_hint(hint));
    if superblock.s_state.get() != CLEANLY_UNMOUNTED {
        return refuse("the file system is marked as damaged", "repair it first: e2fsck -f");
    }
    if superblock.s_last_orphan.get() != 0 {
        return refuse("files that were deleted are still to be removed", "mount it once, or run e2fsck -f");
    }
    let incompat = superblock.s_feature_incompat.get();
    if superblock.s_feature_compat.get() & !compat::SET != 0
        || incompat & !incompat::RENAMABLE != 0
        || incompat & incompat::EXTENTS == 0
        || superblock.s_feature_ro_compat.get() & !ro_compat::SET != 0
    {
        return refuse(
            "the file system has features that cannot be given another UUID here",
            "copy the disk as it is, and run tune2fs -U random on the copy",
        );
    }
    Ok(())
}

struct Renaming<'a, V: ?Sized> {
    volume: &'a Volume<'a, V>,
    /// What checksums begin with.
    sum: Crc32c,
    patches: Patches,
    /// Those of the copies of superblock and descriptors, which may be of another time.
    copies: Patches,
    /// Blocks in use, in the order they were met.
    used: Vec<Range<u64>>,
}

impl<'a, V: ReadAt + ?Sized> Renaming<'a, V> {
    fn plan(volume: &'a Volume<'a, V>, uuid: Uuid) -> Result<Self> {
        // Each group is looked at, whether anything is in it or not.
        volume.budget().entries(volume.groups().into())?;
        let (patches, copies) = Default::default();
        let sum = Crc32c::of_file_system(uuid);
        let mut renaming = Self { volume, sum, patches, copies, used: Vec::new() };
        let superblock = renaming.volume.superblock();
        let has_sums = superblock.s_feature_ro_compat.get() & ro_compat::METADATA_CSUM != 0;
        let seed_stays = superblock.s_feature_incompat.get() & incompat::CSUM_SEED != 0;
        let groups: Vec<_> = renaming.volume.superblock_groups().collect();
        renaming.superblocks(&groups, uuid, has_sums)?;
        renaming.groups(&groups, has_sums && !seed_stays)?;
        Ok(renaming)
    }

    /// Each copy keeps what else it says.
    fn superblocks(&mut self, groups: &[u32], uuid: Uuid, has_sums: bool) -> Result<()> {
        for &group in groups {
            let block = self.volume.first_block(group);
            let place = if group == 0 { SUPERBLOCK_OFFSET } else { block * self.volume.block_size() };
            let mut bytes = [0; size_of::<Superblock>()];
            self.volume.read_at(place, &mut bytes)?;
            let mut superblock: Superblock = zerocopy::transmute!(bytes);
            superblock.s_uuid = uuid.0;
            if has_sums {
                superblock = superblock.seal(group);
            }
            self.change(place, &bytes, superblock.as_bytes(), group > 0)?;
            self.use_range(block..block + 1)?;
        }
        Ok(())
    }

    /// The groups, a block of descriptors at a time; `copies` have a superblock.
    fn groups(&mut self, copies: &[u32], with_sums: bool) -> Result<()> {
        let (per_block, groups) = (self.volume.descriptors_per_block(), self.volume.groups());
        let size = self.volume.descriptor_size();
        for index in 0..groups.div_ceil(per_block) {
            let mut block = self.volume.block(self.volume.descriptor_block(index))?;
            let first = index.saturating_mul(per_block);
            for (group, bytes) in (first..groups).zip(block.chunks_exact_mut(size)) {
                self.group(group, bytes, with_sums)?;
            }
            for (number, place) in self.volume.descriptor_blocks(index, copies).into_iter().enumerate() {
                let old = self.volume.block(place)?;
                self.change(place * self.volume.block_size(), &old, &block, number > 0)?;
                self.use_range(place..place + 1)?;
            }
        }
        Ok(())
    }

    /// One group, by the bytes of its descriptor.
    fn group(&mut self, group: u32, bytes: &mut [u8], with_sums: bool) -> Result<()> {
        let mut descriptor = descriptor(bytes);
        let flags = descriptor.bg_flags.get();
        if flags & BG_BLOCK_UNINIT == 0 {
            let bitmap = self.bitmap(descriptor.block_bitmap())?;
            self.use_blocks(group, &bitmap)?;
            let bits = self.volume.superblock().s_clusters_per_group.get();
            descriptor.set_block_bitmap_sum(self.bitmap_sum(&bitmap, bits)?);
        }
        if flags & BG_INODE_UNINIT == 0 {
            let bitmap = self.bitmap(descriptor.inode_bitmap())?;
            let bits = self.volume.superblock().s_inodes_per_group.get();
            descriptor.set_inode_bitmap_sum(self.bitmap_sum(&bitmap, bits)?);
            self.inodes(group, &descriptor, with_sums)?;
        }
        if with_sums {
            put(&descriptor, bytes);
            descriptor.bg_checksum = sums::descriptor(bytes, group, self.sum).into();
            put(&descriptor, bytes);
        }
        Ok(())
    }

    /// A bitmap, which is in use itself.
    fn bitmap(&mut self, block: u64) -> Result<Vec<u8>> {
        let bitmap = self.volume.block(block)?;
        self.use_range(block..block + 1)?;
        Ok(bitmap)
    }

    /// These blocks are in use.
    fn use_range(&mut self, blocks: Range<u64>) -> Result<()> {
        match self.used.last_mut() {
            Some(last) if last.end == blocks.start => last.end = blocks.end,
            _ => {
                self.volume.budget().keep(size_of::<Range<u64>>() as u64)?;
                self.used.push(blocks);
            }
        }
        Ok(())
    }

    /// These bytes are to be others.
    fn change(&mut self, place: u64, old: &[u8], new: &[u8], is_copy: bool) -> Result<()> {
        let patches = if is_copy { &mut self.copies } else { &mut self.patches };
        let kept = patches.put_changed(place, old, new);
        self.volume.budget().keep(kept)
    }

    /// The sum of the bits that stand for something.
    fn bitmap_sum(&self, bitmap: &[u8], bits: u32) -> Result<u32> {
        let covered =
            bitmap.get(..bits as usize / 8).ok_or_else(|| corrupt("a bitmap is larger than a block"))?;
        Ok(self.sum.with(covered).value())
    }

    fn use_blocks(&mut self, group: u32, bitmap: &[u8]) -> Result<()> {
        let first = self.volume.first_block(group);
        let per_group = u64::from(self.volume.superblock().s_blocks_per_group.get());
        let count = per_group.min(self.volume.blocks().saturating_sub(first));
        let bits = bitmap.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        for (block, _) in (first..first + count).zip(bits).filter(|(_, is_used)| *is_used) {
            self.use_range(block..block + 1)?;
        }
        Ok(())
    }

    /// The inodes of a group as far as there ever were some.
    fn inodes(&mut self, group: u32, descriptor: &GroupDescriptor, with_sums: bool) -> Result<()> {
        let per_group = self.volume.superblock().s_inodes_per_group.get();
        let (size, block_size) = (self.volume.inode_size(), self.volume.block_size());
        let count = per_group.saturating_sub(descriptor.unused_inodes());
        let (table, len) = (descriptor.inode_table(), u64::from(count) * size as u64);
        self.use_range(table..table.saturating_add(len.div_ceil(block_size)))?;
        if !with_sums {
            return Ok(());
        }
        let place =
            table.checked_mul(block_size).ok_or_else(|| corrupt("inodes lie outside of the file system"))?;
        // By blocks, since the number of inodes is not trusted.
        for start in (0..len).step_by(block_size as usize) {
            let mut bytes = vec![0; (len - start).min(block_size) as usize];
            self.volume.read_at(place + start, &mut bytes)?;
            if bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            let old = bytes.clone();
            let first = u64::from(group) * u64::from(per_group) + start / size as u64 + 1;
            for (ino, bytes) in (first..).zip(bytes.chunks_exact_mut(size)) {
                let ino = u32::try_from(ino).map_err(|_| corrupt("there are too many inodes"))?;
                self.inode(Ino(ino), bytes)?;
            }
            self.change(place + start, &old, &bytes, false)?;
        }
        Ok(())
    }

    /// An inode, which may be one that is no more.
    fn inode(&mut self, ino: Ino, bytes: &mut [u8]) -> Result<()> {
        // What is all zero never was an inode, and has no sum.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let inode = InodeOnDisk::new(ino, bytes.to_vec());
        sums::seal_inode(&inode, bytes, self.sum);
        match inode.links() > 0 || ino.0 < FIRST_INO {
            true => self.blocks_of(&inode),
            false => Ok(()),
        }
    }

    /// The blocks of an inode that have sums.
    fn blocks_of(&mut self, inode: &InodeOnDisk) -> Result<()> {
        let sum = self.sum.for_generation(inode.ino(), inode.fields().i_generation.get());
        if inode.attributes_block() != 0 {
            let (block, file_system) = (inode.attributes_block(), self.sum);
            self.seal(block, |bytes| sums::attributes(bytes, block, file_system))?;
        }
        if inode.has_extents() {
            self.extent_nodes(&inode.fields().i_block, None, sum)?;
        }
        if !inode.is_directory() {
            return Ok(());
        }
        for extent in self.volume.extents(inode) {
            let extent = extent?;
            for number in (0..extent.blocks).filter(|_| extent.is_written) {
                let is_root = inode.is_indexed() && extent.logical + number == 0;
                self.seal(extent.physical + number, |bytes| sums::directory_block(bytes, is_root, sum))?;
            }
        }
        Ok(())
    }

    /// The nodes of an extent tree below this one, which is one less deep than what is above.
    fn extent_nodes(&mut self, node: &[u8], depth: Option<u16>, sum: Crc32c) -> Result<()> {
        let broken = || corrupt("an extent tree is broken");
        let (header, rest) = ExtentHeader::read_from_prefix(node).map_err(|_| broken())?;
        let own = header.eh_depth.get();
        if header.eh_magic.get() != EXTENT_MAGIC || depth.map_or(own > DEPTH_MAX, |depth| own != depth) {
            return Err(broken());
        }
        let entries = if own == 0 { 0 } else { usize::from(header.eh_entries.get()) };
        for bytes in rest.chunks_exact(size_of::<ExtentIndex>()).take(entries) {
            let index = ExtentIndex::read_from_bytes(bytes).map_err(|_| broken())?;
            let place = u64::from(index.ei_leaf_hi.get()) << 32 | u64::from(index.ei_leaf_lo.get());
            let block = self.volume.block(place)?;
            self.extent_nodes(&block, Some(own - 1), sum)?;
            self.seal(place, |bytes| sums::extent_node(bytes, sum))?;
        }
        Ok(())
    }

    /// Put a new sum into a block: `sum` says where, and which.
    fn seal(&mut self, block: u64, sum: impl FnOnce(&[u8]) -> Result<Sum>) -> Result<()> {
        let old = self.volume.block(block)?;
        let mut new = old.clone();
        sum(&old)?.put(&mut new)?;
        self.change(block * self.volume.block_size(), &old, &new, false)
    }

    /// The bytes in use, sorted and apart, none outside.
    fn used(&mut self) -> Vec<Range<u64>> {
        let (size, blocks) = (self.volume.block_size(), self.volume.blocks());
        // What a block of 1 KiB lies behind, for a boot loader.
        self.used.push(0..1);
        self.used.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in &self.used {
            let (start, end) = (range.start.min(blocks), range.end.min(blocks));
            match merged.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ if start < end => merged.push(start..end),
                _ => {}
            }
        }
        merged.into_iter().map(|range| range.start * size..range.end * size).collect()
    }
}

/// The fields of a descriptor, as far as it has room.
fn put(descriptor: &GroupDescriptor, bytes: &mut [u8]) {
    bytes.iter_mut().zip(descriptor.as_bytes()).for_each(|(to, from)| *to = *from);
}

impl GroupDescriptor {
    fn block_bitmap(&self) -> u64 {
        u64::from(self.bg_block_bitmap_hi.get()) << 32 | u64::from(self.bg_block_bitmap_lo.get())
    }

    fn inode_bitmap(&self) -> u64 {
        u64::from(self.bg_inode_bitmap_hi.get()) << 32 | u64::from(self.bg_inode_bitmap_lo.get())
    }

    /// Inodes at the end of the table that were never in use.
    fn unused_inodes(&self) -> u32 {
        u32::from(self.bg_itable_unused_hi.get()) << 16 | u32::from(self.bg_itable_unused_lo.get())
    }

    fn set_block_bitmap_sum(&mut self, sum: u32) {
        self.bg_block_bitmap_csum_lo = (sum as u16).into();
        self.bg_block_bitmap_csum_hi = ((sum >> 16) as u16).into();
    }

    fn set_inode_bitmap_sum(&mut self, sum: u32) {
        self.bg_inode_bitmap_csum_lo = (sum as u16).into();
        self.bg_inode_bitmap_csum_hi = ((sum >> 16) as u16).into();
    }
}
