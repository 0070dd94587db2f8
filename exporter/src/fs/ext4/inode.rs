//! From an inode of the tree to an inode on disk.

use zerocopy::FromZeros;
use zerocopy::little_endian::{U16, U32};

use super::extent_tree::ExtentTree;
use super::format::{BLOCK_SIZE, EXTENTS_FL, EXTRA_ISIZE, INDEX_FL, Inode, LINK_MAX};
use super::xattr;
use crate::fs::mode;
use crate::tree::{self, Device, InodeKind, Time};

/// A target shorter than this lies in `i_block`.
const FAST_SYMLINK_MAX: usize = 60;
/// What `i_mtime` and its two bits in `i_mtime_extra` can hold, in seconds since 1970.
const TIME_MIN: i64 = i32::MIN as i64;
const TIME_MAX: i64 = TIME_MIN + (1 << 34) - 1;

/// Where an inode's blocks lie.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    pub(super) tree: ExtentTree,
    /// The block of extended attributes; 0 if there is none.
    pub(super) xattrs: u32,
}

/// A file of the file system's own (journal, `lost+found`): type and permissions, links and times; as long as its blocks.
pub(super) fn own(mode: u16, links: u16, time: Time, tree: &ExtentTree) -> Inode {
    let mut inode = Inode::new_zeroed();
    inode.i_mode = U16::new(mode);
    inode.i_links_count = U16::new(links);
    set_times(&mut inode, time);
    let blocks: u64 = tree.runs.iter().map(|run| u64::from(run.len)).sum();
    set_size(&mut inode, blocks * BLOCK_SIZE as u64);
    set_blocks(&mut inode, tree, 0);
    set_extents(&mut inode, tree);
    inode
}

/// An inode of the tree; `links` are counted, `directory_blocks` is a directory's size.
pub(super) fn from_tree(from: &tree::Inode, links: u32, directory_blocks: u32, blocks: &Blocks) -> Inode {
    let mut inode = Inode::new_zeroed();
    let meta = &from.meta;
    inode.i_mode = U16::new(mode::file_type(&from.kind) | meta.permissions & 0o7777);
    inode.i_uid = U16::new(meta.uid as u16);
    inode.i_uid_high = U16::new((meta.uid >> 16) as u16);
    inode.i_gid = U16::new(meta.gid as u16);
    inode.i_gid_high = U16::new((meta.gid >> 16) as u16);
    // Only directories can have more: 1 then says "not counted" (`dir_nlink`).
    inode.i_links_count = U16::new(if links > LINK_MAX { 1 } else { links as u16 });
    set_times(&mut inode, meta.mtime);
    set_blocks(&mut inode, &blocks.tree, blocks.xattrs);
    inode.i_file_acl_lo = U32::new(blocks.xattrs);
    let attributes = xattr::Placed::new(&meta.xattrs).expect("the census has refused what doesn't fit");
    attributes.render_inode(&mut inode.xattrs);
    match &from.kind {
        InodeKind::Directory(_) => {
            set_size(&mut inode, u64::from(directory_blocks) * BLOCK_SIZE as u64);
            set_extents(&mut inode, &blocks.tree);
            if directory_blocks > 1 {
                inode.i_flags |= U32::new(INDEX_FL);
            }
        }
        InodeKind::File(content) => {
            set_size(&mut inode, content.len());
            set_extents(&mut inode, &blocks.tree);
        }
        InodeKind::Symlink(target) => {
            set_size(&mut inode, target.len() as u64);
            if is_fast_symlink(target) {
                inode.i_block[..target.len()].copy_from_slice(target);
            } else {
                set_extents(&mut inode, &blocks.tree);
            }
        }
        &InodeKind::CharDevice(device) | &InodeKind::BlockDevice(device) => {
            let words = encode_device(device).expect("the census has refused larger numbers");
            inode.i_block[..4].copy_from_slice(&words[0].to_le_bytes());
            inode.i_block[4..8].copy_from_slice(&words[1].to_le_bytes());
        }
        InodeKind::Fifo | InodeKind::Socket => {}
    }
    inode
}

