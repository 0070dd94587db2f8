//! What EROFS cannot hold is an error that names the path.

use std::sync::Arc;

use exporter::error::Kind as ErrorKind;
use exporter::fs::erofs::{Draft, Options};
use exporter::tree::{Content, Device, HostDir, HostFile, Inode, InodeId, InodeKind, Tree};

use crate::support::{dir, empty_tree, file, meta, node, options};

fn refusal(tree: Tree, options: &Options) -> String {
    let error = Draft::new(&Arc::new(tree), options).err().expect("it is refused");
    assert_eq!(*error.kind(), ErrorKind::Input, "{error}");
    error.to_string()
}

/// What is said of the tree that `fill` makes of a directory `/a/b`.
fn said(fill: impl FnOnce(&mut Tree, InodeId)) -> String {
    let mut tree = empty_tree();
    let a = dir(&mut tree, Tree::ROOT, b"a");
    let b = dir(&mut tree, a, b"b");
    fill(&mut tree, b);
    refusal(tree, &options())
}

#[test]
fn names() {
    let name = "n".repeat(256);
    let message = said(|tree, b| {
        file(tree, b, name.as_bytes(), []);
    });
    assert_eq!(message, format!("/a/b/{name}: a name of 256 bytes, erofs allows 255"));
    for name in ["x/y", "x\0", "", ".", ".."] {
        let message = said(|tree, b| {
            file(tree, b, name.as_bytes(), []);
        });
        assert!(message.starts_with("/a/b/") && message.contains("name"), "{message}");
    }
}

#[test]
fn a_second_name_of_a_directory() {
    for other in [Tree::ROOT, InodeId(2)] {
        let message = said(|tree, b| tree.link(b, b"loop", other));
        assert_eq!(message, "/a/b/loop: a directory cannot have a second name");
    }
}

#[test]
fn symlinks() {
    let message = said(|tree, b| {
        node(tree, b, b"link", InodeKind::Symlink(vec![b'x'; 4096].into()));
    });
    assert_eq!(message, "/a/b/link: a target of 4096 bytes, erofs allows 4095");
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
        ("user.large", 65_536, "the extended attribute user.large has 65536 bytes, erofs allows 65535"),
        ("nonsense", 1, "erofs cannot store an extended attribute named nonsense"),
        ("system.posix_acl_access", 5, "the extended attribute system.posix_acl_access is not a valid ACL"),
    ] {
        let said = said(|tree, b| {
            tree.inode_mut(b).meta.xattrs.insert(name.as_bytes().into(), vec![0; len].into());
        });
        assert_eq!(said, format!("/a/b: {message}"));
    }
}

/// A file of this length, all of it data by what is said of it.
fn large(len: u64) -> Inode {
    let root = HostDir::open(std::env::temp_dir().as_path()).unwrap();
    Inode { meta: meta(0o644), kind: InodeKind::File(Content::Host(HostFile::new(root, b"none", len, None))) }
}

#[test]
fn files_and_file_systems() {
    let message = said(|tree, b| {
        tree.insert(b, b"large", large(1 << 63));
    });
    assert_eq!(message, "/a/b/large: 8388608 TiB are too much for a file");
    let message = said(|tree, b| {
        tree.insert(b, b"1", large(10 << 40));
        tree.insert(b, b"2", large(10 << 40));
    });
    assert_eq!(message, "/a/b/2: with this file, the file system has 16 TiB or more");
}

#[test]
fn wrong_options() {
    for label in ["sixteen letters!", "a\0b"] {
        let message = refusal(empty_tree(), &Options { label: label.to_owned(), ..options() });
        let expected = format!("erofs: the label {label:?} is longer than 15 bytes or contains NUL");
        assert_eq!(message, expected);
    }
}
