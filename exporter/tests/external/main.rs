//! What the tools of the frontend image make of a tree, in the step that a build runs: the kernel gives it back, and the
//! checkers find nothing wrong. Needs docker, root, and a kernel with the drivers.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

#[allow(dead_code, reason = "shared with the tests of other file systems")]
#[path = "../trees/mod.rs"]
mod trees;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use exporter::container::Format;
use exporter::fs::external::Tool;
use exporter::spec::{Profile, Spec};
use exporter::tree::{Device, InodeId, InodeKind, Meta, Tree};
use proptest::prelude::*;

use trees::dump::{Lines, lines_of_mount, lines_of_tree, text};
use trees::random::{build, config, steps};
use trees::{Image, MIB, Mount, dir, empty_tree, file, node, pattern, run, sparse};

const TOOLS: [Tool; 3] = [Tool::Xfs, Tool::Btrfs, Tool::Squashfs];

/// A disk of files with nothing but this tree, in a file system as small as it can be; that file system.
fn made(tree: &Tree, tool: Tool) -> Image {
    let lab = tempfile::tempdir().unwrap();
    for folder in ["root", "scratch", "out"] {
        std::fs::create_dir(lab.path().join(folder)).unwrap();
    }
    tree.unpack(&lab.path().join("root")).unwrap();
    let name = tool.file_system().name();
    let partition =
        format!(r#"{{"type":"linux-generic","label":"data","filesystem":"{name}","source":"/","weight":0}}"#);
    let layout = serde_json::from_str(&format!(r#"{{"partitions":[{partition}]}}"#)).unwrap();
    let spec = Spec { profile: Profile::Data, formats: vec![Format::Raw], layout, ..Spec::default() };
    let frontend = std::env::var("VMIMAGE_FRONTEND").unwrap_or_else(|_| "example/vmimage".to_owned());
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--network", "none", "--read-only", "--entrypoint", "/vmimage"]);
    docker.arg("-v").arg(format!("{}:/lab", lab.path().display())).arg(frontend);
    docker.args(["assemble", "--root", "/lab/root", "--boot", "/nowhere", "--output", "/lab/out"]);
    run(docker.args(["--scratch", "/lab/scratch", "--spec", &serde_json::to_string(&spec).unwrap()]));
    let mut disks = std::fs::read_dir(lab.path().join("out")).unwrap();
    let image = Image::blank(name);
    partition_of(&disks.next().unwrap().unwrap().path(), &image);
    image
}

/// All between the two copies of the table, which have a mebibyte each.
fn partition_of(disk: &Path, image: &Image) {
    let size = disk.metadata().unwrap().len();
    run(Command::new("dd")
        .args(["bs=1M", "skip=1", "conv=sparse", "status=none"])
        .arg(format!("count={}", size / MIB - 2))
        .arg(format!("if={}", disk.display()))
        .arg(format!("of={}", image.path().display())));
    image.file().set_len(size - 2 * MIB).unwrap();
}

/// Whether the checker finds nothing wrong.
fn is_whole(image: &Image, tool: Tool) -> bool {
    let words: &[&str] = match tool {
        Tool::Xfs => &["xfs_repair", "-n"],
        Tool::Btrfs => &["btrfs", "check", "--check-data-csum"],
        Tool::Squashfs => &["unsquashfs", "-lls"],
    };
    let mut checker = Command::new(words[0]);
    let output = checker.args(&words[1..]).arg(image.path()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    output.status.success() || {
        eprintln!("{words:?}: {}", String::from_utf8_lossy(&said[..said.len().min(4000)]));
        false
    }
}

/// The same tree without what the tool refuses, and as exact in times as it is.
fn carried(mut tree: Tree, tool: Tool) -> Tree {
    for id in (0..tree.next_id().0).map(InodeId) {
        let inode = tree.inode_mut(id);
        if tool != Tool::Squashfs
            && matches!(inode.kind, InodeKind::CharDevice(_) | InodeKind::BlockDevice(_))
        {
            inode.kind = InodeKind::Fifo;
        }
        if let InodeKind::Symlink(target) = &mut inode.kind {
            // Linux gives every link these.
            inode.meta.permissions = 0o777;
            let longest = if tool == Tool::Xfs { 1023 } else { target.len() };
            *target = target[..target.len().min(longest)].into();
        }
        let Meta { mtime, xattrs, permissions: mode, .. } = &mut inode.meta;
        let is_plain = |name: &[u8]| name.starts_with(b"user.") || name == b"security.capability";
        xattrs.retain(|name, value| match tool {
            Tool::Btrfs => !name.starts_with(b"trusted."),
            Tool::Xfs => is_plain(name) && !value.is_empty(),
            Tool::Squashfs => is_plain(name),
        });
        // One and the same on Linux; random ones are not.
        if let Some(acl) = xattrs.get(ACCESS) {
            *mode = *mode & !0o777 | permissions(acl);
        }
        xattrs.retain(|name, acl| &**name != ACCESS || says_more_than_a_mode(acl));
        if tool == Tool::Squashfs {
            mtime.seconds &= 0xffff_ffff;
        }
        if tool != Tool::Xfs || id == Tree::ROOT {
            mtime.nanoseconds = 0;
        }
    }
    if tool == Tool::Xfs {
        inherit_groups(&mut tree);
    }
    tree
}

/// Every directory below one of a group is one of a group.
fn inherit_groups(tree: &mut Tree) {
    let walked: Vec<_> = tree.walk().map(|(parent, _, id)| (parent, id)).collect();
    for (parent, id) in walked {
        let bit = tree.inode(parent).meta.permissions & 0o2000;
        let inode = tree.inode_mut(id);
        if matches!(inode.kind, InodeKind::Directory(_)) {
            inode.meta.permissions |= bit;
        }
    }
}

const ACCESS: &[u8] = b"system.posix_acl_access";

/// Linux keeps an access ACL of owner, group and others as a mode alone.
fn says_more_than_a_mode(acl: &[u8]) -> bool {
    acl[4..].chunks_exact(8).any(|entry| !matches!(entry[0], 0x01 | 0x04 | 0x20))
}

/// The permissions that an access ACL has as well (`posix_acl_xattr.h`): those of the owner, the mask or the group, and others.
fn permissions(acl: &[u8]) -> u16 {
    let entries: Vec<_> = acl[4..].chunks_exact(8).map(|entry| (entry[0], u16::from(entry[2]))).collect();
    let of = |tag| entries.iter().find(|(it, _)| *it == tag).map(|(_, allowed)| *allowed);
    let group = of(0x10).or_else(|| of(0x04));
    of(0x01).unwrap_or(0) << 6 | group.unwrap_or(0) << 3 | of(0x20).unwrap_or(0)
}

/// Where holes lie is the tools' own matter, and how many names a directory has, that of btrfs.
fn comparable(mut lines: Lines) -> String {
    for line in lines.values_mut() {
        line.data.clear();
        line.links = if line.kind == "d" { 0 } else { line.links };
    }
    text(&lines)
}

fn assert_comes_back(tree: &Tree, tool: Tool) {
    let tree = carried(tree.clone(), tool);
    let image = made(&tree, tool);
    assert!(is_whole(&image, tool), "{tool:?}");
    let mount = Mount::new(&image, "ro");
    let (expected, found) =
        (comparable(lines_of_tree(&tree)), comparable(lines_of_mount(mount.path(), false)));
    for (expected, found) in expected.lines().zip(found.lines()) {
        assert_eq!(expected, found, "{tool:?}");
    }
    assert_eq!(expected.lines().count(), found.lines().count());
}

/// Many files of every length, one of many blocks with a hole, many names of one, and a device.
fn sample(host: &Path) -> Tree {
    let mut tree = empty_tree();
    let many = dir(&mut tree, Tree::ROOT, b"many");
    for number in 0..3000 {
        file(&mut tree, many, format!("file {number}").as_bytes(), pattern(number * 7, number as u64));
    }
    let large = file(&mut tree, Tree::ROOT, b"large", pattern(40 * MIB as usize + 5, 1));
    (0..100).for_each(|number| tree.link(many, format!("name {number}").as_bytes(), large));
    let meta = tree.inode(large).meta.clone();
    let holes = sparse(host, 1 << 30, &[(4096, 10_000), (700 << 20, 5000)]);
    tree.insert(Tree::ROOT, b"holes", exporter::tree::Inode { meta, kind: InodeKind::File(holes) });
    node(&mut tree, Tree::ROOT, b"null", InodeKind::CharDevice(Device { major: 1, minor: 3 }));
    tree
}

#[test]
#[ignore = "takes docker and minutes: make matrix"]
fn files_of_every_kind_come_back_and_holes_stay_holes() {
    let host = tempfile::tempdir().unwrap();
    let tree = sample(host.path());
    for tool in TOOLS {
        assert_comes_back(&tree, tool);
        let image = made(&carried(tree.clone(), tool), tool);
        let used = run(Command::new("du").args(["-m"]).arg(image.path()));
        let used: u64 = used.split_whitespace().next().unwrap().parse().unwrap();
        assert!(used < 200, "{tool:?}: {used} MiB of a tree with 1 GiB of holes");
    }
}

/// More names than one item of an inode's names holds, in directories of their own.
#[test]
#[ignore = "takes docker and minutes: make matrix"]
fn thousands_of_names_of_one_file_come_back() {
    let mut tree = empty_tree();
    let one = file(&mut tree, Tree::ROOT, b"one", pattern(27_000, 1));
    for (salt, names) in [(1, 689), (2, 555), (3, 1494), (4, 1449)] {
        for number in 0..names {
            tree.link(Tree::ROOT, format!("{salt} {number:x<40}").as_bytes(), one);
        }
    }
    TOOLS.into_iter().for_each(|tool| assert_comes_back(&tree, tool));
}

#[test]
#[ignore = "takes docker and minutes: make matrix"]
fn the_same_tree_is_the_same_bytes() {
    let host = tempfile::tempdir().unwrap();
    let tree = sample(host.path());
    for tool in TOOLS {
        let tree = carried(tree.clone(), tool);
        let [one, other] = [(); 2].map(|()| made(&tree, tool));
        run(Command::new("cmp").arg(one.path()).arg(other.path()));
    }
}

#[test]
#[ignore = "takes docker and minutes: make matrix"]
fn the_checkers_can_say_no() {
    let mut tree = empty_tree();
    file(&mut tree, Tree::ROOT, b"file", pattern(100_000, 1));
    for (tool, at) in [(Tool::Xfs, 64), (Tool::Btrfs, 0x1_0000 + 64), (Tool::Squashfs, 64)] {
        let image = made(&tree, tool);
        assert!(is_whole(&image, tool), "{tool:?}");
        image.file().write_all_at(&[0xff; 64], at).unwrap();
        assert!(!is_whole(&image, tool), "{tool:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..config() })]

    #[test]
    #[ignore = "takes docker and minutes: make matrix"]
    fn random_trees_come_back(steps in steps()) {
        let host = tempfile::tempdir().unwrap();
        let tree = build(steps, host.path());
        TOOLS.into_iter().for_each(|tool| assert_comes_back(&tree, tool));
    }
}
