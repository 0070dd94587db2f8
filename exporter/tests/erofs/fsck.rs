//! fsck.erofs and dump.erofs agree with what was planned, and see what is damaged.

use std::os::unix::fs::FileExt;

use exporter::tree::{Device, InodeKind, Tree};

use crate::support::{CREATED, Image, dir, empty_tree, file, node, pattern};

/// One of everything, on both sides of what lies behind an inode.
pub(crate) fn sample() -> Tree {
    let mut tree = empty_tree();
    let etc = dir(&mut tree, Tree::ROOT, b"etc");
    for len in [0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 100_000] {
        file(&mut tree, etc, len.to_string().as_bytes(), pattern(len, len as u64));
    }
    let compact = file(&mut tree, etc, b"compact", *b"of the time of the file system");
    tree.inode_mut(compact).meta.mtime = CREATED;
    tree.link(Tree::ROOT, b"linked", compact);
    node(&mut tree, Tree::ROOT, b"link", InodeKind::Symlink((*b"etc/1").into()));
    node(&mut tree, Tree::ROOT, b"long", InodeKind::Symlink(b"etc/../".repeat(585).into()));
    node(&mut tree, Tree::ROOT, b"console", InodeKind::CharDevice(Device { major: 5, minor: 1 }));
    node(&mut tree, Tree::ROOT, b"nvme", InodeKind::BlockDevice(Device { major: 259, minor: 0x12345 }));
    node(&mut tree, Tree::ROOT, b"fifo", InodeKind::Fifo);
    node(&mut tree, Tree::ROOT, b"socket", InodeKind::Socket);
    let many = dir(&mut tree, Tree::ROOT, b"many");
    for number in 0..3000 {
        let id = file(&mut tree, many, format!("entry {number}").as_bytes(), []);
        tree.inode_mut(id).meta.xattrs.insert(b"user.x".as_slice().into(), [1].into());
    }
    tree
}

#[test]
fn an_empty_tree_is_two_blocks() {
    let image = Image::of(empty_tree());
    assert_eq!(image.file().metadata().unwrap().len(), 2 * 4096);
}

#[test]
fn one_of_everything_is_clean() {
    Image::of(sample());
}

/// What Linux 5.4 knows, and files in chunks only where there are holes.
#[test]
fn only_the_features_that_older_kernels_know_are_set() {
    let said = Image::of(sample()).dump(&["-s"]);
    let field = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {said}")).trim()
    };
    for (name, value) in [
        ("Filesystem magic number", "0xE0F5E1E2"),
        ("Filesystem features", "sb_csum mtime"),
        ("Filesystem UUID", "0f5c9a52-9d0c-4a0e-8d3e-6a1f0e7f4b11"),
        ("Filesystem root nid", "128"),
        ("Filesystem inode count", "3019"),
        ("Filesystem inode metadata start block", "0"),
    ] {
        assert_eq!(field(name), value, "{name}");
    }
}

#[test]
fn shared_attributes_lie_once_in_the_image() {
    let image = Image::of(sample());
    let bytes = std::fs::read(image.path()).unwrap();
    // One byte of name, namespace 1, one byte of value: of 3000 files.
    let entry = [1, 1, 1, 0, b'x', 1, 0, 0];
    assert_eq!(bytes.windows(entry.len()).filter(|window| *window == entry).count(), 1);
}

#[test]
fn fsck_sees_what_is_damaged() {
    let image = Image::of(sample());
    let (file, root) = (image.file(), 128 * 32);
    for (name, offset, bits) in [
        ("the superblock", 1024 + 0x30, 1),
        ("the layout of the root inode", root, 0xe),
        ("the size of the root inode", root + 10, 0x70),
        ("the first entry of the root", root + 64 + 5, 0x70),
        ("where the first name of the root lies", root + 64 + 8, 0x70),
    ] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ bits], offset).unwrap();
        assert!(image.fsck().is_err(), "{name} at {offset}");
        file.write_all_at(&byte, offset).unwrap();
    }
    image.assert_clean();
}
