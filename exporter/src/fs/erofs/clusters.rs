//! Files that are compressed: in extents of one size, each of them by itself, or as it is where that saves no block.
//!
//! ```text
//! file │ extent             │ extent             │ extent     │
//! disk │ 0 LZ4 │ as it is           │ 00 LZ4 │                   zeroes fill the first block
//! ```
//!
//! `mkfs.erofs` fills blocks with whatever length that takes of a file. Here the length is fixed, which compressors can do
//! without being asked for each block again, and less than half a block of zeroes is left for each extent.
//!
//! Behind the inode, each block of the file has an index (`struct z_erofs_lcluster_index`).

use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::format::{BLOCK_SIZE, ClusterIndex, MapHeader};
use super::{Algorithm, EXTENT_SIZE};

/// Bytes in front of the indexes, and of each.
const HEADER: u64 = size_of::<MapHeader>() as u64;
const INDEX: u64 = size_of::<ClusterIndex>() as u64;
/// Indexes of an extent.
const INDEXES: u64 = (EXTENT_SIZE / BLOCK_SIZE) as u64;

/// A file in extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clusters {
    pub(super) algorithm: Algorithm,
    /// Bytes of the file.
    pub(super) len: u64,
    /// Blocks that each extent of all files has compressed; 0: it is stored as it is.
    pub(super) all: Arc<[u8]>,
    /// Those of this file.
    pub(super) range: Range<usize>,
    /// Where what is compressed of it begins, among that of all files.
    pub(super) packed_at: u64,
}

/// What lies in a row in a file as on the disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// These bytes of the file.
    Plain(Range<u64>),
    /// These of what is compressed of all files.
    Packed(Range<u64>),
}

/// An extent of a file.
struct Extent {
    bytes: Range<u64>,
    /// The first of its blocks, counted from that of the file.
    block: u64,
    /// Its blocks if it is compressed.
    packed: Option<u8>,
}

impl Extent {
    fn blocks(&self) -> u64 {
        let plain = (self.bytes.end - self.bytes.start).div_ceil(BLOCK_SIZE as u64);
        self.packed.map_or(plain, u64::from)
    }

    /// The index of each of its blocks in the file, which lies at `block` on the disk.
    fn indexes(&self, block: u32) -> impl Iterator<Item = ClusterIndex> + use<> {
        let (len, packed) = ((self.bytes.end - self.bytes.start) as usize, self.packed);
        let first = block.wrapping_add(self.block as u32);
        let whole = (len / BLOCK_SIZE) as u16;
        (0..len.div_ceil(BLOCK_SIZE) as u16).map(move |index| match (packed, index) {
            (None, _) => ClusterIndex::plain(first.wrapping_add(index.into())),
            (Some(_), 0) => ClusterIndex::head(first),
            (Some(_), _) if index == whole => ClusterIndex::end((len % BLOCK_SIZE) as u16),
            (Some(blocks), 1) => ClusterIndex::second(blocks.into(), whole - 1),
            (Some(_), _) => ClusterIndex::other(index, whole - index),
        })
    }
}

impl Clusters {
    fn counts(&self) -> &[u8] {
        &self.all[self.range.clone()]
    }

