//! What goes in comes out of the kernel: metadata, content, holes.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use exporter::tree::{Content, Device, HostDir, HostFile, Inode, InodeKind, Time, Tree};
use rustix::fs::{SeekFrom, seek};

use crate::dump;
use crate::fsck::sample;
use crate::support::{GIB, Image, MIB, Mount, dir, empty_tree, file, meta, node, pattern, run};
use crate::trees::sparse;

/// Mount the image of `tree` and compare every path.
fn assert_same(tree: Tree, size: u64) {
    let expected = dump::of_tree(&tree);
    let image = Image::of(tree, size);
    let mount = Mount::new(&image, "ro");
    let found = dump::of_mount(mount.path());
    for (expected, found) in expected.lines().zip(found.lines()) {
        assert_eq!(expected, found);
    }
    assert_eq!(expected.lines().count(), found.lines().count());
}

#[test]
fn times_owners_and_modes_come_back() {
    let mut tree = empty_tree();
    let seconds = [0, -1, -0x8000_0000, 0x7fff_ffff, 0x8000_0000, 0x1_8000_0000, 0x3_7fff_ffff];
    for (number, seconds) in (0u32..).zip(seconds) {
        let id = file(&mut tree, Tree::ROOT, format!("at {seconds}").as_bytes(), []);
        let meta = &mut tree.inode_mut(id).meta;
        meta.mtime = Time { seconds, nanoseconds: 999_999_999 - number };
        (meta.uid, meta.gid) = (0xffff_fffe - number, 0x1_0000 + number);
        meta.permissions = 0o7777 ^ (1 << number);
    }
    assert_same(tree, 32 * MIB);
}

#[test]
fn device_numbers_come_back() {
    let mut tree = empty_tree();
    for (major, minor) in [(1, 3), (255, 255), (256, 0), (0, 256), (4095, (1 << 20) - 1)] {
        let device = Device { major, minor };
        node(&mut tree, Tree::ROOT, format!("c{major}:{minor}").as_bytes(), InodeKind::CharDevice(device));
        node(&mut tree, Tree::ROOT, format!("b{major}:{minor}").as_bytes(), InodeKind::BlockDevice(device));
    }
    assert_same(tree, 32 * MIB);
}

#[test]
fn symlinks_on_both_sides_of_the_inode_come_back() {
    let mut tree = empty_tree();
    for len in [1, 59, 60, 4095] {
        let target = InodeKind::Symlink(vec![b'\xff'; len].into());
        node(&mut tree, Tree::ROOT, len.to_string().as_bytes(), target);
    }
    assert_same(tree, 32 * MIB);
}

#[test]
fn xattrs_come_back_from_the_inode_and_the_block() {
    let mut tree = empty_tree();
    for len in [0, 1, 60, 72, 73, 500, 3900] {
        let id = file(&mut tree, Tree::ROOT, format!("{len}").as_bytes(), []);
        let xattrs = &mut tree.inode_mut(id).meta.xattrs;
        for (name, len) in [("user.a", len), ("user.\u{e9}", 3), ("trusted.z", 0), ("security.ima", 33)] {
            xattrs.insert(name.as_bytes().into(), pattern(len, 7).into());
        }
    }
    let id = file(&mut tree, Tree::ROOT, b"many", []);
    for number in 0..100 {
        let name = format!("user.number {number}");
        tree.inode_mut(id).meta.xattrs.insert(name.into_bytes().into(), [1, 2].into());
    }
    assert_same(tree, 32 * MIB);
}

