//! Where each block of a new root comes from: what the slot has already, what the running root has, zeroes, and what has to
//! be fetched. Nothing is read or written here.
//!
//! Blocks are written in their order. So a block of the slot can be copied as long as it is not overwritten: if it comes
//! later than the one it is for, or is in its place by then.

use std::collections::HashMap;
use std::ops::Range;

/// Which content a block has: the first block of the new root with the same.
pub(super) type Content = u32;

/// Bytes of frames that are read over rather than asked for anew: what a request costs.
const GAP: u64 = 64 << 10;

/// What is there of the new root, by its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// What each block of the slot has now, if the new root has it anywhere.
    pub(super) slot: Vec<Option<Content>>,
    /// Where the running root has what the block of this number is.
    pub(super) running: HashMap<Content, u64>,
}

/// Where a block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is there.
    InPlace,
    Zeroes,
    /// Another block of the slot.
    Slot(usize),
    /// A block of the running root.
    Running(u64),
    Fetched,
}

/// Each block of the new root, whose `contents` these are.
pub(super) fn plan(contents: &[Content], is_zero: impl Fn(usize) -> bool, held: &Held) -> Vec<Origin> {
    let mut last: HashMap<Content, usize> = HashMap::new();
    for (block, content) in held.slot.iter().enumerate() {
        last.extend(content.map(|content| (content, block)));
    }
    let origin = |(block, content): (usize, &Content)| {
        let first = *content as usize;
        let later = last.get(content).copied().filter(|other| *other > block);
        match held.running.get(content) {
            _ if held.slot.get(block) == Some(&Some(*content)) => Origin::InPlace,
            _ if is_zero(block) => Origin::Zeroes,
            _ if first < block => Origin::Slot(first),
            Some(place) => Origin::Running(*place),
            None => later.map_or(Origin::Fetched, Origin::Slot),
        }
    };
    contents.iter().enumerate().map(origin).collect()
}

/// The ranges of blocks to be fetched, in order. `frames` says where those of blocks lie in the file; of a source without
/// ranges all is read at once.
pub(super) fn ranges(
    origins: &[Origin],
    frames: impl Fn(&Range<usize>) -> Range<u64>,
    has_ranges: bool,
) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let fetched = origins.iter().enumerate().filter(|(_, origin)| **origin == Origin::Fetched);
    for (block, _) in fetched {
        match ranges.last_mut() {
            Some(range) if !has_ranges || is_small(frames(&(range.end..block))) => range.end = block + 1,
            _ => ranges.push(block..block + 1),
        }
    }
    ranges
}

fn is_small(gap: Range<u64>) -> bool {
    gap.end - gap.start <= GAP
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(slot: &[Option<Content>], running: &[(Content, u64)]) -> Held {
        Held { slot: slot.to_vec(), running: running.iter().copied().collect() }
    }

    /// What comes of it, when each block has the content that its number is.
    fn outcome(contents: &[Content], held: &Held) -> Vec<Option<Content>> {
        let mut slot = held.slot.clone();
        slot.resize(contents.len().max(slot.len()), None);
        for (block, origin) in plan(contents, |_| false, held).into_iter().enumerate() {
            slot[block] = match origin {
                Origin::InPlace => slot[block],
                Origin::Slot(other) => slot[other],
                Origin::Running(place) => {
                    held.running.iter().find(|(_, at)| **at == place).map(|(content, _)| *content)
                }
                Origin::Zeroes | Origin::Fetched => Some(contents[block]),
            };
        }
        slot.truncate(contents.len());
        slot
    }

    #[test]
    fn a_block_comes_from_the_nearest_place_that_has_it() {
        let held = held(&[Some(0), None, Some(5), None, Some(1)], &[(3, 70)]);
        let origins = plan(&[0, 1, 2, 3, 0, 5, 6], |block| block == 6, &held);
        let expected = [
            Origin::InPlace,
            Origin::Slot(4),
            Origin::Fetched,
            Origin::Running(70),
            Origin::Slot(0),
            // Block 2 was overwritten by then.
            Origin::Fetched,
            Origin::Zeroes,
        ];
        assert_eq!(origins, expected);
    }

    /// All slots of four blocks, whatever they have.
    #[test]
    fn no_block_is_copied_after_it_was_overwritten() {
        let contents = [0, 1, 0, 3];
        let all = [None, Some(0), Some(1), Some(3)];
        for number in 0..256 {
            let slot: Vec<_> = (0..4).map(|block| all[number >> (2 * block) & 3]).collect();
            for running in [&[][..], &[(1, 9)]] {
                let held = held(&slot, running);
                let expected: Vec<_> = contents.iter().map(|content| Some(*content)).collect();
                assert_eq!(outcome(&contents, &held), expected, "{held:?}");
            }
        }
    }

    #[test]
    fn what_is_near_is_fetched_at_once() {
        use Origin::{Fetched, InPlace};
        let frames = |blocks: &Range<usize>| blocks.start as u64 * 40_000..blocks.end as u64 * 40_000;
        let origins = [Fetched, InPlace, Fetched, InPlace, InPlace, Fetched, Fetched, InPlace];
        assert_eq!(ranges(&origins, frames, true), [0..3, 5..7]);
        assert_eq!(ranges(&origins, frames, false), vec![0..7]);
        assert!(ranges(&[InPlace; 3], frames, true).is_empty());
    }
}
