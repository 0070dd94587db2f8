//! Geometry: how many groups and inodes a size gives, and where the metadata of each group lies.
//!
//! A pure function of the number of blocks and inodes, by mke2fs's rules.

use std::ops::Range;

use super::format::{BLOCKS_PER_GROUP, DESCRIPTORS_PER_BLOCK, GROUPS_PER_FLEX, INODES_PER_BLOCK};
use super::{ranges, resize_inode};

/// Blocks beyond its own metadata that the last group must have to be worth having.
const LAST_GROUP_MIN: u32 = 50;
/// Inodes that one bitmap block can stand for.
const INODES_PER_GROUP_MAX: u32 = BLOCKS_PER_GROUP;

/// Where the bitmaps and the inode table of one group begin (block numbers).
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupTables {
    pub(super) block_bitmap: u32,
    pub(super) inode_bitmap: u32,
    pub(super) inode_table: u32,
}

/// The frame of a file system: everything that does not depend on what is in it.
#[derive(Debug)]
pub(super) struct Geometry {
    /// Blocks of the file system; up to a small group less than there is room for.
    pub(super) blocks: u32,
    /// The next larger number of blocks that makes a larger file system.
    pub(super) next_blocks: u64,
    /// Inodes in each group.
    pub(super) inodes_per_group: u32,
    /// Blocks of each copy of the group descriptors.
    pub(super) descriptor_blocks: u32,
    /// Blocks kept behind them to grow into (`s_reserved_gdt_blocks`).
    pub(super) reserved_blocks: u32,
    /// One for each group.
    pub(super) tables: Vec<GroupTables>,
    /// The blocks of all metadata named here: sorted, and never two that touch.
    pub(super) fixed: Vec<Range<u32>>,
}

/// Too few blocks even for the metadata.
#[derive(Debug)]
pub(super) struct TooSmall {
    /// The next number of blocks worth a try.
    pub(super) try_next: u64,
}

impl Geometry {
    /// The geometry of a file system with at most `limit` blocks and at least `inodes` inodes.
    pub(super) fn new(limit: u32, inodes: u32) -> Result<Self, TooSmall> {
        let mut geometry = Self::count(limit, inodes)?;
        let rest = limit % BLOCKS_PER_GROUP;
        let whole = limit - rest;
        let least = geometry.least_in_last_group();
        if rest > 0 && rest < least {
            // A last group too small for its own metadata is left out.
            let try_next = u64::from(whole) + u64::from(least);
            geometry = Self::count(whole, inodes).map_err(|_| TooSmall { try_next })?;
            geometry.next_blocks = try_next;
        }
        geometry.tables = geometry.place_tables();
        geometry.fixed = geometry.metadata_ranges();
        Ok(geometry)
    }

    /// The numbers of a geometry, nothing placed yet.
    fn count(blocks: u32, inodes: u32) -> Result<Self, TooSmall> {
        let next_blocks = u64::from(blocks) + 1;
        if blocks == 0 {
            return Err(TooSmall { try_next: next_blocks });
        }
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
        let inodes_per_group = inodes.div_ceil(groups).next_multiple_of(INODES_PER_BLOCK);
        if inodes_per_group > INODES_PER_GROUP_MAX {
            let full = inodes.div_ceil(INODES_PER_GROUP_MAX) - 1;
            let try_next = u64::from(full) * u64::from(BLOCKS_PER_GROUP) + 1;
            return Err(TooSmall { try_next });
        }
        let descriptor_blocks = groups.div_ceil(DESCRIPTORS_PER_BLOCK);
        Ok(Self {
            blocks,
            next_blocks,
            inodes_per_group,
            descriptor_blocks,
            reserved_blocks: resize_inode::reserved_blocks(blocks, descriptor_blocks),
            tables: Vec::new(),
            fixed: Vec::new(),
        })
    }

    fn least_in_last_group(&self) -> u32 {
        let backup = if has_superblock(self.groups() - 1) { self.superblock_area() } else { 0 };
        2 + self.inode_table_blocks() + backup + LAST_GROUP_MIN
    }

    /// Number of groups.
    pub(super) fn groups(&self) -> u32 {
        self.blocks.div_ceil(BLOCKS_PER_GROUP)
    }

    /// Number of inodes.
    pub(super) fn inodes(&self) -> u32 {
        self.groups() * self.inodes_per_group
    }

    /// The blocks of `group`; the last one may be short.
    pub(super) fn group_blocks(&self, group: u32) -> Range<u32> {
        let start = group * BLOCKS_PER_GROUP;
        start..start.saturating_add(BLOCKS_PER_GROUP).min(self.blocks)
    }

    /// Blocks of one group's inode table.
    pub(super) fn inode_table_blocks(&self) -> u32 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    /// The groups that hold a superblock and group descriptors, the first one included.
    pub(super) fn superblock_groups(&self) -> impl Iterator<Item = u32> {
        (0..self.groups()).filter(|&group| has_superblock(group))
    }

