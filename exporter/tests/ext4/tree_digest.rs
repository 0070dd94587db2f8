//! The digest of a file system is that of its tree, sees every difference, and survives every damage.

use std::num::NonZeroUsize;
use std::process::Command;

use exporter::Kind;
use exporter::container;
use exporter::fs::ext4;
use exporter::tree::{Content, Detail, Device, HostDir, Inode, InodeId, InodeKind, Tree, scan};

use crate::fsck::sample;
use crate::support::{Image, MIB, Mount, budget, empty_tree, file, meta, node, pattern, run};

const EVERYTHING: Detail = Detail { holes: false, hashes: true };

/// Of the tree, as it is in memory.
pub(crate) fn of_tree(tree: &Tree) -> [u8; 32] {
    tree.digest(EVERYTHING).unwrap()
}

/// Of the tree, read from an image of it.
pub(crate) fn of_image(image: &Image) -> [u8; 32] {
    let (_, disk) = container::open(&image.path()).unwrap();
    ext4::tree_digest(&*disk, &budget()).unwrap()
}

#[test]
fn every_kind_of_difference_changes_it() {
    let find = |tree: &Tree, path: &[u8]| tree.resolve(path).unwrap();
    let base = of_image(&Image::of(sample(), 64 * MIB));
    assert_eq!(base, of_tree(&sample()));
    assert_eq!(base, of_image(&Image::of(sample(), 128 * MIB)), "its own size is no part of it");
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Tree));
    let changes: [Change<'_>; 13] = [
        ("name", &|tree| _ = file(tree, Tree::ROOT, b"new", [])),
        ("name in bytes", &|tree| _ = file(tree, Tree::ROOT, b"\xff", [])),
        ("type", &|tree| _ = node(tree, Tree::ROOT, b"empty", InodeKind::Fifo)),
        ("mode", &|tree| change(tree, find(tree, b"etc")).meta.permissions = 0o4755),
        ("owner", &|tree| change(tree, find(tree, b"etc/big")).meta.uid = 65_536),
        ("group", &|tree| change(tree, find(tree, b"etc/big")).meta.gid = 1),
        ("seconds", &|tree| change(tree, find(tree, b"etc/big")).meta.mtime.seconds -= 1 << 31),
        ("nanoseconds", &|tree| change(tree, find(tree, b"many")).meta.mtime.nanoseconds += 1),
        ("device", &|tree| {
            change(tree, find(tree, b"console")).kind = InodeKind::CharDevice(Device { major: 5, minor: 2 });
        }),
        ("target", &|tree| {
            let slow = tree.entries(Tree::ROOT).unwrap()[&b"slow"[..]];
            change(tree, slow).kind = InodeKind::Symlink(b"etc/../".repeat(99).into());
        }),
        ("hard link", &|tree| {
            let content = Content::Bytes(pattern(3_000_001, 1).into());
            let copy = Inode {
                meta: tree.inode(find(tree, b"etc/big")).meta.clone(),
                kind: InodeKind::File(content),
            };
            tree.insert(Tree::ROOT, b"second name of big", copy);
        }),
        ("xattr", &|tree| {
            let meta = &mut change(tree, find(tree, b"etc")).meta;
            meta.xattrs.insert(b"user.short"[..].into(), b"in the inodE"[..].into());
        }),
        ("content", &|tree| {
            let mut bytes = pattern(3_000_001, 1);
            bytes[3_000_000] ^= 1;
            change(tree, find(tree, b"etc/big")).kind = InodeKind::File(Content::Bytes(bytes.into()));
        }),
    ];
    for (what, change) in changes {
        let mut tree = sample();
        change(&mut tree);
        let changed = of_image(&Image::of(tree.clone(), 64 * MIB));
        assert_ne!(changed, base, "{what}");
        assert_eq!(changed, of_tree(&tree), "{what}");
    }
}

fn change(tree: &mut Tree, id: InodeId) -> &mut Inode {
    tree.inode_mut(id)
}

#[test]
fn a_hole_is_the_same_as_zeros() {
    let image = |content: Vec<u8>| {
        let mut tree = empty_tree();
        file(&mut tree, Tree::ROOT, b"file", content);
        Image::of(tree, 32 * MIB)
    };
    let zeros = image([vec![1; 5000], vec![0; 200_000], vec![2; 5000]].concat());
    let host = tempfile::tempdir().unwrap();
    let path = host.path().join("file");
    std::fs::write(&path, [1; 5000]).unwrap();
    let sparse = std::fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[2; 5000], 205_000).unwrap();
    let mut tree = scanned(host.path());
    *tree.inode_mut(Tree::ROOT) = Inode { meta: meta(0o755), kind: tree.inode(Tree::ROOT).kind.clone() };
    let id = tree.resolve(b"file").unwrap();
    tree.inode_mut(id).meta = meta(0o644);
    assert_eq!(of_image(&Image::of(tree, 32 * MIB)), of_image(&zeros));
}

