//! Another UUID for a file system that is there.
//!
//! The checksum of every structure begins with the UUID, so all are made anew: of group descriptors, bitmaps,
//! inodes, directories, extent trees and blocks of attributes. The journal has a UUID of its own, and nothing in
//! it counts after a clean end. [`metadata_csum_seed`][seed] would keep the sums as they are, but older GRUBs do
//! not read it.
//!
//! [seed]: https://docs.kernel.org/filesystems/ext4/checksums.html

use std::mem::{offset_of, size_of};
use std::ops::Range;

use zerocopy::{FromBytes, IntoBytes};

use super::csum::Crc32c;
use super::format::{
    BG_BLOCK_UNINIT, BG_INODE_UNINIT, CLEANLY_UNMOUNTED, DIR_TAIL_FILE_TYPE, DirEntryTail, DxEntry, DxTail,
    EXTENT_MAGIC, ExtentHeader, ExtentIndex, ExtentLeaf, FIRST_INO, GroupDescriptor, INDEX_FL, Ino, Inode,
    SUPERBLOCK_OFFSET, Superblock, XATTR_MAGIC, XattrHeader, compat, incompat, ro_compat,
};
use super::volume::{InodeOnDisk, Volume, corrupt, descriptor};
use crate::clone::patches::Patches;
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use crate::seed::Uuid;

/// Where the entries of a hash tree begin: in its root behind `.`, `..` and their like, else behind one entry.
const ROOT_HEAD: usize = 32;
const NODE_HEAD: usize = 8;
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
pub(crate) fn rename<V: ReadAt + ?Sized>(volume: &V, uuid: Uuid) -> Result<Renamed> {
    let superblock = Volume::open(volume)?.superblock().clone();
    check(&superblock)?;
    // With the UUID that it has nothing changes.
    let own = Renaming::plan(volume, Uuid(superblock.s_uuid))?;
    if !own.patches.are_in(volume)? {
        return Err(corrupt("the checksums do not match").with_hint("repair it first: e2fsck -f"));
    }
    let mut renaming = Renaming::plan(volume, uuid)?;
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
    if superblock.s_feature_compat.get() & !compat::SET != 0
        || superblock.s_feature_ro_compat.get() & !ro_compat::SET != 0
    {
        return refuse(
            "the file system has features that can't be given another UUID here",
            "copy the disk as it is, and run tune2fs -U random on the copy",
        );
    }
    Ok(())
}

struct Renaming<'a, V: ?Sized> {
    volume: Volume<'a, V>,
    /// What checksums begin with.
    sum: Crc32c,
    patches: Patches,
    /// Those of the copies of superblock and descriptors, which may be of another time.
    copies: Patches,
    /// Blocks in use, in the order they were met.
    used: Vec<Range<u64>>,
}

impl<'a, V: ReadAt + ?Sized> Renaming<'a, V> {
    fn plan(volume: &'a V, uuid: Uuid) -> Result<Self> {
        let (patches, copies) = Default::default();
        let (sum, volume) = (Crc32c::of_file_system(uuid), Volume::open(volume)?);
        let mut renaming = Self { volume, sum, patches, copies, used: Vec::new() };
        let superblock = renaming.volume.superblock();
        let has_sums = superblock.s_feature_ro_compat.get() & ro_compat::METADATA_CSUM != 0;
        let seed_stays = superblock.s_feature_incompat.get() & incompat::CSUM_SEED != 0;
        renaming.superblocks(uuid, has_sums)?;
        renaming.groups(has_sums && !seed_stays)?;
        Ok(renaming)
    }

    /// Each copy keeps what else it says.
    fn superblocks(&mut self, uuid: Uuid, has_sums: bool) -> Result<()> {
        for group in self.volume.superblock_groups() {
            let block = self.volume.first_block(group);
            let place = if group == 0 { SUPERBLOCK_OFFSET } else { block * self.volume.block_size() };
            let mut bytes = [0; size_of::<Superblock>()];
            self.volume.read_at(place, &mut bytes)?;
            let mut superblock: Superblock = zerocopy::transmute!(bytes);
            superblock.s_uuid = uuid.0;
            if has_sums {
                superblock = superblock.seal(group);
            }
            let patches = if group == 0 { &mut self.patches } else { &mut self.copies };
            patches.put(place, superblock.as_bytes().to_vec());
            self.used.push(block..block + 1);
        }
        Ok(())
    }

