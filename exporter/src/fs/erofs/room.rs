//! Room for inodes: none lies in two blocks, unless it is larger than a block.

use std::collections::VecDeque;

use super::format::{BLOCK_SIZE, SLOT_SIZE};

/// Blocks that are still looked at when something is to find room: enough that few are left half empty.
const OPEN_MAX: usize = 32;

/// Hands out the room, from block 1 on: block 0 has the superblock.
pub(super) struct Room {
    /// Offset of the first block that is not begun.
    end: u64,
    /// Blocks with room at their end, and how much of each is taken.
    open: VecDeque<(u64, usize)>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { end: BLOCK_SIZE as u64, open: VecDeque::new() }
    }

    /// The offset of room for `len` bytes, a multiple of slots.
    pub(super) fn take(&mut self, len: u64) -> u64 {
        let fits = |taken: usize| taken as u64 + len <= BLOCK_SIZE as u64;
        let fitting = self.open.iter().enumerate().filter(|(_, (_, taken))| fits(*taken));
        let fullest = fitting.max_by_key(|(_, (_, taken))| *taken).map(|(at, _)| at);
        let place = fullest.and_then(|at| self.open.remove(at));
        let (block, taken) = place.unwrap_or((self.end, 0));
        let start = block + taken as u64;
        self.leave_open(start + len);
        start
    }

    /// What is behind `end` in its block is there for others.
    fn leave_open(&mut self, end: u64) {
        self.end = self.end.max(end.next_multiple_of(BLOCK_SIZE as u64));
        let taken = (end % BLOCK_SIZE as u64) as usize;
        let slots = taken.next_multiple_of(SLOT_SIZE);
        if taken > 0 && slots < BLOCK_SIZE {
            self.open.push_back((end - taken as u64, slots));
        }
        if self.open.len() > OPEN_MAX {
            self.open.pop_front();
        }
    }

    /// The first block behind all room.
    pub(super) fn end(&self) -> u64 {
        self.end / BLOCK_SIZE as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_fills_the_fullest_block() {
        let mut room = Room::new();
        let lens = [64, 4000, 64, 4096, 10_000, 2000, 33, 4033, 64];
        let places = lens.map(|len| room.take(len));
        // Behind 10,000 bytes 2288 are left in their last block.
        assert_eq!(places, [4096, 4160, 8192, 12_288, 16_384, 26_400, 28_416, 28_672, 28_480]);
        assert_eq!(room.end(), 8);
    }

    #[test]
    fn nothing_lies_in_two_blocks_that_fits_into_one() {
        let mut room = Room::new();
        let mut places: Vec<_> = (1..2000u64)
            .map(|number| {
                let len = number * 37 % 5000 + 32;
                (room.take(len), len)
            })
            .collect();
        places.sort_unstable();
        for &(start, len) in &places {
            let is_inside = start % 4096 + len <= 4096;
            assert!(
                start.is_multiple_of(32) && (is_inside || start.is_multiple_of(4096)),
                "{len} at {start}"
            );
        }
        assert!(places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
        let wanted: u64 = places.iter().map(|(_, len)| len).sum();
        assert!(room.end() * 4096 < wanted * 5 / 4, "{} blocks for {wanted} bytes", room.end());
    }
}
