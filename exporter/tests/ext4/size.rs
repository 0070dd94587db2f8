//! Sizes: what fits, what does not, and every number of groups in between.

use std::sync::Arc;

use exporter::error::Kind;
use exporter::fs::ext4;
use exporter::tree::{Content, HostDir, HostFile, Inode, InodeKind, Tree};

use crate::fsck::sample;
use crate::support::{Image, MIB, dir, empty_tree, file, meta, options};

const GROUP: u64 = 128 * MIB;

/// A tree with one file of `mib` MiB.
fn of_size(mib: u64) -> Tree {
    let mut tree = empty_tree();
    file(&mut tree, Tree::ROOT, b"data", vec![1; (mib * MIB) as usize]);
    tree
}

#[test]
fn the_minimum_is_enough_and_a_block_less_is_not() {
    let mut small_files = empty_tree();
    for number in 0..20_000 {
        file(&mut small_files, Tree::ROOT, number.to_string().as_bytes(), [1]);
    }
    // 118 and 119 MiB lie on both sides of the first larger journal.
    for tree in [empty_tree(), sample(), small_files, of_size(118), of_size(119), of_size(130), of_size(390)]
    {
        let tree = Arc::new(tree);
        let minimum = ext4::minimum_size(&tree, &options(0)).unwrap();
        assert!(ext4::plan(&tree, &options(minimum)).is_ok());
        let error = ext4::plan(&tree, &options(minimum - 4096)).unwrap_err();
        assert_eq!(*error.kind(), Kind::NoSpace { needed: minimum, available: minimum - 4096 });
        Image::of(Arc::into_inner(tree).unwrap(), minimum);
    }
}

#[test]
fn no_smaller_size_than_the_minimum_does() {
    for tree in [empty_tree(), of_size(10), of_size(122)] {
        let tree = Arc::new(tree);
        let minimum = ext4::minimum_size(&tree, &options(0)).unwrap();
        // Every block near it, then every 37th down to nothing.
        let near = (minimum.saturating_sub(4 * MIB)..minimum).step_by(4096);
        for size in near.chain((0..minimum).step_by(37 * 4096)) {
            assert!(ext4::plan(&tree, &options(size)).is_err(), "{size} of {minimum}");
        }
    }
}

#[test]
fn too_small_is_said_with_both_sizes() {
    let error = ext4::plan(&Arc::new(of_size(20)), &options(16 * MIB)).unwrap_err();
    let Kind::NoSpace { needed, available } = *error.kind() else { panic!("{error}") };
    assert_eq!(available, 16 * MIB);
    assert!((24 * MIB..26 * MIB).contains(&needed), "{needed}");
    let message = format!("{error}");
    assert!(message.ends_with("MiB, there is room for 16 MiB"), "{message}");
}

#[test]
fn every_number_of_groups_is_clean() {
    let tail = |groups: u64| [0, 4096, 2 * MIB, 6 * MIB, GROUP - 4096].map(|tail| groups * GROUP + tail);
    let sizes =
        [1, 2, 3, 7, 8, 15, 16, 17, 24, 25, 31, 32, 33, 48, 49, 63, 64, 65].into_iter().flat_map(tail);
    for size in sizes.chain((3..12).map(|power| MIB << power)) {
        Image::of(empty_tree(), size);
    }
}

#[test]
fn full_file_systems_are_clean_around_the_flex_groups() {
    // A file of nothing but zeros that all count as data: the blocks matter, not what is in them.
    for groups in [1, 2, 3, 4, 17] {
        let size = groups * GROUP + GROUP / 2;
        let overhead = 40 * MIB + groups * 3 * MIB + size / 64;
        let host = tempfile::tempdir().unwrap();
        std::fs::File::create(host.path().join("data")).unwrap().set_len(size - overhead).unwrap();
        let root = HostDir::open(host.path()).unwrap();
        let content = HostFile::new(root, b"data", size - overhead, None);
        let kind = InodeKind::File(Content::Host(content));
        let mut tree = empty_tree();
        tree.insert(Tree::ROOT, b"data", Inode { meta: meta(0o644), kind });
        Image::of(tree, size);
    }
}

#[test]
fn the_largest_file_systems_can_be_planned() {
    let layout = ext4::plan(&Arc::new(sample()), &options((16 << 40) - 4096)).unwrap();
    assert_eq!(layout.size, (16 << 40) - 4096);
}

#[test]
fn many_inodes_need_more_groups_than_their_blocks() {
    let mut tree = empty_tree();
    let directory = dir(&mut tree, Tree::ROOT, b"d");
    for number in 0..100_000 {
        file(&mut tree, directory, format!("{number}").as_bytes(), []);
    }
    let tree = Arc::new(tree);
    let minimum = ext4::minimum_size(&tree, &options(0)).unwrap();
    // 112,500 inodes are four groups of at most 32,768.
    assert!(minimum > 3 * GROUP && minimum < 4 * GROUP, "{minimum}");
    Image::of(Arc::into_inner(tree).unwrap(), minimum);
}
