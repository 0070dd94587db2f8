//! The tree against one that is made level by level, with all of it in memory.

use super::*;

const SALT: Salt = [0x5a; 32];

/// What the document of the kernel says, word by word: the levels from the data up, each behind the one above it.
fn by_the_book(data: &[u8]) -> (Vec<u8>, [u8; DIGEST]) {
    let (mut below, mut tree) = (data.to_vec(), Vec::new());
    while below.len() > BLOCK {
        let mut level: Vec<u8> = below.chunks(BLOCK).flat_map(|block| digest(&SALT, block)).collect();
        level.resize(level.len().next_multiple_of(BLOCK), 0);
        tree = [&level[..], &tree].concat();
        below = level;
    }
    (tree, digest(&SALT, &below))
}

fn made(data: &[u8]) -> (Vec<u8>, [u8; DIGEST]) {
    let blocks = (data.len() / BLOCK) as u64;
    let mut out = vec![0; tree_len(blocks) as usize];
    let mut write = |block: &[u8], at: u64| {
        out[at as usize..][..block.len()].copy_from_slice(block);
        Ok(())
    };
    let mut tree = Tree::new(blocks, &SALT, &mut write);
    data.chunks(BLOCK).for_each(|block| tree.push(&digest(&SALT, block)).unwrap());
    let root = tree.finish().unwrap();
    (out, root)
}

#[test]
fn every_level_has_its_place() {
    for blocks in [1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1] {
        let data: Vec<u8> = (0..blocks * BLOCK).map(|at| (at / 1000 + at / BLOCK) as u8).collect();
        assert!(made(&data) == by_the_book(&data), "{blocks}");
    }
}

#[test]
fn a_byte_that_differs_makes_another_root() {
    let mut data = vec![7; 300 * BLOCK];
    let before = made(&data).1;
    data[200 * BLOCK + 5] = 8;
    assert_ne!(made(&data).1, before);
}