#[test]
fn capabilities_and_acls_are_what_their_tools_say() {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let acl = [
        &[2, 0, 0, 0][..],
        &[1, 0, 7, 0, 255, 255, 255, 255],
        &[2, 0, 6, 0, 0x39, 0x30, 0, 0],
        &[4, 0, 5, 0, 255, 255, 255, 255],
        &[16, 0, 7, 0, 255, 255, 255, 255],
        &[32, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    let mut tree = empty_tree();
    let ping = file(&mut tree, Tree::ROOT, b"ping", *b"#!");
    tree.inode_mut(ping).meta.xattrs.insert(b"security.capability".as_slice().into(), capability.into());
    let journal = dir(&mut tree, Tree::ROOT, b"journal");
    let directory = &mut tree.inode_mut(journal).meta;
    directory.permissions = 0o2770;
    for name in ["system.posix_acl_access", "system.posix_acl_default"] {
        directory.xattrs.insert(name.as_bytes().into(), acl.clone().into());
    }
    let expected = dump::of_tree(&tree);

    let image = Image::of(tree, 32 * MIB);
    let mount = Mount::new(&image, "ro");
    assert_eq!(dump::of_mount(mount.path()), expected);
    let capabilities = run(Command::new("getcap").arg(mount.path().join("ping")));
    assert!(capabilities.contains("cap_net_bind_service=ep"), "{capabilities}");
    let acls = run(Command::new("getfacl").args(["-n", "-p"]).arg(mount.path().join("journal")));
    for line in ["user:12345:rw-", "mask::rwx", "default:user:12345:rw-", "default:other::---"] {
        assert!(acls.contains(line), "{acls}");
    }
}

#[test]
fn hard_links_are_one_inode() {
    let mut tree = empty_tree();
    let first = file(&mut tree, Tree::ROOT, b"first", *b"content");
    let below = dir(&mut tree, Tree::ROOT, b"below");
    tree.link(below, b"second", first);
    let image = Image::of(tree, 32 * MIB);
    let mount = Mount::new(&image, "ro");
    let first = mount.path().join("first").metadata().unwrap();
    let second = mount.path().join("below/second").metadata().unwrap();
    assert_eq!((first.ino(), first.nlink()), (second.ino(), 2));
}

#[test]
fn holes_stay_holes_beyond_four_gibibytes() {
    let host = tempfile::tempdir().unwrap();
    let len = 5 * GIB + 123;
    // Two ranges that meet in one block, one across 4 GiB, one at the very end.
    let data = [(0, 100), (8000, 100), (8192, 50), (3 * GIB, 5000), (4 * GIB - 10, 20), (5 * GIB, 123)];
    let mut tree = empty_tree();
    let kind = InodeKind::File(sparse(host.path(), len, &data));
    tree.insert(Tree::ROOT, b"sparse", Inode { meta: meta(0o644), kind });
    let image = Image::of(tree, 64 * MIB);
    let mount = Mount::new(&image, "ro");
    let found = std::fs::File::open(mount.path().join("sparse")).unwrap();
    assert_eq!(found.metadata().unwrap().len(), len);
    for (offset, len) in data {
        let mut bytes = vec![0; len];
        found.read_exact_at(&mut bytes, offset).unwrap();
        assert_eq!(bytes, pattern(len, offset), "{len} bytes at {offset}");
    }
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Ok(start) = seek(&found, SeekFrom::Data(at)) {
        at = seek(&found, SeekFrom::Hole(start)).unwrap();
        ranges.push((start, at));
    }
    let block = |n: u64| n / 4096 * 4096;
    assert_eq!(
        ranges,
        [
            (0, 4096),
            (4096, 3 * 4096),
            (3 * GIB, 3 * GIB + 8192),
            (4 * GIB - 4096, 4 * GIB + 4096),
            (block(5 * GIB), len)
        ]
        .into_iter()
        .fold(Vec::new(), |mut joined: Vec<(u64, u64)>, (start, end)| {
            match joined.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => joined.push((start, end)),
            }
            joined
        })
    );
}

#[test]
fn a_file_of_many_pieces_has_a_deep_extent_tree() {
    // 1500 pieces apart from each other: more than four leaves, so two levels.
    let host = tempfile::tempdir().unwrap();
    let data: Vec<_> = (0..1500).map(|piece| (piece * 3 * 4096, 4096)).collect();
    let mut tree = empty_tree();
    let kind = InodeKind::File(sparse(host.path(), 1500 * 3 * 4096, &data));
    tree.insert(Tree::ROOT, b"sparse", Inode { meta: meta(0o644), kind });
    let image = Image::of(tree, 64 * MIB);
    let extents = image.debugfs("dump_extents -n /sparse");
    assert!(extents.contains("0/ 2"), "{extents}");
    let mount = Mount::new(&image, "ro");
    let same = run(Command::new("cmp").arg(mount.path().join("sparse")).arg(host.path().join("sparse")));
    assert_eq!(same, "");
}

#[test]
fn blocks_are_counted_without_holes() {
    let host = tempfile::tempdir().unwrap();
    let mut tree = empty_tree();
    // Blocks of data, of extents (as many pieces as an inode has room for, or more), of attributes.
    let data: Vec<_> = (0..5).map(|piece| (piece * 3 * 4096, 5000)).collect();
    let files =
        [("none", 0, 10, 0), ("four", 4, 10, 8), ("five", 5, 10, 10 + 1), ("attributes", 4, 1000, 8 + 1)];
    for (name, pieces, attribute, _) in files {
        let at = host.path().join(name);
        std::fs::create_dir(&at).unwrap();
        let kind = InodeKind::File(sparse(&at, 1 << 20, &data[..pieces]));
        let id = tree.insert(Tree::ROOT, name.as_bytes(), Inode { meta: meta(0o644), kind });
        let value = pattern(attribute, 1).into();
        tree.inode_mut(id).meta.xattrs.insert(b"user.a".as_slice().into(), value);
    }
    let image = Image::of(tree, 32 * MIB);
    let mount = Mount::new(&image, "ro");
    for (name, _, _, blocks) in files {
        assert_eq!(mount.path().join(name).metadata().unwrap().blocks(), blocks * 8, "{name}");
    }
}

#[test]
fn a_large_file_goes_around_the_copies_of_the_superblock() {
    let host = tempfile::tempdir().unwrap();
    let mut tree = empty_tree();
    let len = 2 * GIB + 12_345;
    let kind = InodeKind::File(sparse(host.path(), len, &[(0, 4096)]));
    // All of it counts as data, though little of it is.
    let InodeKind::File(Content::Host(file)) = kind else { unreachable!() };
    let root = HostDir::open(host.path()).unwrap();
    let whole = InodeKind::File(Content::Host(HostFile::new(root, b"sparse", file.len(), None)));
    tree.insert(Tree::ROOT, b"large", Inode { meta: meta(0o644), kind: whole });
    let image = Image::of(tree, 3 * GIB);
    let mount = Mount::new(&image, "ro");
    let found = mount.path().join("large").metadata().unwrap();
    assert_eq!(found.len(), len);
    // 17 runs around the copies in groups 1, 3, 5, 7 and 9 and at 128 MiB: one leaf beside the data.
    assert_eq!(found.blocks(), (len.div_ceil(4096) + 1) * 8);
}

#[test]
fn the_kernel_writes_and_the_image_stays_clean() {
    let image = Image::of(sample(), 128 * MIB);
    let mount = Mount::new(&image, "rw");
    let many = mount.path().join("many");
    for number in 0..2000 {
        std::fs::write(many.join(format!("new {number}")), number.to_string()).unwrap();
    }
    std::fs::remove_file(mount.path().join("etc/big")).unwrap();
    std::fs::write(mount.path().join("filled"), pattern(20_000_000, 3)).unwrap();
    run(Command::new("setfattr").args(["-n", "user.more", "-v", "x"]).arg(mount.path().join("etc")));
    drop(mount);
    image.assert_clean();
}
