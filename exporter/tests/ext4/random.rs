//! Random trees: whatever they are, e2fsck is content, and every reader gives them back.

use std::path::Path;

use exporter::fs::ext4;
use exporter::tree::{Content, HostDir, HostFile, InodeKind, Tree};
use proptest::prelude::*;

use crate::support::{Image, MIB, Mount, empty_tree, file, node, options};
use crate::trees::random::{build, config, steps};
use crate::{debugfs, dump, tree_digest, view};

/// Many small files and one that takes a share of the size.
fn crowd(files: usize, host: &Path, len: u64) -> Tree {
    std::fs::File::create(host.join("data")).unwrap().set_len(len).unwrap();
    let content = HostFile::new(HostDir::open(host).unwrap(), b"data", len, None);
    let mut tree = empty_tree();
    node(&mut tree, Tree::ROOT, b"data", InodeKind::File(Content::Host(content)));
    for number in 0..files {
        file(&mut tree, Tree::ROOT, number.to_string().as_bytes(), [1]);
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..config() })]

    #[test]
    fn any_size_is_clean_or_too_small(blocks in 1000..400_000u64, files in 0..2000usize, share in 0..90u64) {
        let host = tempfile::tempdir().unwrap();
        let tree = crowd(files, host.path(), blocks * 4096 / 100 * share);
        let minimum = ext4::minimum_size(&tree.clone().into(), &options(0)).unwrap();
        if blocks * 4096 >= minimum {
            Image::of(tree, blocks * 4096);
        } else {
            let refused = ext4::plan(&tree.into(), &options(blocks * 4096));
            prop_assert!(refused.is_err());
        }
    }
}

/// Everything that everyone says of the image of a tree.
pub(crate) fn assert_comes_back(tree: Tree, size: u64) {
    let lines = dump::lines_of_tree(&tree);
    let expected = dump::text(&lines);
    let digest = tree_digest::of_tree(&tree);
    let image = Image::of(tree, size);
    same(&debugfs::of_debugfs(&image), &expected, "debugfs");
    same(&view::of_view(&image).unwrap(), &view::known(lines), "ext4-view");
    assert_eq!(tree_digest::of_image(&image), digest);
    let mount = Mount::new(&image, "ro");
    same(&dump::of_mount(mount.path()), &expected, "the kernel");
}

fn same(found: &str, expected: &str, reader: &str) {
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "{reader}");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{reader}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..config() })]

    #[test]
    fn random_trees_come_back(steps in steps()) {
        let host = tempfile::tempdir().unwrap();
        assert_comes_back(build(steps, host.path()), 64 * MIB);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..config() })]

    #[test]
    #[ignore = "long: make matrix"]
    fn many_random_trees_come_back(steps in steps(), groups in 1..20u64) {
        let host = tempfile::tempdir().unwrap();
        assert_comes_back(build(steps, host.path()), 64 * MIB + groups * 32 * MIB);
    }
}