    /// Its extents from `first` on.
    fn extents(&self, first: usize) -> impl Iterator<Item = Extent> + '_ {
        let counts = self.counts();
        let before = counts[..first].iter().map(|&count| blocks(count)).sum::<u64>();
        counts.iter().enumerate().skip(first).scan(before, |next, (number, &count)| {
            let start = (number * EXTENT_SIZE) as u64;
            let bytes = start..(start + EXTENT_SIZE as u64).min(self.len);
            let extent = Extent { bytes, block: *next, packed: (count > 0).then_some(count) };
            *next += extent.blocks();
            Some(extent)
        })
    }

    /// Blocks of all of it on the disk.
    pub(super) fn blocks(&self) -> u64 {
        self.extents(0).last().map_or(0, |last| last.block + last.blocks())
    }

    /// Bytes of the indexes with what is in front of them.
    pub(super) fn indexes_len(&self) -> u64 {
        HEADER + self.len.div_ceil(BLOCK_SIZE as u64) * INDEX
    }

    /// What lies on the disk, in the fewest pieces: the first block of each, counted from that of the file.
    pub(super) fn stored(&self) -> impl Iterator<Item = (u64, Stored)> + '_ {
        let mut extents = self.extents(0).peekable();
        let mut packed_at = self.packed_at;
        std::iter::from_fn(move || {
            let first = extents.next()?;
            let is_packed = first.packed.is_some();
            let mut last_end = (first.bytes.end, first.block + first.blocks());
            while let Some(next) = extents.next_if(|next| next.packed.is_some() == is_packed) {
                last_end = (next.bytes.end, next.block + next.blocks());
            }
            let (bytes_end, blocks_end) = last_end;
            if !is_packed {
                return Some((first.block, Stored::Plain(first.bytes.start..bytes_end)));
            }
            let start = packed_at;
            packed_at += (blocks_end - first.block) * BLOCK_SIZE as u64;
            Some((first.block, Stored::Packed(start..packed_at)))
        })
    }

    /// Fill `out` with the indexes from byte `from` of them on, which are whole ones; the first block lies at `block`.
    pub(super) fn render(&self, block: u32, from: u64, out: &mut [u8]) {
        let (header, places) = out.split_at_mut(if from == 0 { HEADER as usize } else { 0 });
        if !header.is_empty() {
            header.copy_from_slice(MapHeader::new(self.algorithm).as_bytes());
        }
        let first = from.saturating_sub(HEADER) / INDEX;
        let extents = self.extents((first / INDEXES) as usize);
        let indexes = extents.flat_map(|extent| extent.indexes(block)).skip((first % INDEXES) as usize);
        for (place, index) in places.chunks_exact_mut(INDEX as usize).zip(indexes) {
            place.copy_from_slice(index.as_bytes());
        }
    }
}

/// Blocks of an extent that others follow.
fn blocks(count: u8) -> u64 {
    if count > 0 { count.into() } else { INDEXES }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters(len: u64, counts: &[u8]) -> Clusters {
        let all = [&[9], counts].concat().into();
        Clusters { algorithm: Algorithm::Lz4, len, all, range: 1..counts.len() + 1, packed_at: 36_864 }
    }

    /// An extent and a half, and as much again, and three blocks and a bit.
    const LEN: u64 = 3 * EXTENT_SIZE as u64 + 3 * 4096 + 7;

    #[test]
    fn extents_of_one_kind_are_stored_in_one_piece() {
        let file = clusters(LEN, &[5, 6, 0, 2]);
        let stored: Vec<_> = file.stored().collect();
        let plain = 2 * EXTENT_SIZE as u64..3 * EXTENT_SIZE as u64;
        assert_eq!(
            stored,
            [
                (0, Stored::Packed(36_864..36_864 + 11 * 4096)),
                (11, Stored::Plain(plain)),
                (43, Stored::Packed(36_864 + 11 * 4096..36_864 + 13 * 4096))
            ]
        );
        assert_eq!(file.blocks(), 45);
        let plain = clusters(LEN, &[0; 4]);
        assert_eq!(plain.stored().collect::<Vec<_>>(), [(0, Stored::Plain(0..LEN))]);
        assert_eq!(plain.blocks(), 3 * 32 + 4);
    }

    #[test]
    fn each_block_of_a_file_says_where_its_extent_begins_and_ends() {
        let file = clusters(LEN, &[5, 6, 0, 2]);
        let mut all = vec![0; file.indexes_len() as usize];
        assert_eq!(all.len(), 16 + 100 * 8);
        file.render(100, 0, &mut all);
        let index = |number: usize| all[16 + number * 8..][..8].to_vec();
        assert_eq!(all[..8], [0, 0, 0, 0, 2, 0, 0, 0]);
        for (number, expected) in [
            (0, ClusterIndex::head(100)),
            (1, ClusterIndex::second(5, 31)),
            (2, ClusterIndex::other(2, 30)),
            (31, ClusterIndex::other(31, 1)),
            (32, ClusterIndex::head(105)),
            (64, ClusterIndex::plain(111)),
            (95, ClusterIndex::plain(142)),
            (96, ClusterIndex::head(143)),
            (97, ClusterIndex::second(2, 2)),
            (98, ClusterIndex::other(2, 1)),
            (99, ClusterIndex::end(7)),
        ] {
            assert_eq!(index(number), expected.as_bytes(), "{number}");
        }
        assert_eq!(index(1), [2, 0, 0, 0, 5, 8, 31, 0]);
        // In parts it is the same.
        for part in [8, 64, 264] {
            let mut again = vec![0; all.len()];
            for (number, out) in again.chunks_mut(16 + part).enumerate() {
                file.render(100, (number * (16 + part)) as u64, out);
            }
            assert!(again == all, "{part}");
        }
    }
}
