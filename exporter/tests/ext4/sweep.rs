//! Sweeps over every boundary there is, each image judged by e2fsck: of sizes, of files, of directories.
//!
//! The short ones take samples. The long ones, for `make matrix`, take all.

use std::fs::File;
use std::path::Path;

use exporter::fs::ext4;
use exporter::tree::{Content, HostDir, HostFile, Inode, InodeKind, Tree};
use tempfile::TempDir;

use crate::support::{GIB, Image, MIB, Mount, dir, empty_tree, file, meta, options};

const KIB: u64 = 1 << 10;
const GROUP: u64 = 128 * MIB;
const TIB: u64 = 1 << 40;

/// What a size may exceed a boundary by.
const TAILS: [u64; 10] =
    [0, 4 * KIB, 64 * KIB, 256 * KIB, MIB, 2 * MIB, 6 * MIB, 32 * MIB, GROUP - 64 * KIB, GROUP - 4 * KIB];

fn assert_all_clean(sizes: impl IntoIterator<Item = u64>) {
    for size in sizes {
        Image::of(empty_tree(), size);
    }
}

/// A block on each side of every power of two up to 1 TiB; below 2^22 bytes nothing fits.
fn around_powers_of_two(exponents: impl Iterator<Item = u32>) -> impl Iterator<Item = u64> {
    exponents.flat_map(|exponent| [(1 << exponent) - 4 * KIB, 1 << exponent, (1 << exponent) + 4 * KIB])
}

#[test]
fn sizes_around_powers_of_two_are_clean() {
    assert_all_clean(around_powers_of_two([23, 27, 31, 34, 36].into_iter()));
}

#[test]
#[ignore = "long: make matrix"]
fn sizes_around_all_powers_of_two_are_clean() {
    assert_all_clean(around_powers_of_two(23..41));
}

#[test]
#[ignore = "long: make matrix"]
fn every_partial_last_group_is_clean() {
    assert_all_clean((1..52).flat_map(|groups| TAILS.map(|tail| groups * GROUP + tail)));
}

#[test]
#[ignore = "long: make matrix"]
fn every_block_more_in_the_last_group_is_clean() {
    // Both kinds of last group, with a superblock and without, while it is too small to be kept and after.
    for groups in [1, 2] {
        assert_all_clean((0..700).map(|blocks| groups * GROUP + blocks * 4 * KIB));
    }
}

#[test]
#[ignore = "long: make matrix"]
fn sizes_around_blocks_of_descriptors_are_clean() {
    // 64 descriptors to a block.
    for groups in [64, 128, 192, 640, 1024] {
        assert_all_clean(TAILS.map(|tail| groups * GROUP + tail));
        assert_all_clean([groups * GROUP - 4 * KIB]);
    }
}

#[test]
#[ignore = "long: make matrix"]
fn the_largest_sizes_are_clean() {
    assert_all_clean([TIB + MIB, 8 * TIB, 16 * TIB - 4 * KIB]);
}

/// A file of `len` bytes of zeros, all of which count as data.
fn all_data(host: &Path, len: u64) -> InodeKind {
    File::create(host.join("data")).unwrap().set_len(len).unwrap();
    let root = HostDir::open(host).unwrap();
    InodeKind::File(Content::Host(HostFile::new(root, b"data", len, None)))
}

#[test]
fn files_around_blocks_and_extents_are_whole() {
    // An extent holds 32768 blocks, an inode four extents.
    let extent = 32_768 * 4096;
    for len in [1, 4095, 4096, 4097, extent - 1, extent, extent + 1, 4 * extent, 4 * extent + 1] {
        let host = TempDir::new().unwrap();
        let mut tree = empty_tree();
        tree.insert(Tree::ROOT, b"data", Inode { meta: meta(0o644), kind: all_data(host.path(), len) });
        let image = Image::of(tree, len + 96 * MIB - len % 4096);
        let mount = Mount::new(&image, "ro");
        assert_eq!(mount.path().join("data").metadata().unwrap().len(), len);
    }
}

/// A file with `pieces` pieces of data of one block each, a hole before each.
fn in_pieces(host: &Path, pieces: u64) -> InodeKind {
    let len = pieces * 8192;
    File::create(host.join("data")).unwrap().set_len(len).unwrap();
    let root = HostDir::open(host).unwrap();
    let ranges = (0..pieces).map(|piece| piece * 8192 + 4096..piece * 8192 + 8192).collect();
    InodeKind::File(Content::Host(HostFile::new(root, b"data", len, Some(ranges))))
}

fn assert_depth(pieces: u64, depth: u32) {
    let host = TempDir::new().unwrap();
    let mut tree = empty_tree();
    tree.insert(Tree::ROOT, b"data", Inode { meta: meta(0o644), kind: in_pieces(host.path(), pieces) });
    let image = Image::of(tree, (pieces + pieces / 16) * 4096 + 64 * MIB);
    let extents = image.debugfs("dump_extents /data");
    assert!(extents.contains(&format!(" 0/ {depth} ")), "{pieces} pieces: {extents:.300}");
}

/// Four extents in the inode; 340 in a block below it; four blocks, then 340 blocks.
#[test]
fn extent_trees_grow_at_their_bounds() {
    for (pieces, depth) in [(4, 0), (5, 1), (340, 1), (341, 1), (1360, 1), (1361, 2), (2000, 2)] {
        assert_depth(pieces, depth);
    }
}

#[test]
#[ignore = "long: make matrix"]
fn the_deepest_extent_trees_are_clean() {
    for (pieces, depth) in [(4 * 340 * 340, 2), (4 * 340 * 340 + 1, 3), (500_000, 3)] {
        assert_depth(pieces, depth);
    }
}

/// A directory of so many names of `len` bytes, all of them names of a few files.
fn crowded(count: usize, len: usize) -> Tree {
    let mut tree = empty_tree();
    let directory = dir(&mut tree, Tree::ROOT, b"crowded");
    let mut target = None;
    for number in 0..count {
        let name = format!("{number:x>len$}").into_bytes();
        match target.filter(|_| number % 60_000 != 0) {
            Some(target) => tree.link(directory, &name, target),
            None => target = Some(file(&mut tree, directory, &name, [])),
        }
    }
    tree
}

#[test]
#[ignore = "long: make matrix"]
fn directories_around_their_bounds_are_clean() {
    // 15 names of 255 bytes fill a block: about 507 of them fill the root of a hash tree.
    let long = (1..40).chain((6000..8200).step_by(11)).map(|count| (count, 255));
    let short = (330..350).map(|count| (count, 4)).chain([(1_000_000, 12)]);
    for (count, len) in long.chain(short) {
        Image::of(crowded(count, len), 512 * MIB);
    }
}

#[test]
#[ignore = "long: make matrix"]
fn numbers_of_inodes_around_groups_are_clean() {
    // 8192 inodes in a group at one for each 16 KiB, 16 in a block of the table; more if the tree has more.
    for files in [8100, 8170, 8180, 8181, 8182, 8192, 16_384, 32_700, 32_768, 65_536] {
        let mut tree = empty_tree();
        for number in 0..files {
            file(&mut tree, Tree::ROOT, number.to_string().as_bytes(), []);
        }
        let minimum = ext4::minimum_size(&tree.clone().into(), &options(0)).unwrap();
        for size in [minimum, 512 * MIB, GIB] {
            Image::of(tree.clone(), size);
        }
    }
}