fn scanned(root: &std::path::Path) -> Tree {
    scan(&HostDir::open(root).unwrap(), NonZeroUsize::MIN, &mut |_| {}).unwrap()
}

/// What the kernel shows of an image, without `lost+found`.
pub(crate) fn of_kernel(image: &Image) -> [u8; 32] {
    let mount = Mount::new(image, "ro");
    let mut tree = scanned(mount.path());
    if let InodeKind::Directory(entries) = &mut tree.inode_mut(Tree::ROOT).kind {
        entries.remove(&b"lost+found"[..]);
    }
    of_tree(&tree)
}

#[test]
fn file_systems_of_another_maker_are_read_as_the_kernel_reads_them() {
    let ours = Image::of(sample(), 64 * MIB);
    let mount = Mount::new(&ours, "ro");
    for options in [
        &["-b", "4096"][..],
        &["-b", "1024", "-I", "128"],
        &["-b", "2048", "-I", "512"],
        &["-O", "^64bit,^metadata_csum", "-b", "4096"],
        &["-O", "^has_journal,metadata_csum_seed", "-b", "1024"],
    ] {
        let image = Image::unchecked(empty_tree(), 8 * MIB);
        std::fs::remove_file(image.path()).unwrap();
        let mut mkfs = Command::new("mke2fs");
        mkfs.args(["-q", "-t", "ext4", "-d"]).arg(mount.path()).args(options).arg(image.path()).arg("64M");
        run(&mut mkfs);
        assert_eq!(of_image(&image), of_kernel(&image), "{options:?}");
    }
    drop(mount);
    assert_eq!(of_image(&ours), of_kernel(&ours));
}

#[test]
fn what_the_kernel_has_written_is_read() {
    let image = Image::of(sample(), 64 * MIB);
    {
        let mount = Mount::new(&image, "rw");
        std::fs::remove_file(mount.path().join("etc/hostname")).unwrap();
        std::fs::write(mount.path().join("new"), pattern(300_000, 3)).unwrap();
        for number in 0..500 {
            std::fs::write(mount.path().join(format!("many/later {number}")), [7; 10]).unwrap();
        }
    }
    assert_ne!(of_image(&image), of_tree(&sample()));
    assert_eq!(of_image(&image), of_kernel(&image));
}

#[test]
fn what_is_not_read_is_refused() {
    let refused = |bytes: &[u8]| ext4::tree_digest(bytes, &budget()).unwrap_err().kind().clone();
    let image = Image::of(sample(), 64 * MIB);
    let bytes = std::fs::read(image.path()).unwrap();
    assert_eq!(refused(&bytes[..4096]), Kind::Corrupt, "shorter than it says");
    assert_eq!(refused(&[0; 4096]), Kind::Unsupported);
    // The journal has to be read first.
    run(Command::new("debugfs").args(["-w", "-R", "feature +needs_recovery"]).arg(image.path()));
    assert_eq!(refused(&std::fs::read(image.path()).unwrap()), Kind::Unsupported);
}

#[test]
fn no_damage_does_more_than_an_error() {
    let mut tree = empty_tree();
    let etc = crate::support::dir(&mut tree, Tree::ROOT, b"etc");
    let id = file(&mut tree, etc, b"file", pattern(10_000, 1));
    tree.inode_mut(id).meta.xattrs.insert(b"user.long"[..].into(), pattern(1000, 2).into());
    tree.link(Tree::ROOT, b"link", id);
    node(&mut tree, Tree::ROOT, b"slow", InodeKind::Symlink(b"etc/../".repeat(100).into()));
    let image = Image::of(tree, 8 * MIB);
    let mut bytes = std::fs::read(image.path()).unwrap();
    let whole = of_image(&image);
    // Bytes that are not zero hold what is read.
    let used: Vec<usize> = (1024..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let (mut changed, mut refused) = (0, 0);
    for _ in 0..3000 {
        let places: Vec<(usize, u8)> =
            (0..1 + random() % 3).map(|_| used[random() % used.len()]).map(|at| (at, bytes[at])).collect();
        places.iter().for_each(|&(at, _)| bytes[at] = random() as u8);
        match ext4::tree_digest(&bytes[..], &budget()) {
            Ok(digest) => changed += usize::from(digest != whole),
            Err(_) => refused += 1,
        }
        places.iter().rev().for_each(|&(at, old)| bytes[at] = old);
    }
    assert!(changed > 10 && refused > 10, "{changed} changed, {refused} refused");
    assert_eq!(ext4::tree_digest(&bytes[..], &budget()).unwrap(), whole);
}
