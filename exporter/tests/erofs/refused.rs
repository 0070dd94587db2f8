//! What EROFS cannot hold, and others can, is an error that names the path.

use exporter::fs::erofs::Options;
use exporter::tree::{Content, HostDir, HostFile, Inode, InodeKind};

use crate::refused_by_all::{said, said_of_attribute};
use crate::support::{empty_tree, meta, options, refusal_with};

#[test]
fn large_attributes() {
    let message = said_of_attribute("user.large", 65_536);
    assert_eq!(message, "/a/b: the extended attribute user.large has 65536 bytes, erofs allows 65535");
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
        let message = refusal_with(empty_tree(), &Options { label: label.to_owned(), ..options() });
        let expected = format!("erofs: the label {label:?} is longer than 15 bytes or contains NUL");
        assert_eq!(message, expected);
    }
}
