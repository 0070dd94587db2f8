//! Files with holes: in chunks of one size, each of which lies somewhere or is a hole.
//!
//! Small chunks need many addresses, large ones hold zeroes beside the data: the size is that which takes the least room.

use std::cmp::Reverse;
use std::mem::size_of;
use std::ops::Range;

use super::format::{BLOCK_SIZE, NULL_ADDRESS};

/// The largest chunk is a block shifted by so many bits (`EROFS_CHUNK_FORMAT_BLKBITS_MASK`).
const BITS_MAX: u32 = 31;
/// Bytes of an address (`EROFS_BLOCK_MAP_ENTRY_SIZE`).
const ADDRESS: u64 = size_of::<u32>() as u64;

/// A file in chunks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    /// A chunk has one block shifted by so many bits.
    bits: u32,
    /// Blocks of the file, holes included.
    len: u64,
    /// The chunks that lie somewhere, in ranges.
    data: Vec<Range<u64>>,
}

impl Chunks {
    /// The chunks of a file of `len` blocks with data in the blocks `data`; `None` if they would take no less than the
    /// file with its holes.
    pub(super) fn new(len: u64, data: &[Range<u64>]) -> Option<Self> {
        let is_whole = matches!(data, [all] if *all == (0..len));
        if is_whole {
            return None;
        }
        let sizes = (0..=BITS_MAX).take_while(|bits| *bits == 0 || len > 1 << (bits - 1));
        let all = sizes.map(|bits| Self::of_size(bits, len, data));
        let best = all.min_by_key(|chunks| (chunks.room(), Reverse(chunks.bits)))?;
        (best.room() < len * BLOCK_SIZE as u64).then_some(best)
    }

    fn of_size(bits: u32, len: u64, blocks: &[Range<u64>]) -> Self {
        let mut data: Vec<Range<u64>> = Vec::new();
        for range in blocks {
            let (start, end) = (range.start >> bits, ((range.end - 1) >> bits) + 1);
            match data.last_mut() {
                Some(last) if start <= last.end => last.end = end,
                _ => data.push(start..end),
            }
        }
        Self { bits, len, data }
    }

    fn room(&self) -> u64 {
        self.blocks() * BLOCK_SIZE as u64 + self.addresses_len()
    }

    /// Bytes of all addresses.
    pub(super) fn addresses_len(&self) -> u64 {
        self.len.div_ceil(1 << self.bits) * ADDRESS
    }

    /// Blocks that are no holes.
    pub(super) fn blocks(&self) -> u64 {
        self.data_blocks().map(|range| range.end - range.start).sum()
    }

    /// Those blocks in ranges; they lie one after the other.
    pub(super) fn data_blocks(&self) -> impl Iterator<Item = Range<u64>> {
        // The last chunk ends with the file.
        self.data.iter().map(|range| range.start << self.bits..(range.end << self.bits).min(self.len))
    }

    /// `format` of `struct erofs_inode_chunk_info`.
    pub(super) fn format(&self) -> u32 {
        self.bits
    }

    /// Fill `out` with the address of each chunk; the first one that is no hole lies at `block`.
    pub(super) fn render(&self, block: u32, out: &mut [u8]) {
        out.fill(NULL_ADDRESS as u8);
        let mut next = block;
        for chunk in self.data.iter().cloned().flatten() {
            let at = (chunk * ADDRESS) as usize;
            out[at..at + size_of::<u32>()].copy_from_slice(&next.to_le_bytes());
            // Behind the last chunk, which may be short, nobody asks.
            next = next.wrapping_add(1 << self.bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_chunks_is_that_which_takes_the_least_room() {
        let bits = |len, data: &[Range<u64>]| Chunks::new(len, data).map(|chunks| chunks.bits);
        // Nothing but a hole has one address.
        assert_eq!(bits(1, &[]), Some(0));
        assert_eq!(bits(1000, &[]), Some(10));
        assert_eq!(bits(1 << 40, &[]), Some(31));
        // A block in 4 GiB: 512 KiB of addresses would be too much, 4 MiB of zeroes, too.
        let one = Chunks::new(1 << 20, std::slice::from_ref(&(0..1))).unwrap();
        assert_eq!((one.bits, one.addresses_len(), one.blocks()), (5, 1 << 17, 32));
        // Data at both ends.
        assert_eq!(bits(64, &[0..1, 63..64]), Some(0));
        assert_eq!(bits(64, &[0..32, 63..64]), Some(0));
        // No hole is left.
        assert_eq!(bits(2, std::slice::from_ref(&(0..2))), None);
    }

    #[test]
    fn the_last_chunk_ends_with_the_file() {
        let chunks = Chunks::of_size(2, 10, &[1..2, 9..10]);
        assert_eq!(chunks.data, [0..1, 2..3]);
        assert_eq!(chunks.data_blocks().collect::<Vec<_>>(), [0..4, 8..10]);
        assert_eq!(chunks.blocks(), 6);
        let mut out = [0; 12];
        chunks.render(100, &mut out);
        assert_eq!(out, [100, 0, 0, 0, 255, 255, 255, 255, 104, 0, 0, 0]);
    }
}