/// Whether the target of a symbolic link lies in the inode.
pub(super) fn is_fast_symlink(target: &[u8]) -> bool {
    target.len() < FAST_SYMLINK_MAX
}

/// A device number as the first two words of `i_block`: the old form in the first if it is small, else
/// the new form in the second. `None` if it is larger than 12 and 20 bits.
pub(super) fn encode_device(Device { major, minor }: Device) -> Option<[u32; 2]> {
    match (major, minor) {
        (0..0x100, 0..0x100) => Some([major << 8 | minor, 0]),
        _ => Some([0, mode::encode_device(Device { major, minor })?]),
    }
}

fn set_size(inode: &mut Inode, size: u64) {
    inode.i_size_lo = U32::new(size as u32);
    inode.i_size_high = U32::new((size >> 32) as u32);
}

fn set_extents(inode: &mut Inode, tree: &ExtentTree) {
    inode.i_flags |= U32::new(EXTENTS_FL);
    inode.i_block = tree.root();
}

fn set_blocks(inode: &mut Inode, tree: &ExtentTree, xattrs: u32) {
    let data: u64 = tree.runs.iter().map(|run| u64::from(run.len)).sum();
    let all = data + tree.blocks.len() as u64 + u64::from(xattrs != 0);
    // In units of 512 bytes: 2^32 blocks need 35 of the 48 bits, so `EXT4_HUGE_FILE_FL` never does.
    let sectors = all * (BLOCK_SIZE as u64 / 512);
    inode.i_blocks_lo = U32::new(sectors as u32);
    inode.i_blocks_high = U16::new((sectors >> 32) as u16);
}

/// All four times; what ext4 cannot hold becomes the nearest that it can, as in the kernel.
fn set_times(inode: &mut Inode, time: Time) {
    let (seconds, extra) = encode_time(time);
    inode.i_extra_isize = U16::new(EXTRA_ISIZE);
    for field in [&mut inode.i_atime, &mut inode.i_ctime, &mut inode.i_mtime, &mut inode.i_crtime] {
        *field = U32::new(seconds);
    }
    for field in [
        &mut inode.i_atime_extra,
        &mut inode.i_ctime_extra,
        &mut inode.i_mtime_extra,
        &mut inode.i_crtime_extra,
    ] {
        *field = U32::new(extra);
    }
}

/// The low 32 bits of the seconds, which are signed, and the extra word: nanoseconds above two bits that
/// count how many times 2^32 seconds are to be added.
fn encode_time(time: Time) -> (u32, u32) {
    let seconds = time.seconds.clamp(TIME_MIN, TIME_MAX);
    let epoch = (seconds - TIME_MIN) >> 32;
    (seconds as u32, time.nanoseconds.min(999_999_999) << 2 | epoch as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_reach_from_1901_to_2446() {
        // The table in inodes.rst, "Inode Timestamps".
        for (seconds, low, epoch) in [
            (0, 0, 0),
            (-1, 0xffff_ffff, 0),
            (-0x8000_0000, 0x8000_0000, 0),
            (0x7fff_ffff, 0x7fff_ffff, 0),
            (0x8000_0000, 0x8000_0000, 1),
            (0x1_7fff_ffff, 0x7fff_ffff, 1),
            (0x1_8000_0000, 0x8000_0000, 2),
            (0x3_7fff_ffff, 0x7fff_ffff, 3),
            (i64::MAX, 0x7fff_ffff, 3),
            (i64::MIN, 0x8000_0000, 0),
        ] {
            assert_eq!(encode_time(Time { seconds, nanoseconds: 5 }), (low, 5 << 2 | epoch), "{seconds}");
        }
    }

    #[test]
    fn device_numbers_have_an_old_and_a_new_form() {
        let encode = |major, minor| encode_device(Device { major, minor });
        assert_eq!(encode(8, 1), Some([0x0801, 0]));
        assert_eq!(encode(259, 0x12345), Some([0, 0x1231_0345]));
        assert_eq!(encode(4096, 0), None);
        assert_eq!(encode(0, 1 << 20), None);
    }
}
