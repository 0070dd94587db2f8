//! What each block group says of itself: its bitmaps and its descriptor.
//!
//! Most blocks lie in a row and most inodes have numbers in a row, so a bitmap follows from a few ranges; none is kept.

use std::ops::Range;

use zerocopy::FromZeros;
use zerocopy::little_endian::{U16, U32};

use super::csum::Crc32c;
use super::format::{
    BG_BLOCK_UNINIT, BG_INODE_UNINIT, BG_INODE_ZEROED, BLOCK_SIZE, BLOCKS_PER_GROUP, GroupDescriptor,
};
use super::geometry::Geometry;
use super::ranges;

/// Which blocks and inodes are in use.
#[derive(Clone, Copy)]
pub(super) struct Usage<'a> {
    pub(super) geometry: &'a Geometry,
    /// The blocks that are, those that the geometry has placed among them.
    pub(super) blocks: &'a [Range<u32>],
    /// The numbers of the inodes that are.
    pub(super) inodes: &'a [Range<u32>],
}

impl Usage<'_> {
    /// Blocks that are not in use.
    pub(super) fn free_blocks(&self) -> u32 {
        self.geometry.blocks - ranges::count(self.blocks, 0..self.geometry.blocks)
    }

    /// Inodes that are not in use.
    pub(super) fn free_inodes(&self) -> u32 {
        (0..self.geometry.groups()).map(|group| self.geometry.inodes_per_group - self.inodes(group)).sum()
    }

    /// Blocks of `group` that are in use.
    fn blocks(&self, group: u32) -> u32 {
        ranges::count(self.blocks, self.geometry.group_blocks(group))
    }

    /// Inodes of `group` that are in use.
    fn inodes(&self, group: u32) -> u32 {
        self.inodes_in(group).map(|range| range.end - range.start).sum()
    }

    /// How many inodes of `group` there are up to the last one that is in use.
    pub(super) fn inodes_reach(&self, group: u32) -> u32 {
        self.inodes_in(group).last().map_or(0, |range| range.end)
    }

    /// Which of the inodes of `group` are in use, the first of it being 0.
    fn inodes_in(&self, group: u32) -> impl Iterator<Item = Range<u32>> + '_ {
        let per_group = self.geometry.inodes_per_group;
        let before = group * per_group;
        // Inodes are numbered from 1 on.
        let ranges = ranges::clipped(self.inodes, before + 1..before + per_group + 1);
        ranges.map(move |range| range.start - before - 1..range.end - before - 1)
    }

    /// Whether the block bitmap of `group` is on disk. Where no block is in use a flag says so instead;
    /// but the last group's bitmap is needed for the bits behind its end.
    pub(super) fn has_block_bitmap(&self, group: u32) -> bool {
        self.blocks(group) > 0 || group + 1 == self.geometry.groups()
    }

    /// Bits of blocks in use; those behind the end of the last group count as such.
    pub(super) fn render_block_bitmap(&self, group: u32, out: &mut [u8]) {
        let blocks = self.geometry.group_blocks(group);
        for range in ranges::clipped(self.blocks, blocks.clone()) {
            set_bits(out, range.start - blocks.start..range.end - blocks.start);
        }
        set_bits(out, blocks.end - blocks.start..BLOCKS_PER_GROUP);
    }

    /// Bits of inodes in use; those the group has no inodes for count as such.
    pub(super) fn render_inode_bitmap(&self, group: u32, out: &mut [u8]) {
        self.inodes_in(group).for_each(|range| set_bits(out, range));
        set_bits(out, self.geometry.inodes_per_group..BLOCKS_PER_GROUP);
    }

    /// The descriptor of `group`, which has so many directories.
    pub(super) fn descriptor(&self, group: u32, directories: u32, file_system: Crc32c) -> GroupDescriptor {
        let tables = self.geometry.tables[group as usize];
        let blocks = self.geometry.group_blocks(group);
        let free_blocks = blocks.end - blocks.start - self.blocks(group);
        let free_inodes = self.geometry.inodes_per_group - self.inodes(group);

        let mut descriptor = GroupDescriptor::new_zeroed();
        let fields = &mut descriptor;
        fields.bg_block_bitmap_lo = U32::new(tables.block_bitmap);
        fields.bg_inode_bitmap_lo = U32::new(tables.inode_bitmap);
        fields.bg_inode_table_lo = U32::new(tables.inode_table);
        (fields.bg_free_blocks_count_lo, fields.bg_free_blocks_count_hi) = halves(free_blocks);
        (fields.bg_free_inodes_count_lo, fields.bg_free_inodes_count_hi) = halves(free_inodes);
        (fields.bg_used_dirs_count_lo, fields.bg_used_dirs_count_hi) = halves(directories);
        let unused = self.geometry.inodes_per_group - self.inodes_reach(group);
        (fields.bg_itable_unused_lo, fields.bg_itable_unused_hi) = halves(unused);

        let mut flags = BG_INODE_ZEROED;
        let mut bitmap = [0; BLOCK_SIZE];
        if self.has_block_bitmap(group) {
            self.render_block_bitmap(group, &mut bitmap);
            let sum = file_system.with(&bitmap).value();
            (fields.bg_block_bitmap_csum_lo, fields.bg_block_bitmap_csum_hi) = halves(sum);
        } else {
            flags |= BG_BLOCK_UNINIT;
        }
        if self.inodes(group) > 0 {
            bitmap.fill(0);
            self.render_inode_bitmap(group, &mut bitmap);
            // Only the bits of inodes that there are.
            let sum = file_system.with(&bitmap[..self.geometry.inodes_per_group as usize / 8]).value();
            (fields.bg_inode_bitmap_csum_lo, fields.bg_inode_bitmap_csum_hi) = halves(sum);
        } else {
            flags |= BG_INODE_UNINIT;
        }
        fields.bg_flags = U16::new(flags);
        descriptor.seal(group, file_system)
    }
}

