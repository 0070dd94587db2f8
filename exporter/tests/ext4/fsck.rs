//! Every image is clean for e2fsck, and e2fsck sees every byte that is wrong.

use std::os::unix::fs::FileExt;
use std::process::Command;

use exporter::tree::{Content, Device, HostDir, HostFile, InodeKind, Tree};
use tempfile::TempDir;

use crate::dump;
use crate::support::{GIB, Image, MIB, Mount, dir, empty_tree, file, node, pattern, run, text};

/// `tree` with a file of ten pieces, more than an inode has room for, and the directory that holds them.
fn with_pieces(mut tree: Tree) -> (Tree, TempDir) {
    let host = TempDir::new().unwrap();
    std::fs::write(host.path().join("pieces"), pattern(80_000, 5)).unwrap();
    let root = HostDir::open(host.path()).unwrap();
    let pieces = (0..10).map(|piece| piece * 8192..piece * 8192 + 4096).collect();
    let content = Content::Host(HostFile::new(root, b"pieces", 80_000, Some(pieces)));
    node(&mut tree, Tree::ROOT, b"pieces", InodeKind::File(content));
    (tree, host)
}

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
    node(&mut tree, Tree::ROOT, b"fast", InodeKind::Symlink(b"etc/hostname".as_slice().into()));
    node(&mut tree, Tree::ROOT, b"slow", InodeKind::Symlink(b"etc/../".repeat(100).into()));
    node(&mut tree, Tree::ROOT, b"console", InodeKind::CharDevice(Device { major: 5, minor: 1 }));
    node(&mut tree, Tree::ROOT, b"nvme", InodeKind::BlockDevice(Device { major: 259, minor: 0x12345 }));
    node(&mut tree, Tree::ROOT, b"fifo", InodeKind::Fifo);
    node(&mut tree, Tree::ROOT, b"socket", InodeKind::Socket);
    let many = dir(&mut tree, Tree::ROOT, b"many");
    tree.inode_mut(many).meta.xattrs.insert(b"user.x".as_slice().into(), [1].into());
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

/// What GRUB 2.06 and e2fsprogs 1.46 know, and nothing else.
#[test]
fn only_the_features_that_older_readers_know_are_set() {
    let image = Image::of(empty_tree(), 64 * MIB);
    let said = run(Command::new("dumpe2fs").arg("-h").arg(image.path()));
    let field = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {said}")).trim()
    };
    let features = "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super \
        large_file huge_file dir_nlink extra_isize metadata_csum";
    let expected = [
        ("Filesystem features", features),
        ("Filesystem revision #", "1 (dynamic)"),
        ("Filesystem flags", "signed_directory_hash"),
        ("Filesystem state", "clean"),
        ("Filesystem volume name", "vmimage-root"),
        ("Filesystem UUID", "0f5c9a52-9d0c-4a0e-8d3e-6a1f0e7f4b11"),
        ("Directory Hash Seed", "7a1e2d90-35e8-4d0b-9d53-1f4fd2a6d4c2"),
        ("Default directory hash", "half_md4"),
        ("Checksum type", "crc32c"),
        ("Inode size", "256"),
        ("Block count", "16384"),
        ("Reserved block count", "819"),
        ("Journal features", "(none)"),
    ];
    for (name, value) in expected {
        assert_eq!(field(name), value, "{name}");
    }
}

#[test]
fn a_lost_superblock_comes_back_from_any_copy() {
    let expected = dump::of_tree(&sample());
    for group in [1, 3, 5, 7, 9] {
        let image = Image::of(sample(), 2 * GIB);
        // Superblock and group descriptors.
        image.file().write_all_at(&[0; 8192], 0).unwrap();
        assert!(!image.fsck().status.success());
        let copy = (group * 32_768).to_string();
        let mut e2fsck = Command::new("e2fsck");
        e2fsck.args(["-fy", "-B", "4096", "-b", &copy]).arg(image.path()).output().unwrap();
        image.assert_clean();
        let mount = Mount::new(&image, "ro");
        assert_eq!(dump::of_mount(mount.path()), expected, "from group {group}");
    }
}

/// The number behind `field` in the text of a tool.
pub(crate) fn number_after(text: &str, field: &str) -> u64 {
    let at = text.find(field).unwrap_or_else(|| panic!("no {field:?} in {text}")) + field.len();
    let digits = text[at..].trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse().unwrap()
}

/// Where a structure of the image lies that the flip of one bit is to break.
fn structures(image: &Image) -> Vec<(&'static str, u64)> {
    let stats = image.debugfs("stats");
    let first_group = &stats[stats.find("Group  0").unwrap()..];
    let block = |field| number_after(first_group, field) * 4096;
    let stat = |path: &str| image.debugfs(&format!("stat {path}"));
    let first_block = |path: &str| number_after(&image.debugfs(&format!("bmap {path} 0")), "") * 4096;
    let table = block("inode table at");
    let many = number_after(&stat("/many"), "Inode:") - 1;
    vec![
        ("the superblock", 1024 + 0x78),
        ("the group descriptors", 4096 + 0x0c),
        ("the block bitmap", block("block bitmap at") + 1000),
        ("the inode bitmap", block("inode bitmap at") + 1),
        ("the root inode", table + 256 + 0x10),
        ("the resize inode", table + 6 * 256 + 0x28 + 13 * 4),
        ("the journal's inode", table + 7 * 256 + 0x28),
        ("an inode's attributes", table + many * 256 + 0xa4),
        ("the journal", first_block("<8>")),
        ("a directory", first_block("/etc") + 20),
        ("the root of a hash tree", first_block("/many") + 44),
        ("a leaf of a hash tree", number_after(&image.debugfs("bmap /many 1"), "") * 4096 + 9),
        ("an attribute block", number_after(&stat("/etc/big"), "File ACL:") * 4096 + 4000),
        ("an extent block", number_after(&stat("/pieces"), "(ETB0):") * 4096 + 20),
    ]
}

#[test]
fn e2fsck_sees_every_flipped_bit() {
    let (tree, _host) = with_pieces(sample());
    let image = Image::of(tree, 64 * MIB);
    let file = image.file();
    for (name, offset) in structures(&image) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
        let output = image.fsck();
        assert!(!output.status.success(), "{name} at {offset}: {}", text(&output));
        file.write_all_at(&byte, offset).unwrap();
    }
    image.assert_clean();
}
