//! What ext4 cannot hold is an error that names the path.

use std::sync::Arc;

use exporter::error::Kind;
use exporter::fs::ext4::{self, Options};
use exporter::tree::{Content, Device, HostDir, HostFile, Inode, InodeKind, Tree};

use crate::support::{MIB, dir, empty_tree, file, meta, node, options};

fn refusal(tree: Tree, options: &Options) -> String {
    let error = ext4::plan(&Arc::new(tree), options).unwrap_err();
    assert_eq!(*error.kind(), Kind::Input, "{error}");
    error.to_string()
}

/// What is said of the tree that `fill` makes of a directory `/a/b`.
fn said(fill: impl FnOnce(&mut Tree, exporter::tree::InodeId)) -> String {
    let mut tree = empty_tree();
    let a = dir(&mut tree, Tree::ROOT, b"a");
    let b = dir(&mut tree, a, b"b");
    fill(&mut tree, b);
    refusal(tree, &options(32 * MIB))
}

#[test]
fn names() {
    let name = "n".repeat(256);
    let message = said(|tree, b| {
        file(tree, b, name.as_bytes(), []);
    });
    assert_eq!(message, format!("/a/b/{name}: a name of 256 bytes, ext4 allows 255"));
    for name in ["x/y", "x\0", "", ".", ".."] {
        let message = said(|tree, b| {
            file(tree, b, name.as_bytes(), []);
        });
        assert!(message.starts_with("/a/b/") && message.contains("name"), "{message}");
    }
}

#[test]
fn links() {
    let message = said(|tree, b| {
        let first = file(tree, b, b"first", []);
        for number in 0..65_000 {
            tree.link(b, format!("link {number}").as_bytes(), first);
        }
    });
    assert_eq!(message, "/a/b/first: 65001 hard links, ext4 allows 65000");
    let message = said(|tree, b| tree.link(b, b"loop", Tree::ROOT));
    assert_eq!(message, "/a/b/loop: a directory cannot have a second name");
    let message = said(|tree, b| tree.link(b, b"loop", b));
    assert_eq!(message, "/a/b/loop: a directory cannot have a second name");
}

#[test]
fn symlinks() {
    let message = said(|tree, b| {
        node(tree, b, b"link", InodeKind::Symlink(vec![b'x'; 4096].into()));
    });
    assert_eq!(message, "/a/b/link: a target of 4096 bytes, ext4 allows 4095");
    for target in ["", "x\0y"] {
        let message = said(|tree, b| {
            node(tree, b, b"link", InodeKind::Symlink(target.as_bytes().into()));
        });
        assert_eq!(message, "/a/b/link: the target of a symbolic link is empty or contains NUL");
    }
}

#[test]
fn devices() {
    let message = said(|tree, b| {
        node(tree, b, b"dev", InodeKind::CharDevice(Device { major: 4096, minor: 0 }));
    });
    assert_eq!(message, "/a/b/dev: the device number 4096:0 is too large");
}

#[test]
fn attributes() {
    for (name, len, message) in [
        ("user.large", 4096, "the extended attributes don't fit the inode and one block of 4096 bytes"),
        ("nonsense", 1, "ext4 cannot store an extended attribute named nonsense"),
        ("system.posix_acl_access", 5, "the extended attribute system.posix_acl_access is not a valid ACL"),
    ] {
        let said = said(|tree, b| {
            tree.inode_mut(b).meta.xattrs.insert(name.as_bytes().into(), vec![0; len].into());
        });
        assert_eq!(said, format!("/a/b: {message}"));
    }
}

#[test]
fn files() {
    let host = tempfile::tempdir().unwrap();
    let root = HostDir::open(host.path()).unwrap();
    let message = said(|tree, b| {
        let content = Content::Host(HostFile::new(root, b"none", 1 << 44, Some([].into())));
        tree.insert(b, b"large", Inode { meta: meta(0o644), kind: InodeKind::File(content) });
    });
    assert_eq!(message, "/a/b/large: 16 TiB are too much for a file");
}

#[test]
fn a_lost_and_found_that_is_no_directory() {
    let mut tree = empty_tree();
    file(&mut tree, Tree::ROOT, b"lost+found", []);
    let message = refusal(tree, &options(32 * MIB));
    assert_eq!(message, "/lost+found: e2fsck wants a directory of this name in the root directory");
}

#[test]
fn wrong_options() {
    let said = |change: fn(&mut Options)| {
        let mut options = options(32 * MIB);
        change(&mut options);
        refusal(empty_tree(), &options)
    };
    for (message, part) in [
        (said(|options| options.label = "seventeen letters".into()), "longer than 16 bytes"),
        (said(|options| options.size += 512), "not a multiple of 4096"),
        (said(|options| options.size = 16 << 40), "below 16 TiB"),
        (said(|options| options.reserved_percent = 51), "ext4 allows 50 %"),
    ] {
        assert!(message.starts_with("ext4: ") && message.contains(part), "{message}");
    }
}