    /// The parts of the fixed ranges that lie in `blocks`.
    pub(super) fn fixed_in(&self, blocks: Range<u32>) -> impl Iterator<Item = Range<u32>> {
        ranges::clipped(&self.fixed, blocks)
    }

    /// Blocks that no metadata named here takes.
    pub(super) fn free_blocks(&self) -> u32 {
        self.blocks - self.fixed.iter().map(ExactSizeIterator::len).sum::<usize>() as u32
    }

    /// Blocks of a superblock with its descriptors and what is reserved behind them.
    fn superblock_area(&self) -> u32 {
        1 + self.descriptor_blocks + self.reserved_blocks
    }

    /// Put the bitmaps and inode tables of sixteen groups at a time at the front of the first of them.
    fn place_tables(&self) -> Vec<GroupTables> {
        let groups = self.groups();
        let mut tables = Vec::with_capacity(groups as usize);
        for first in (0..groups).step_by(GROUPS_PER_FLEX as usize) {
            let members = groups.min(first + GROUPS_PER_FLEX) - first;
            let mut next = first * BLOCKS_PER_GROUP;
            let mut take = |len| (0..members).map(|_| self.take(&mut next, len)).collect::<Vec<_>>();
            let (block_bitmaps, inode_bitmaps) = (take(1), take(1));
            let inode_tables = take(self.inode_table_blocks());
            for member in 0..members as usize {
                tables.push(GroupTables {
                    block_bitmap: block_bitmaps[member],
                    inode_bitmap: inode_bitmaps[member],
                    inode_table: inode_tables[member],
                });
            }
        }
        tables
    }

    /// The first `len` blocks in a row from `next` on that lie in no superblock area.
    fn take(&self, next: &mut u32, len: u32) -> u32 {
        // The area of the group where the row ends is the only one it can run into: a row is shorter
        // than a group.
        for group in [*next / BLOCKS_PER_GROUP, (*next + len - 1) / BLOCKS_PER_GROUP] {
            let start = group * BLOCKS_PER_GROUP;
            let area = start..start + self.superblock_area();
            if has_superblock(group) && *next < area.end && *next + len > area.start {
                *next = area.end;
            }
        }
        *next += len;
        *next - len
    }

    fn metadata_ranges(&self) -> Vec<Range<u32>> {
        let areas = self.superblock_groups().map(|group| group * BLOCKS_PER_GROUP);
        let mut ranges: Vec<_> = areas.map(|start| start..start + self.superblock_area()).collect();
        for tables in &self.tables {
            ranges.push(tables.block_bitmap..tables.block_bitmap + 1);
            ranges.push(tables.inode_bitmap..tables.inode_bitmap + 1);
            ranges.push(tables.inode_table..tables.inode_table + self.inode_table_blocks());
        }
        ranges.sort_by_key(|range| range.start);
        ranges::merged(ranges)
    }
}

/// Whether `group` holds a superblock: groups 0, 1 and the powers of 3, 5 and 7 (`sparse_super`).
pub(super) fn has_superblock(group: u32) -> bool {
    let is_power_of = |base: u32| {
        let mut rest = group;
        while rest > 1 && rest.is_multiple_of(base) {
            rest /= base;
        }
        rest == 1
    };
    group == 0 || [3, 5, 7].into_iter().any(is_power_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superblocks_lie_in_powers_of_three_five_and_seven() {
        let groups: Vec<_> = (0..130).filter(|&group| has_superblock(group)).collect();
        assert_eq!(groups, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn metadata_never_overlaps_and_stays_inside() {
        for groups in [1, 2, 3, 15, 16, 17, 31, 33, 48, 130] {
            for tail in [0, 1, 700, 1800, 4000, 32_767] {
                for inodes_per_group in [16, 2048, 8192, 32_768] {
                    let blocks = groups * BLOCKS_PER_GROUP + tail;
                    let Ok(geometry) = Geometry::new(blocks, groups * inodes_per_group) else {
                        panic!("{groups} groups and {tail} blocks with {inodes_per_group} inodes in each")
                    };
                    let fixed = &geometry.fixed;
                    assert!(fixed.windows(2).all(|pair| pair[0].end < pair[1].start));
                    assert!(fixed.last().is_some_and(|last| last.end <= geometry.blocks));
                    let tables = geometry.groups() * (2 + geometry.inode_table_blocks());
                    let areas = geometry.superblock_groups().count() as u32 * geometry.superblock_area();
                    assert_eq!(geometry.blocks - geometry.free_blocks(), tables + areas);
                }
            }
        }
    }

    #[test]
    fn a_tiny_last_group_is_left_out_and_the_next_size_that_helps_is_named() {
        let geometry = Geometry::new(2 * BLOCKS_PER_GROUP + 100, 16_384).unwrap();
        assert_eq!(geometry.blocks, 2 * BLOCKS_PER_GROUP);
        let larger = Geometry::new(geometry.next_blocks as u32, 16_384).unwrap();
        assert_eq!(u64::from(larger.blocks), geometry.next_blocks);
        assert_eq!(Geometry::new(larger.blocks - 1, 16_384).unwrap().blocks, geometry.blocks);
    }
}
