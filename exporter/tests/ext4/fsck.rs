//! Every image is clean for e2fsck, and e2fsck sees every byte that is wrong.

use exporter::tree::{Device, Kind, Tree};

use crate::support::{GIB, Image, MIB, dir, empty_tree, file, node, pattern};

/// One of everything.
pub(crate) fn sample() -> Tree {
    let mut tree = empty_tree();
    let etc = dir(&mut tree, Tree::ROOT, b"etc");
    file(&mut tree, etc, b"hostname", *b"vmimage\n");
    let big = file(&mut tree, etc, b"big", pattern(3_000_001, 1));
    tree.link(Tree::ROOT, b"second name of big", big);
    tree.inode_mut(big).meta.xattrs.insert(b"user.note".as_slice().into(), pattern(300, 2).into());
    tree.inode_mut(etc)
        .meta
        .xattrs
        .insert(b"user.short".as_slice().into(), b"in the inode".as_slice().into());
    file(&mut tree, Tree::ROOT, b"empty", []);
    node(&mut tree, Tree::ROOT, b"fast", Kind::Symlink(b"etc/hostname".as_slice().into()));
    node(&mut tree, Tree::ROOT, b"slow", Kind::Symlink(vec![b'x'; 1000].into()));
    node(&mut tree, Tree::ROOT, b"console", Kind::CharDevice(Device { major: 5, minor: 1 }));
    node(&mut tree, Tree::ROOT, b"nvme", Kind::BlockDevice(Device { major: 259, minor: 0x12345 }));
    node(&mut tree, Tree::ROOT, b"fifo", Kind::Fifo);
    node(&mut tree, Tree::ROOT, b"socket", Kind::Socket);
    let many = dir(&mut tree, Tree::ROOT, b"many");
    for number in 0..3000 {
        file(&mut tree, many, format!("entry {number}").as_bytes(), []);
    }
    tree
}

#[test]
fn an_empty_tree_is_clean_at_every_size() {
    for size in [8 * MIB, 64 * MIB, 128 * MIB, 129 * MIB, GIB, 3 * GIB, 100 * GIB] {
        Image::of(empty_tree(), size);
    }
}

#[test]
fn one_of_everything_is_clean() {
    Image::of(sample(), 64 * MIB);
}
