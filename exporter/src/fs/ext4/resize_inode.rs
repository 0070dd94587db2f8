//! The resize inode (number 7): it owns the blocks that are reserved behind each copy of the group
//! descriptors, so that the file system can grow without moving anything.
//!
//! ```text
//! inode 7, i_block[13] ─▶ double-indirect block ─▶ reserved block r behind the first descriptors
//!                                                  ─▶ reserved block r behind each copy of them
//! ```
//!
//! The first copy's reserved blocks serve as the indirect blocks: each lists its own copies.

use zerocopy::FromZeros;
use zerocopy::little_endian::{U16, U32};

use super::format::{BLOCK_SIZE, BLOCKS_PER_GROUP, DESCRIPTORS_PER_BLOCK, EXTRA_ISIZE, Inode};
use super::geometry::Geometry;

/// Block numbers in an indirect block.
const POINTERS: u32 = (BLOCK_SIZE / 4) as u32;
/// How many times its size a file system can grow to, by mke2fs's rule.
const GROWTH: u32 = 1024;
/// The pointer of `i_block` to the double-indirect block.
const DOUBLE_INDIRECT: usize = 13;

/// Blocks to reserve behind the descriptors of a file system of `blocks` blocks.
pub(super) fn reserved_blocks(blocks: u32, descriptor_blocks: u32) -> u32 {
    let groups = blocks.saturating_mul(GROWTH).div_ceil(BLOCKS_PER_GROUP);
    (groups.div_ceil(DESCRIPTORS_PER_BLOCK) - descriptor_blocks).min(POINTERS)
}

/// The inode, its double-indirect block at `double_indirect`.
pub(super) fn inode(geometry: &Geometry, double_indirect: u32) -> Inode {
    let mut inode = Inode::new_zeroed();
    let copies = geometry.superblock_groups().count() as u64;
    let blocks = 1 + u64::from(geometry.reserved_blocks) * copies;
    // The size is that of a file that reaches the end of what a double-indirect block can point to.
    let size = (u64::from(POINTERS) * u64::from(POINTERS) + u64::from(POINTERS) + 12) * BLOCK_SIZE as u64;
    inode.i_mode = U16::new(0o100_600);
    inode.i_links_count = U16::new(1);
    inode.i_size_lo = U32::new(size as u32);
    inode.i_size_high = U32::new((size >> 32) as u32);
    inode.i_blocks_lo = U32::new((blocks * (BLOCK_SIZE as u64 / 512)) as u32);
    inode.i_block[4 * DOUBLE_INDIRECT..][..4].copy_from_slice(&double_indirect.to_le_bytes());
    inode.i_extra_isize = U16::new(EXTRA_ISIZE);
    inode
}

/// The double-indirect block: entry `n` modulo 1024 is block `n` of the descriptors, reserved ones only.
pub(super) fn render_double_indirect(geometry: &Geometry, out: &mut [u8]) {
    for reserved in 0..geometry.reserved_blocks {
        let slot = (geometry.descriptor_blocks + reserved) % POINTERS;
        let block = 1 + geometry.descriptor_blocks + reserved;
        out[4 * slot as usize..][..4].copy_from_slice(&block.to_le_bytes());
    }
}

/// All reserved blocks of the first group: each points to its copies in the other groups.
pub(super) fn render_reserved(geometry: &Geometry, out: &mut [u8]) {
    for (reserved, block) in (0u32..).zip(out.chunks_exact_mut(BLOCK_SIZE)) {
        let here = 1 + geometry.descriptor_blocks + reserved;
        for (slot, group) in block.chunks_exact_mut(4).zip(geometry.superblock_groups().skip(1)) {
            slot.copy_from_slice(&(group * BLOCKS_PER_GROUP + here).to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserves_as_mke2fs_does() {
        // dumpe2fs of mke2fs 1.47.0 -b 4096 -O 64bit: blocks, reserved GDT blocks.
        for (blocks, reserved) in [(25_600, 12), (262_144, 127), (2_621_440, 1024)] {
            let descriptors = u32::div_ceil(blocks, BLOCKS_PER_GROUP).div_ceil(DESCRIPTORS_PER_BLOCK);
            assert_eq!(reserved_blocks(blocks, descriptors), reserved);
        }
    }
}
