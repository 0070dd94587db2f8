//! What no file system of ours holds is an error that names the path: of each file system that has these tests, `NAME`.

use exporter::tree::{Device, InodeId, InodeKind, Tree};

use crate::support::{NAME, refusal};
use crate::trees::{dir, empty_tree, file, node};

/// What is said of the tree that `fill` makes of a directory `/a/b`.
pub(crate) fn said(fill: impl FnOnce(&mut Tree, InodeId)) -> String {
    let mut tree = empty_tree();
    let a = dir(&mut tree, Tree::ROOT, b"a");
    let b = dir(&mut tree, a, b"b");
    fill(&mut tree, b);
    refusal(tree)
}

/// What is said of `/a/b` with an attribute of this name and length.
pub(crate) fn said_of_attribute(name: &str, len: usize) -> String {
    said(|tree, b| {
        tree.inode_mut(b).meta.xattrs.insert(name.as_bytes().into(), vec![0; len].into());
    })
}

#[test]
fn names() {
    let of_file = |name: &str| {
        said(|tree, b| {
            file(tree, b, name.as_bytes(), []);
        })
    };
    let name = "n".repeat(256);
    assert_eq!(of_file(&name), format!("/a/b/{name}: a name of 256 bytes, {NAME} allows 255"));
    for name in ["x/y", "x\0", "", ".", ".."] {
        let message = of_file(name);
        assert!(message.starts_with("/a/b/") && message.contains("name"), "{message}");
    }
}

#[test]
fn a_second_name_of_a_directory() {
    for is_root in [true, false] {
        let message = said(|tree, b| tree.link(b, b"loop", if is_root { Tree::ROOT } else { b }));
        assert_eq!(message, "/a/b/loop: a directory cannot have a second name");
    }
}

#[test]
fn symlinks() {
    let of_target = |target: &[u8]| {
        said(|tree, b| {
            node(tree, b, b"link", InodeKind::Symlink(target.into()));
        })
    };
    assert_eq!(of_target(&[b'x'; 4096]), format!("/a/b/link: a target of 4096 bytes, {NAME} allows 4095"));
    for target in ["", "x\0y"] {
        let message = of_target(target.as_bytes());
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
    let nonsense = said_of_attribute("nonsense", 1);
    assert_eq!(nonsense, format!("/a/b: {NAME} cannot store an extended attribute named nonsense"));
    let acl = said_of_attribute("system.posix_acl_access", 5);
    assert_eq!(acl, "/a/b: the extended attribute system.posix_acl_access is not a valid ACL");
}
