//! What goes in comes out of the kernel: metadata, content, holes.

use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;
use std::sync::Arc;

use exporter::tree::{Content, Device, HostDir, HostFile, Inode, InodeKind, Time, Tree, scan};

use crate::fsck::sample;
use crate::support::{
    COMPRESSIONS, CREATED, GIB, Image, MIB, Mount, dir, empty_tree, file, meta, node, pattern, run,
};
use crate::trees::dump::{Lines, lines_of_mount, lines_of_tree, text};
use crate::trees::sparse;

/// Mount the images of `tree`, one for each compression, and compare every path.
pub(crate) fn assert_comes_back(tree: Tree) {
    let expected = without_holes(lines_of_tree(&tree));
    let tree = Arc::new(tree);
    for compression in COMPRESSIONS {
        let image = Image::packed(&tree, compression);
        let mount = Mount::new(&image, "ro");
        let found = without_holes(lines_of_mount(mount.path(), true));
        for (expected, found) in expected.lines().zip(found.lines()) {
            assert_eq!(expected, found, "{compression:?}");
        }
        assert_eq!(expected.lines().count(), found.lines().count(), "{compression:?}");
    }
}

/// Small holes are written: how much of a file is a hole is not compared.
fn without_holes(mut lines: Lines) -> String {
    lines.values_mut().for_each(|line| line.data.clear());
    text(&lines)
}

#[test]
fn one_of_everything_comes_back() {
    assert_comes_back(sample());
}

#[test]
fn times_owners_and_modes_come_back() {
    let mut tree = empty_tree();
    let seconds = [0, -1, -0x8000_0000, 0x7fff_ffff, 0x8000_0000, 0x3_7fff_ffff, 1 << 40, CREATED.seconds];
    for (number, seconds) in (0u32..).zip(seconds) {
        for nanoseconds in [CREATED.nanoseconds, 999_999_999 - number] {
            let id = file(&mut tree, Tree::ROOT, format!("{seconds}.{nanoseconds}").as_bytes(), []);
            let meta = &mut tree.inode_mut(id).meta;
            meta.mtime = Time { seconds, nanoseconds };
            (meta.uid, meta.gid) = (0xffff_fffe - number, 0x1_0000 + number);
            meta.permissions = 0o7777 ^ (1 << number);
        }
    }
    for id in [0, 1000, 65_534, 65_535, 65_536] {
        let inode = file(&mut tree, Tree::ROOT, format!("owner {id}").as_bytes(), []);
        let meta = &mut tree.inode_mut(inode).meta;
        (meta.uid, meta.gid, meta.mtime) = (id, id, CREATED);
    }
    assert_comes_back(tree);
}

#[test]
fn device_numbers_come_back() {
    let mut tree = empty_tree();
    for (major, minor) in [(1, 3), (255, 255), (256, 0), (0, 256), (4095, (1 << 20) - 1)] {
        let device = Device { major, minor };
        node(&mut tree, Tree::ROOT, format!("c{major}:{minor}").as_bytes(), InodeKind::CharDevice(device));
        node(&mut tree, Tree::ROOT, format!("b{major}:{minor}").as_bytes(), InodeKind::BlockDevice(device));
    }
    assert_comes_back(tree);
}

#[test]
fn symlinks_on_both_sides_of_the_inode_come_back() {
    let mut tree = empty_tree();
    for len in [1, 4031, 4032, 4033, 4095] {
        for xattr in [0, 10, 5000] {
            let target = InodeKind::Symlink(vec![b'\xff'; len].into());
            let id = node(&mut tree, Tree::ROOT, format!("{len} {xattr}").as_bytes(), target);
            let value = pattern(xattr, 7).into();
            tree.inode_mut(id).meta.xattrs.insert(b"trusted.x".as_slice().into(), value);
        }
    }
    assert_comes_back(tree);
}

#[test]
fn directories_of_every_length_come_back() {
    let mut tree = empty_tree();
    for names in [0, 1, 2, 30, 31, 32, 33, 200, 3000] {
        let directory = dir(&mut tree, Tree::ROOT, names.to_string().as_bytes());
        for number in 0..names {
            file(&mut tree, directory, format!("{number:>115}").as_bytes(), []);
        }
    }
    // On both sides of the dots.
    let odd = dir(&mut tree, Tree::ROOT, b"odd");
    for name in [&b"!"[..], b"-", b".!", b".-x", b"...", b".a", b"\xff\xfe", b"\x01"] {
        file(&mut tree, odd, name, []);
    }
    file(&mut tree, odd, &[b'n'; 255], []);
    assert_comes_back(tree);
}