fn halves(value: u32) -> (U16, U16) {
    (U16::new(value as u16), U16::new((value >> 16) as u16))
}

/// Set a range of bits; bit 0 of byte 0 is the first.
fn set_bits(out: &mut [u8], bits: Range<u32>) {
    let Range { mut start, end } = bits;
    while start < end {
        let (byte, bit) = (start as usize / 8, start % 8);
        if bit == 0 && end - start >= 8 {
            let whole = (end - start) / 8;
            out[byte..byte + whole as usize].fill(0xff);
            start += 8 * whole;
        } else {
            out[byte] |= 1 << bit;
            start += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_where_the_range_says() {
        for (range, bytes) in
            [(0..3, [7, 0, 0]), (3..3, [0, 0, 0]), (6..18, [0xc0, 0xff, 3]), (0..24, [0xff; 3])]
        {
            let mut out = [0; 3];
            set_bits(&mut out, range);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn the_descriptors_count_what_the_bitmaps_show() {
        let geometry = Geometry::new(20 * BLOCKS_PER_GROUP - 1000, 100_000).unwrap();
        let end = 5 * BLOCKS_PER_GROUP + 77;
        let own = [0..end - 200, end - 100..end].into_iter();
        let blocks = ranges::merged(own.chain(geometry.fixed_in(end..geometry.blocks)));
        let inodes = [1..12_346, 12_400..12_401, 70_000..80_000];
        let usage = Usage { geometry: &geometry, blocks: &blocks, inodes: &inodes };
        for group in 0..geometry.groups() {
            let descriptor = usage.descriptor(group, 0, Crc32c::START);
            let zeros = |render: &dyn Fn(&mut [u8])| {
                let mut bitmap = [0; BLOCK_SIZE];
                render(&mut bitmap);
                bitmap.iter().map(|byte| byte.count_zeros()).sum::<u32>()
            };
            let free_blocks = zeros(&|out| usage.render_block_bitmap(group, out));
            assert_eq!(u32::from(descriptor.bg_free_blocks_count_lo.get()), free_blocks & 0xffff);
            let free_inodes = zeros(&|out| usage.render_inode_bitmap(group, out));
            assert_eq!(u32::from(descriptor.bg_free_inodes_count_lo.get()), free_inodes);
            let mut bitmap = [0; BLOCK_SIZE];
            usage.render_inode_bitmap(group, &mut bitmap);
            let mut bits =
                (0..geometry.inodes_per_group as usize).filter(|bit| bitmap[bit / 8] >> (bit % 8) & 1 == 1);
            assert_eq!(usage.inodes_reach(group) as usize, bits.next_back().map_or(0, |last| last + 1));
        }
    }
}
