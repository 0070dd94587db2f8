//! What ext4 cannot hold, and others can, is an error that names the path.

use exporter::fs::ext4::Options;
use exporter::tree::{Content, HostDir, HostFile, Inode, InodeKind, Tree};

use crate::refused_by_all::{said, said_of_attribute};
use crate::support::{MIB, empty_tree, file, meta, options, refusal, refusal_with};

#[test]
fn links() {
    let message = said(|tree, b| {
        let first = file(tree, b, b"first", []);
        for number in 0..65_000 {
            tree.link(b, format!("link {number}").as_bytes(), first);
        }
    });
    assert_eq!(message, "/a/b/first: 65001 hard links, ext4 allows 65000");
}

#[test]
fn large_attributes() {
    let message = said_of_attribute("user.large", 4096);
    assert_eq!(message, "/a/b: the extended attributes don't fit the inode and one block of 4096 bytes");
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
    let message = refusal(tree);
    assert_eq!(message, "/lost+found: e2fsck wants a directory of this name in the root directory");
}

#[test]
fn wrong_options() {
    let said = |change: fn(&mut Options)| {
        let mut options = options(32 * MIB);
        change(&mut options);
        refusal_with(empty_tree(), &options)
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