#[test]
fn attributes_come_back_whatever_their_size() {
    let mut tree = empty_tree();
    for len in [0, 1, 3, 4, 60, 3900, 4000, 4096, 20_000, 65_000] {
        for copies in 0..2 {
            let id = file(&mut tree, Tree::ROOT, format!("{len} {copies}").as_bytes(), pattern(5000, 1));
            let xattrs = &mut tree.inode_mut(id).meta.xattrs;
            for (name, len) in [("user.a", len), ("user.\u{e9}", 3), ("trusted.z", 0), ("security.ima", 33)] {
                xattrs.insert(name.as_bytes().into(), pattern(len, copies).into());
            }
            xattrs.insert(b"user.same".as_slice().into(), pattern(len, 3).into());
        }
    }
    for name in ["many", "same"] {
        let id = file(&mut tree, Tree::ROOT, name.as_bytes(), []);
        for number in 0..400 {
            let name = format!("user.number {number}");
            tree.inode_mut(id).meta.xattrs.insert(name.into_bytes().into(), [1, 2].into());
        }
    }
    assert_comes_back(tree);
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
    for name in ["journal", "shared"] {
        let directory = dir(&mut tree, Tree::ROOT, name.as_bytes());
        let directory = &mut tree.inode_mut(directory).meta;
        directory.permissions = 0o2770;
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            directory.xattrs.insert(name.as_bytes().into(), acl.clone().into());
        }
    }
    let expected = text(&lines_of_tree(&tree));
    let image = Image::of(tree);
    let mount = Mount::new(&image, "ro");
    assert_eq!(text(&lines_of_mount(mount.path(), true)), expected);
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
    // More than a compact inode can count.
    let crowd = file(&mut tree, below, b"crowd", []);
    tree.inode_mut(crowd).meta.mtime = CREATED;
    for number in 0..65_535 {
        tree.link(below, format!("crowd {number}").as_bytes(), crowd);
    }
    let image = Image::of(tree);
    let mount = Mount::new(&image, "ro");
    let look = |name: &str| mount.path().join(name).metadata().unwrap();
    let (first, second) = (look("first"), look("below/second"));
    assert_eq!((first.ino(), first.nlink()), (second.ino(), 2));
    assert_eq!(look("below/crowd").nlink(), 65_536);
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
    let image = Image::of(tree);
    assert!(image.file().metadata().unwrap().len() < MIB);
    assert!(image.dump(&["-s"]).contains("sb_csum mtime chunked_file"), "{}", image.dump(&["-s"]));
    let mount = Mount::new(&image, "ro");
    let found = std::fs::File::open(mount.path().join("sparse")).unwrap();
    assert_eq!(found.metadata().unwrap().len(), len);
    for (offset, len) in data {
        let mut bytes = vec![0; len];
        found.read_exact_at(&mut bytes, offset).unwrap();
        assert_eq!(bytes, pattern(len, offset), "{len} bytes at {offset}");
    }
    let mut zeroes = vec![1; MIB as usize];
    for offset in [MIB, 3 * GIB - MIB, 3 * GIB + 5000, 5 * GIB - MIB] {
        found.read_exact_at(&mut zeroes, offset).unwrap();
        assert!(zeroes.iter().all(|&byte| byte == 0), "at {offset}");
    }
}

#[test]
fn the_largest_files_are_holes() {
    let host = tempfile::tempdir().unwrap();
    let mut tree = empty_tree();
    let lens = [1, 4096, 1 << 40, (1 << 43) + 1, i64::MAX as u64];
    for len in lens {
        let content = HostFile::new(HostDir::open(host.path()).unwrap(), b"none", len, Some([].into()));
        let kind = InodeKind::File(Content::Host(content));
        tree.insert(Tree::ROOT, len.to_string().as_bytes(), Inode { meta: meta(0o644), kind });
    }
    let image = Image::of(tree);
    assert!(image.file().metadata().unwrap().len() < 8 * MIB);
    let mount = Mount::new(&image, "ro");
    for len in lens {
        let found = std::fs::File::open(mount.path().join(len.to_string())).unwrap();
        assert_eq!(found.metadata().unwrap().len(), len);
        let mut last = [1];
        found.read_exact_at(&mut last, len - 1).unwrap();
        assert_eq!(last, [0], "{len}");
    }
}

#[test]
fn a_file_of_many_pieces_comes_back() {
    let host = tempfile::tempdir().unwrap();
    let data: Vec<_> = (0..1500).map(|piece| (piece * 3 * 4096, 4096)).collect();
    let mut tree = empty_tree();
    let kind = InodeKind::File(sparse(host.path(), 1500 * 3 * 4096, &data));
    tree.insert(Tree::ROOT, b"sparse", Inode { meta: meta(0o644), kind });
    let image = Image::of(tree);
    // The data, the addresses, and a few blocks.
    assert!(image.file().metadata().unwrap().len() < (1500 + 5 + 5) * 4096);
    let mount = Mount::new(&image, "ro");
    let same = run(Command::new("cmp").arg(mount.path().join("sparse")).arg(host.path().join("sparse")));
    assert_eq!(same, "");
}

#[test]
fn files_of_this_machine_come_back() {
    let host = tempfile::tempdir().unwrap();
    for len in [0, 1, 100, 4000, 4096, 5000, 70_000, 3_000_000] {
        std::fs::write(host.path().join(len.to_string()), pattern(len, len as u64)).unwrap();
    }
    let root = HostDir::open(host.path()).unwrap();
    assert_comes_back(scan(&root, NonZeroUsize::MIN, &mut |_| {}).unwrap());
}
