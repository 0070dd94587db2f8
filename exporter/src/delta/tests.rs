//! Blocks that are counted by hand.

use std::sync::Arc;

use super::*;
use crate::error::Kind;
use crate::read_at::{ReadAt, Shared};

const BLOCK: usize = 4096;

/// An image in memory.
struct Flat(Vec<u8>);

impl ReadAt for Flat {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.0[..].read_at(offset, out)
    }
}

/// Blocks that are each filled with one byte, and a shorter one behind them.
fn image(fill: &[u8], behind: usize) -> Shared {
    let mut bytes: Vec<u8> = fill.iter().flat_map(|&byte| [byte; BLOCK]).collect();
    bytes.extend(vec![9; behind]);
    Arc::new(Flat(bytes))
}

fn all(image: &Shared) -> Blocks {
    Blocks::of_image(image, Some(0..image.size()), BLOCK).unwrap()
}

fn counted(old: &Blocks, new: &Blocks) -> Counts {
    let mut known = Known::default();
    known.add(old).unwrap();
    count(Some(old), new, &mut known).unwrap()
}

#[test]
fn each_block_is_counted_once() {
    let (old, new) = (image(&[1, 2, 3, 0, 4, 5], 100), image(&[1, 3, 0, 0, 6, 6], 100));
    let moves = BLOCK as u64;
    let expected = Counts { blocks: 7, zero: 2, differ: 4, elsewhere: 2, new: 1, moves };
    assert_eq!(counted(&all(&old), &all(&new)), expected, "the second 6 is there once the first has come");
    let same = Counts { blocks: 7, zero: 1, ..Counts::default() };
    assert_eq!(counted(&all(&old), &all(&old)), same);
}

#[test]
fn what_is_longer_is_new_and_a_shorter_end_differs() {
    let (old, new) = (image(&[1], 100), image(&[1, 2, 0], 50));
    let moves = BLOCK as u64 + 50;
    let expected = Counts { blocks: 4, zero: 1, differ: 3, elsewhere: 0, new: 2, moves };
    assert_eq!(counted(&all(&old), &all(&new)), expected);
}

#[test]
fn ranges_have_blocks_of_their_own() {
    let (old, new) = (image(&[1, 2, 3], 0), image(&[9, 1, 2, 3], 0));
    let (step, size) = (BLOCK as u64, 3 * BLOCK as u64);
    let shifted = Blocks::of_image(&new, Some(step..size + step), BLOCK).unwrap();
    assert_eq!(counted(&all(&old), &shifted), Counts { blocks: 3, ..Counts::default() });
    let apart = Blocks::of_image(&old, [0..100, 100..100, step..size], BLOCK).unwrap();
    let shorter = Blocks::of_image(&old, [0..100, step..size], BLOCK).unwrap();
    assert_eq!(counted(&apart, &shorter), Counts { blocks: 3, ..Counts::default() });
    assert_eq!(shorter.size(), 100 + 2 * step);
}

#[test]
fn beside_nothing_all_of_it_moves() {
    let counts = count(None, &all(&image(&[1, 0, 1], 0)), &mut Known::default()).unwrap();
    let expected = Counts { blocks: 3, zero: 1, differ: 3, elsewhere: 1, new: 1, moves: BLOCK as u64 };
    assert_eq!(counts, expected);
}

#[test]
fn no_other_blocks_are_taken() {
    let image = image(&[1], 0);
    for size in [0, 256, 1000, 2 << 20] {
        let error = Blocks::of_image(&image, None, size).map(drop).unwrap_err();
        assert_eq!(*error.kind(), Kind::Input, "{size}");
    }
}
