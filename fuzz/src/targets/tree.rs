//! Files for whole inputs, and disks of them.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use exporter::container::{self, Base, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::fs::Contents;
use exporter::fs::ext4;
use exporter::seed::Uuid;
use exporter::tree::{Content, Inode, InodeKind, Meta, Time, Tree, Xattrs};

const TIME: Time = Time { seconds: 1_700_000_000, nanoseconds: 5 };

/// A little of everything.
pub(super) fn small() -> Tree {
    let meta = |permissions| Meta { permissions, uid: 0, gid: 7, mtime: TIME, xattrs: Xattrs::new() };
    let mut tree = Tree::new(meta(0o755));
    let root = Tree::ROOT;
    let file = |text: &[u8]| Inode { meta: meta(0o644), kind: InodeKind::File(Content::Bytes(text.into())) };
    let etc = tree.insert(
        root,
        b"etc",
        Inode { meta: meta(0o755), kind: InodeKind::Directory(Default::default()) },
    );
    let release = tree.insert(etc, b"os-release", file(b"ID=debian\nPRETTY_NAME=\"Debian 12\"\n"));
    tree.link(root, b"again", release);
    tree.insert(etc, b"long", file(&b"a text that shrinks\n".repeat(600)));
    tree.insert(root, b"link", Inode { meta: meta(0o777), kind: InodeKind::Symlink(b"etc/long"[..].into()) });
    let mut capable = file(b"#!/bin/sh\n");
    capable.meta.xattrs.insert(
        b"security.capability"[..].into(),
        b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..].into(),
    );
    tree.insert(root, b"run", capable);
    let many = tree.insert(
        root,
        b"many",
        Inode { meta: meta(0o755), kind: InodeKind::Directory(Default::default()) },
    );
    for number in 0..40 {
        tree.insert(many, format!("a file with a name {number}").as_bytes(), file(b""));
    }
    tree
}

/// What an ext4 is to be.
pub(super) fn ext4_options() -> ext4::Options {
    ext4::Options {
        label: "root".to_owned(),
        uuid: Uuid::from_text("0f5c9a52-9d0c-4a0e-8d3e-6a1f0e7f4b11"),
        hash_seed: Uuid::from_text("7a1e2d90-35e8-4d0b-9d53-1f4fd2a6d4c2"),
        size: 0,
        created: TIME,
        reserved_percent: 5,
    }
}

/// An ext4 as small as it gets.
pub(super) fn ext4(tree: Tree, more: u64) -> exporter::Result<Contents> {
    let options = ext4_options();
    let tree = Arc::new(tree);
    let size = ext4::minimum_size(&tree, &options)?;
    ext4::plan(&tree, &ext4::Options { size: size + more, ..options })
}

/// An image as a file of this format.
pub(super) fn file(image: RawImage<'_>, format: Format) -> exporter::Result<Vec<u8>> {
    let folder = tempfile::tempdir().map_err(|error| exporter::Error::io("", "no folder", error))?;
    let path = folder.path().join("disk");
    write(image, format, None, &path)?;
    std::fs::read(&path).map_err(|error| exporter::Error::io("", "cannot read the disk", error))
}

/// The same at `path`, and over a base.
pub(super) fn write(
    image: RawImage<'_>,
    format: Format,
    base: Option<Base>,
    path: &Path,
) -> exporter::Result<()> {
    let target = Target {
        base,
        ..Target::new(
            path.to_owned(),
            format,
            format.default_compression(),
            Uuid::from_text("1c5b6a3e-58f5-4c0c-9d02-6a1f0e7f4b12"),
        )
    };
    container::write(image, &[target], &Run::silent(NonZeroUsize::MIN))
}

/// A layout as its bytes.
pub(super) fn bytes(layout: &Contents) -> exporter::Result<Vec<u8>> {
    file(RawImage { size: layout.size, extents: &*layout.extents }, Format::Raw)
}
