//! Checksums of blocks and inodes of a file system that is there: where each lies, and what it should be. What the
//! bytes are is not trusted.
//!
//! Each begins with the seed of the file system and, for what belongs to an inode, with that inode
//! ([checksums.rst](https://docs.kernel.org/filesystems/ext4/checksums.html)).

use std::mem::{offset_of, size_of};

use zerocopy::FromBytes;
use zerocopy::little_endian::U16;

use super::csum::Crc32c;
use super::format::{
    DIR_TAIL_FILE_TYPE, DirEntryTail, DxEntry, DxTail, ExtentHeader, ExtentLeaf, GroupDescriptor, Inode,
    XATTR_MAGIC, XattrHeader,
};
use super::volume::{InodeOnDisk, corrupt};
use crate::error::{Error, Result};

/// Where the entries of a hash tree begin: in its root behind `.`, `..` and their like, else behind one entry.
const ROOT_HEAD: usize = 32;
const NODE_HEAD: usize = 8;

/// The place of a checksum in a block, and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum {
    at: usize,
    value: u32,
}

impl Sum {
    /// Puts it into the block.
    pub(super) fn put(self, bytes: &mut [u8]) -> Result<()> {
        let slot = bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut());
        *slot.ok_or_else(outside)? = self.value.to_le_bytes();
        Ok(())
    }

    fn is_in(self, bytes: &[u8]) -> bool {
        bytes.get(self.at..).and_then(|rest| rest.first_chunk()) == Some(&self.value.to_le_bytes())
    }
}

/// What to do where a checksum does not match.
pub(super) const REPAIR: &str = "repair it first: e2fsck -f";

/// That a block of `what` has its checksum, if file systems of its kind have some.
pub(super) fn check(bytes: &[u8], sum: Option<Sum>, what: &str) -> Result<()> {
    match sum {
        Some(sum) if !sum.is_in(bytes) => Err(mismatch(what)),
        _ => Ok(()),
    }
}

/// The checksum of `what` is another than it should be.
pub(super) fn mismatch(what: &str) -> Error {
    corrupt(format!("the checksum of {what} does not match")).with_hint(REPAIR)
}

fn outside() -> Error {
    corrupt("a checksum lies outside of its block")
}

/// Of a node of an extent tree that lies in a block: behind the entries there is room for.
pub(super) fn extent_node(bytes: &[u8], inode: Crc32c) -> Result<Sum> {
    let (header, _) = ExtentHeader::read_from_prefix(bytes).map_err(|_| outside())?;
    let at = size_of::<ExtentHeader>() + usize::from(header.eh_max.get()) * size_of::<ExtentLeaf>();
    Ok(Sum { at, value: inode.with(bytes.get(..at).ok_or_else(outside)?).value() })
}

/// Of a block of attributes: it covers the place of the block, for several inodes may share it.
pub(super) fn attributes(bytes: &[u8], block: u64, file_system: Crc32c) -> Result<Sum> {
    let at = offset_of!(XattrHeader, h_checksum);
    if !bytes.starts_with(&XATTR_MAGIC.to_le_bytes()) {
        return Err(corrupt("a block of extended attributes has no header"));
    }
    let (before, after) = bytes.split_at_checked(at).ok_or_else(outside)?;
    let sum = file_system.with(&block.to_le_bytes()).with(before).with(&[0; 4]);
    Ok(Sum { at, value: sum.with(after.get(4..).ok_or_else(outside)?).value() })
}

/// Of a block of a directory, which `is_root` of a hash tree or not.
pub(super) fn directory_block(bytes: &[u8], is_root: bool, inode: Crc32c) -> Result<Sum> {
    match (is_root, is_node(bytes)) {
        (true, _) => node(bytes, ROOT_HEAD, inode),
        (false, true) => node(bytes, NODE_HEAD, inode),
        (false, false) => leaf(bytes, inode),
    }
}

/// An inner node looks like one unused entry as long as the block. A length of 64 KiB has no room in 16 bits.
fn is_node(bytes: &[u8]) -> bool {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    bytes.starts_with(&[0; 4]) && bytes.get(4..6) == Some(&len.to_le_bytes())
}

/// Of the entries of a node of a hash tree that are there, and of itself as zero.
fn node(bytes: &[u8], head: usize, inode: Crc32c) -> Result<Sum> {
    let broken = || corrupt("a hash tree is broken");
    let counts = bytes.get(head..).and_then(|rest| <[U16; 2]>::read_from_prefix(rest).ok());
    let (counts, _) = counts.ok_or_else(broken)?;
    let [limit, count] = counts.map(|count| head + usize::from(count.get()) * size_of::<DxEntry>());
    let covered = bytes.get(..count).ok_or_else(broken)?;
    let tail: &[u8; size_of::<DxTail>()] =
        bytes.get(limit..).and_then(|rest| rest.first_chunk()).ok_or_else(broken)?;
    let at = limit + offset_of!(DxTail, dt_checksum);
    Ok(Sum { at, value: inode.with(covered).with(&tail[..4]).with(&[0; 4]).value() })
}

fn leaf(bytes: &[u8], inode: Crc32c) -> Result<Sum> {
    let missing = || corrupt("a directory has no checksum");
    let (entries, tail) = bytes.split_last_chunk::<{ size_of::<DirEntryTail>() }>().ok_or_else(missing)?;
    let tail: DirEntryTail = zerocopy::transmute!(*tail);
    match usize::from(tail.det_rec_len.get()) == size_of::<DirEntryTail>()
        && tail.det_reserved_ft == DIR_TAIL_FILE_TYPE
    {
        true => {
            let at = entries.len() + offset_of!(DirEntryTail, det_checksum);
            Ok(Sum { at, value: inode.with(entries).value() })
        }
        false => Err(missing()),
    }
}

/// Puts the checksum of an inode into its bytes. Of what is too small for the upper half there is only the lower one.
pub(super) fn seal_inode(inode: &InodeOnDisk, bytes: &mut [u8], file_system: Crc32c) {
    let (low, high) = (offset_of!(Inode, i_checksum_lo), offset_of!(Inode, i_checksum_hi));
    let has_high = inode.extra_size() >= high + 2 - offset_of!(Inode, i_extra_isize);
    let places = [Some(low), has_high.then_some(high)];
    put_halves(bytes, places, 0);
    let sum = file_system.for_generation(inode.ino(), inode.fields().i_generation.get()).with(bytes).value();
    put_halves(bytes, places, sum);
}

/// The lower half of a checksum at the first place, the upper one at the second.
fn put_halves(bytes: &mut [u8], places: [Option<usize>; 2], sum: u32) {
    let [a, b, c, d] = sum.to_le_bytes();
    for (place, half) in places.into_iter().zip([[a, b], [c, d]]) {
        let slot = place.and_then(|at| bytes.get_mut(at..)).and_then(|rest| rest.first_chunk_mut());
        slot.into_iter().for_each(|slot| *slot = half);
    }
}

/// Of a group descriptor in its bytes, which may be more or fewer than the fields.
pub(super) fn descriptor(bytes: &[u8], group: u32, file_system: Crc32c) -> u16 {
    let at = offset_of!(GroupDescriptor, bg_checksum);
    let (before, after) = bytes.split_at(at.min(bytes.len()));
    let sum = file_system.with(&group.to_le_bytes()).with(before).with(&[0; 2]);
    sum.with(after.get(2..).unwrap_or_default()).value() as u16
}