    /// The groups, a block of descriptors at a time.
    fn groups(&mut self, with_sums: bool) -> Result<()> {
        let per_block = self.volume.descriptors_per_block();
        let size = self.volume.descriptor_size();
        let copies = self.volume.superblock_groups();
        for index in 0..self.volume.groups().div_ceil(per_block) {
            let places = self.volume.descriptor_blocks(index, &copies);
            let mut block = vec![0; self.volume.block_size() as usize];
            self.volume.read_block(places[0], &mut block)?;
            let groups = index * per_block..self.volume.groups().min((index + 1).saturating_mul(per_block));
            for (group, bytes) in groups.zip(block.chunks_exact_mut(size)) {
                self.group(group, bytes, with_sums)?;
            }
            for (number, place) in places.into_iter().enumerate() {
                let patches = if number == 0 { &mut self.patches } else { &mut self.copies };
                patches.put(place * self.volume.block_size(), block.clone());
                self.used.push(place..place + 1);
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
            self.use_blocks(group, &bitmap);
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
            descriptor.bg_checksum = 0.into();
            let len = bytes.len();
            bytes[..len.min(size_of::<GroupDescriptor>())]
                .copy_from_slice(&descriptor.as_bytes()[..len.min(size_of::<GroupDescriptor>())]);
            let sum = self.sum.with(&group.to_le_bytes()).with(bytes).value() as u16;
            bytes[offset_of!(GroupDescriptor, bg_checksum)..][..2].copy_from_slice(&sum.to_le_bytes());
        }
        Ok(())
    }

    /// A bitmap, which is in use itself.
    fn bitmap(&mut self, block: u64) -> Result<Vec<u8>> {
        let mut bitmap = vec![0; self.volume.block_size() as usize];
        self.volume.read_block(block, &mut bitmap)?;
        self.used.push(block..block + 1);
        Ok(bitmap)
    }

    /// The sum of the bits that stand for something.
    fn bitmap_sum(&self, bitmap: &[u8], bits: u32) -> Result<u32> {
        let covered =
            bitmap.get(..bits as usize / 8).ok_or_else(|| corrupt("a bitmap is larger than a block"))?;
        Ok(self.sum.with(covered).value())
    }

    fn use_blocks(&mut self, group: u32, bitmap: &[u8]) {
        let first = self.volume.first_block(group);
        let per_group = u64::from(self.volume.superblock().s_blocks_per_group.get());
        let end = self.volume.blocks().min(first + per_group) - first;
        let is_used = |block: u64| {
            bitmap.get(block as usize / 8).is_some_and(|byte| byte >> (block % 8) & 1 == 1) && block < end
        };
        let mut block = 0;
        while block < end {
            let start = block;
            while is_used(block) {
                block += 1;
            }
            if start < block {
                self.used.push(first + start..first + block);
            }
            block += 1;
        }
    }

    /// The inodes of a group as far as there ever were some.
    fn inodes(&mut self, group: u32, descriptor: &GroupDescriptor, with_sums: bool) -> Result<()> {
        let per_group = self.volume.superblock().s_inodes_per_group.get();
        let (size, block_size) = (self.volume.inode_size(), self.volume.block_size());
        let count = per_group.saturating_sub(descriptor.unused_inodes());
        let (table, len) = (descriptor.inode_table(), u64::from(count) * size as u64);
        self.used.push(table..table.saturating_add(len.div_ceil(block_size)));
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
            let first = u64::from(group) * u64::from(per_group) + start / size as u64 + 1;
            for (ino, bytes) in (first..).zip(bytes.chunks_exact_mut(size)) {
                let ino = u32::try_from(ino).map_err(|_| corrupt("there are too many inodes"))?;
                self.inode(Ino(ino), bytes)?;
            }
            self.patches.put(place + start, bytes);
        }
        Ok(())
    }

    /// An inode, which may be one that is no more.
    fn inode(&mut self, ino: Ino, bytes: &mut [u8]) -> Result<()> {
        // What is all zero never was an inode, and has no sum.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let inode = InodeOnDisk::new(bytes.to_vec());
        let sum = self.sum.for_generation(ino, inode.fields().i_generation.get());
        let (low, high) = (offset_of!(Inode, i_checksum_lo), offset_of!(Inode, i_checksum_hi));
        // Of what is too small for the upper half there is only the lower one.
        let has_high = inode.extra_size() >= high + 2 - offset_of!(Inode, i_extra_isize);
        bytes[low..low + 2].fill(0);
        if has_high {
            bytes[high..high + 2].fill(0);
        }
        let [a, b, c, d] = sum.with(bytes).value().to_le_bytes();
        bytes[low..low + 2].copy_from_slice(&[a, b]);
        if has_high {
            bytes[high..high + 2].copy_from_slice(&[c, d]);
        }
        match inode.links() > 0 || ino.0 < FIRST_INO {
            true => self.blocks_of(&inode, sum),
            false => Ok(()),
        }
    }

