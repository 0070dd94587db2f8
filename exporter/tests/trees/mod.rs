//! What the tests of file systems share: trees in a line, random trees, images on disk, and what the kernel says of them.

pub(crate) mod dump;
pub(crate) mod random;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use exporter::extent::Backing;
use exporter::fs::Contents;
use exporter::tree::{Content, HostDir, HostFile, Inode, InodeId, InodeKind, Meta, Time, Tree, Xattrs};
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn meta(permissions: u16) -> Meta {
    let mtime = Time { seconds: 1_600_000_000, nanoseconds: 123_456_789 };
    Meta { permissions, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() }
}

pub(crate) fn empty_tree() -> Tree {
    Tree::new(meta(0o755))
}

pub(crate) fn dir(tree: &mut Tree, parent: InodeId, name: &[u8]) -> InodeId {
    tree.insert(parent, name, Inode { meta: meta(0o755), kind: InodeKind::Directory(Default::default()) })
}

pub(crate) fn file(tree: &mut Tree, parent: InodeId, name: &[u8], content: impl Into<Arc<[u8]>>) -> InodeId {
    tree.insert(
        parent,
        name,
        Inode { meta: meta(0o644), kind: InodeKind::File(Content::Bytes(content.into())) },
    )
}

pub(crate) fn node(tree: &mut Tree, parent: InodeId, name: &[u8], kind: InodeKind) -> InodeId {
    tree.insert(parent, name, Inode { meta: meta(0o644), kind })
}

/// `len` bytes that differ from block to block and from `salt` to `salt`.
pub(crate) fn pattern(len: usize, salt: u64) -> Vec<u8> {
    let word = |n: usize| (n as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes();
    (0..len.div_ceil(8)).flat_map(word).take(len).collect()
}

/// `len` bytes, some of which a compressor makes much smaller, some smaller, and some not.
pub(crate) fn prose(len: usize, salt: u64) -> Vec<u8> {
    let mut prose = Vec::with_capacity(len + PASSAGE);
    while prose.len() < len {
        let number = (prose.len() / PASSAGE) as u64 + salt;
        prose.extend(match number / 16 % 4 {
            0 => pattern(PASSAGE, number),
            1 => vec![0; PASSAGE],
            2 => pattern(64, number).repeat(PASSAGE / 64),
            _ => pattern(PASSAGE, number).iter().map(|byte| b'a' + byte % 16).collect(),
        });
    }
    prose.truncate(len);
    prose
}

/// Bytes of one kind in [`prose`].
const PASSAGE: usize = 8192;

/// An image in a directory of its own.
pub(crate) struct Image {
    dir: TempDir,
    /// Its file system, as mount(8) has it.
    kind: &'static str,
}

impl Image {
    /// Nothing yet.
    pub(crate) fn blank(kind: &'static str) -> Self {
        let image = Self { dir: TempDir::new().unwrap(), kind };
        File::create(image.path()).unwrap();
        image
    }

    /// A file system, written out.
    pub(crate) fn written(kind: &'static str, layout: &Contents) -> Self {
        let image = Self::blank(kind);
        write(layout, &image.file());
        image
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// A place beside the image, for mounts.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self) -> File {
        File::options().read(true).write(true).open(self.path()).unwrap()
    }
}

/// Write a layout out: the extents in order, everything else a hole.
pub(crate) fn write(layout: &Contents, file: &File) {
    file.set_len(layout.size).unwrap();
    let mut end = 0;
    for extent in layout.extents.iter() {
        assert!(extent.offset >= end && extent.len > 0, "extents are sorted and apart: {extent:?}");
        end = extent.end();
        let mut bytes = vec![0; extent.len as usize];
        match &extent.source {
            Backing::Bytes(source) => bytes.copy_from_slice(source),
            Backing::File { file, offset } => {
                file.open().unwrap().read_exact_at(&mut bytes, *offset).unwrap()
            }
            Backing::Archive { archive, offset } => archive.read_at(*offset, &mut bytes).unwrap(),
            Backing::Image { image, offset } => image.read_at(*offset, &mut bytes).unwrap(),
            Backing::Rendered { by, key } => by.render(*key, &mut bytes),
            Backing::Transformed { .. } => unreachable!("file systems are not encrypted here"),
        }
        // Zeros stay holes, so that a file of many gibibytes costs little.
        for (number, piece) in bytes.chunks(MIB as usize).enumerate() {
            if piece.iter().any(|&byte| byte != 0) {
                file.write_all_at(piece, extent.offset + number as u64 * MIB).unwrap();
            }
        }
    }
    assert!(end <= layout.size);
}

/// Run a command that must succeed; its output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A loop mount that goes away with the value.
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    pub(crate) fn new(image: &Image, options: &str) -> Self {
        let at = image.beside("mnt");
        std::fs::create_dir_all(&at).unwrap();
        run(Command::new("mount")
            .args(["-t", image.kind, "-o", &format!("loop,{options}")])
            .arg(image.path())
            .arg(&at));
        Self { at }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A child that another test has just forked holds our open files until it has its own program.
        for _ in 0..100 {
            if Command::new("umount").arg("-q").arg(&self.at).status().is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(std::thread::panicking(), "{:?} cannot be unmounted", self.at);
    }
}

/// A file of `len` bytes with data only at `data`, in a directory that the caller keeps.
pub(crate) fn sparse(at: &Path, len: u64, data: &[(u64, usize)]) -> Content {
    let host = std::fs::File::create(at.join("sparse")).unwrap();
    host.set_len(len).unwrap();
    for &(offset, len) in data {
        host.write_all_at(&pattern(len, offset), offset).unwrap();
    }
    let ranges = data.iter().map(|&(offset, len)| offset..offset + len as u64).collect();
    let root = HostDir::open(at).unwrap();
    Content::Host(HostFile::new(root, b"sparse", len, Some(ranges)))
}
