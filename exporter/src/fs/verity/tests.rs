//! The tree against one that is made level by level, with all of it in memory.

use std::num::NonZeroUsize;

use super::*;
use crate::engine::Run;
use crate::extent::Extent;
use crate::fs::Contents;
use crate::seed::Uuid;

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

const UUID: Uuid = Uuid([0xab; 16]);

fn contents(size: u64, extents: Vec<Extent>) -> Contents {
    Contents { size, extents: Box::new(extents) }
}

/// All bytes of what is planned.
fn bytes(contents: &Contents) -> Vec<u8> {
    let mut out = vec![0; contents.size as usize];
    for extent in contents.extents.iter() {
        let place = &mut out[extent.offset as usize..extent.end() as usize];
        match &extent.source {
            crate::extent::Backing::Bytes(bytes) => place.copy_from_slice(bytes),
            crate::extent::Backing::Image { image, offset } => image.read_at(*offset, place).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    out
}

fn sealed(data: &Contents, threads: usize) -> Sealed {
    seal(data, &SALT, UUID, &Run::silent(NonZeroUsize::new(threads).unwrap())).unwrap()
}

#[test]
fn zeroes_are_hashed_wherever_they_lie_and_threads_change_nothing() {
    const MIB: usize = 1 << 20;
    let mut data = vec![0; 5 * MIB];
    data[MIB + 4096..MIB + 4100].fill(1);
    data[3 * MIB - 10..3 * MIB + 9000].fill(2);
    let (tree, root) = by_the_book(&data);
    let parts = [MIB + 4096..MIB + 4100, 3 * MIB - 10..3 * MIB + 9000];
    let extents = || {
        let extent = |range: &std::ops::Range<usize>| Extent::bytes(range.start as u64, &data[range.clone()]);
        parts.iter().map(extent).collect()
    };
    for threads in [1, 2, 5] {
        let Sealed { root_hash, hashes } = sealed(&contents(data.len() as u64, extents()), threads);
        assert_eq!(root_hash.0, root);
        let hashes = bytes(&hashes);
        assert_eq!(hashes.len() as u64, partition_len(data.len() as u64));
        assert!(hashes[BLOCK..] == tree, "{threads}");
    }
}

#[test]
fn a_hash_partition_says_how_its_tree_was_made() {
    let Sealed { root_hash, hashes } = sealed(&contents(2 * BLOCK as u64, Vec::new()), 1);
    let block = bytes(&hashes);
    assert_eq!(block.len(), 2 * BLOCK);
    let expected = [
        &b"verity\0\0\x01\0\0\0\x01\0\0\0"[..],
        &UUID.0,
        b"sha256",
        &[0; 26],
        &[0, 16, 0, 0, 0, 16, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0],
        &SALT,
    ];
    let expected = expected.concat();
    assert!(block.starts_with(&expected), "{:?}", &block[..120]);
    assert!(block[expected.len()..BLOCK].iter().all(|byte| *byte == 0));
    let [data, hash] = root_hash.partitions().map(|uuid| uuid.to_string().replace('-', ""));
    assert_eq!(data + &hash, root_hash.to_string());
}

#[test]
fn one_block_has_no_tree_and_half_a_block_is_refused() {
    let Sealed { root_hash, hashes } = sealed(&contents(BLOCK as u64, Vec::new()), 1);
    assert_eq!((root_hash.0, hashes.size), (digest(&SALT, &[0; BLOCK]), BLOCK as u64));
    for size in [0, 1, BLOCK as u64 + 512] {
        let data = contents(size, Vec::new());
        assert!(seal(&data, &SALT, UUID, &Run::silent(NonZeroUsize::MIN)).is_err(), "{size}");
    }
}

#[test]
fn hashes_may_lie_behind_their_data() {
    let data = || contents(3 * BLOCK as u64, vec![Extent::bytes(BLOCK as u64, [7; 9])]);
    let apart = bytes(&sealed(&data(), 1).hashes);
    let joined = sealed(&data(), 1).behind(data());
    assert_eq!(joined.size, joined_len(3 * BLOCK as u64));
    assert!(bytes(&joined) == [bytes(&data()), apart].concat());
}

#[test]
fn data_has_all_the_room_that_its_hashes_leave() {
    assert_eq!((data_len(0), data_len(8191), data_len(8192)), (0, 0, 4096));
    for blocks in [1, 2, 3, 128, 129, 130, 128 * 128, 128 * 128 + 1, 1 << 30] {
        let len = blocks * BLOCK as u64;
        let size = joined_len(len);
        assert_eq!((data_len(size), data_len(size - 1)), (len, len - BLOCK as u64), "{blocks}");
        assert_eq!(joined_len(len - 1), size);
    }
    // Two blocks need one of digests, which one alone does not.
    assert_eq!(joined_len(2 * BLOCK as u64) - joined_len(BLOCK as u64), 2 * BLOCK as u64);
}