    /// The blocks of an inode that have sums.
    fn blocks_of(&mut self, inode: &InodeOnDisk, sum: Crc32c) -> Result<()> {
        let fields = inode.fields();
        let attributes =
            u64::from(fields.i_file_acl_high.get()) << 32 | u64::from(fields.i_file_acl_lo.get());
        if attributes != 0 {
            self.attributes(attributes)?;
        }
        if inode.has_extents() {
            self.extent_nodes(&fields.i_block, None, sum)?;
        }
        if inode.is_directory() {
            let is_indexed = fields.i_flags.get() & INDEX_FL != 0;
            for extent in self.volume.extents(inode)?.iter().filter(|extent| extent.is_written) {
                for number in 0..extent.blocks {
                    let is_root = is_indexed && extent.logical + number == 0;
                    self.directory_block(extent.physical + number, is_root, sum)?;
                }
            }
        }
        Ok(())
    }

    /// The sum of a block of attributes covers its place, for several inodes may share it.
    fn attributes(&mut self, block: u64) -> Result<()> {
        let at = offset_of!(XattrHeader, h_checksum);
        self.seal(block, |bytes, file_system| {
            if bytes[..4] != XATTR_MAGIC.to_le_bytes() {
                return Err(corrupt("a block of attributes is none"));
            }
            bytes[at..at + 4].fill(0);
            Ok((at, file_system.with(&block.to_le_bytes()).with(bytes).value()))
        })
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
            let mut block = vec![0; self.volume.block_size() as usize];
            self.volume.read_block(place, &mut block)?;
            self.extent_nodes(&block, Some(own - 1), sum)?;
            self.seal(place, |bytes, _| {
                let (header, _) = ExtentHeader::read_from_prefix(bytes).map_err(|_| broken())?;
                let at =
                    size_of::<ExtentHeader>() + usize::from(header.eh_max.get()) * size_of::<ExtentLeaf>();
                Ok((at, sum.with(bytes.get(..at).ok_or_else(broken)?).value()))
            })?;
        }
        Ok(())
    }

    fn directory_block(&mut self, block: u64, is_root: bool, sum: Crc32c) -> Result<()> {
        let block_size = self.volume.block_size() as usize;
        self.seal(block, |bytes, _| {
            // An inner node looks like one unused entry as long as the block.
            let is_node = bytes[..4] == [0; 4] && bytes[4..6] == (block_size as u16).to_le_bytes();
            match (is_root, is_node) {
                (true, _) => node_sum(bytes, ROOT_HEAD, sum),
                (false, true) => node_sum(bytes, NODE_HEAD, sum),
                (false, false) => leaf_sum(bytes, sum),
            }
        })
    }

    /// Put a new sum into a block: `make` says where, and which.
    fn seal(
        &mut self,
        block: u64,
        make: impl FnOnce(&mut [u8], Crc32c) -> Result<(usize, u32)>,
    ) -> Result<()> {
        let mut bytes = vec![0; self.volume.block_size() as usize];
        self.volume.read_block(block, &mut bytes)?;
        let (at, sum) = make(&mut bytes, self.sum)?;
        let slot =
            bytes.get_mut(at..at + 4).ok_or_else(|| corrupt("a checksum lies outside of its block"))?;
        slot.copy_from_slice(&sum.to_le_bytes());
        self.patches.put(block * self.volume.block_size(), bytes);
        Ok(())
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

/// Where the sum of a node of a hash tree lies, and the sum: of the entries that are there, and of itself as zero.
fn node_sum(bytes: &[u8], head: usize, sum: Crc32c) -> Result<(usize, u32)> {
    let broken = || corrupt("a hash tree is broken");
    let (counts, _) =
        <[zerocopy::little_endian::U16; 2]>::read_from_prefix(&bytes[head..]).map_err(|_| broken())?;
    let [limit, count] = counts.map(|count| head + usize::from(count.get()) * size_of::<DxEntry>());
    let covered = bytes.get(..count).ok_or_else(broken)?;
    let tail = bytes.get(limit..limit + size_of::<DxTail>()).ok_or_else(broken)?;
    let at = limit + offset_of!(DxTail, dt_checksum);
    Ok((at, sum.with(covered).with(&tail[..4]).with(&[0; 4]).value()))
}

fn leaf_sum(bytes: &[u8], sum: Crc32c) -> Result<(usize, u32)> {
    let end = bytes.len() - size_of::<DirEntryTail>();
    let tail =
        DirEntryTail::read_from_bytes(&bytes[end..]).map_err(|_| corrupt("a directory ends too early"))?;
    if usize::from(tail.det_rec_len.get()) != size_of::<DirEntryTail>()
        || tail.det_reserved_ft != DIR_TAIL_FILE_TYPE
    {
        return Err(corrupt("a directory has no checksum"));
    }
    Ok((bytes.len() - 4, sum.with(&bytes[..end]).value()))
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
