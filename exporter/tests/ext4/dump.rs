//! A tree and a mounted directory as the same text, a line for each path.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use exporter::tree::{Content, InodeId, Kind, Tree};
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

/// What is compared of one path.
#[derive(Default)]
struct Line {
    kind: &'static str,
    permissions: u32,
    owner: (u32, u32),
    /// Of everything but directories.
    links: u64,
    mtime: (i64, i64),
    rdev: u64,
    /// Content or target.
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Line {
    fn write(&self, path: &[u8], out: &mut String) {
        let Self { kind, permissions, owner, links, mtime, rdev, content, xattrs } = self;
        let sum = content.len() as u64 + u64::from(crc32c::crc32c(content)) * 1_000_000_000;
        let path = path.escape_ascii();
        write!(out, "{kind} {permissions:04o} {owner:?} x{links} {mtime:?} dev {rdev:x} #{sum} {path}")
            .unwrap();
        for (name, value) in xattrs {
            write!(out, " {}={}", name.escape_ascii(), value.escape_ascii()).unwrap();
        }
        out.push('\n');
    }
}

/// What `tree` is to look like once it is mounted, without `lost+found`.
pub(crate) fn of_tree(tree: &Tree) -> String {
    let mut links: BTreeMap<InodeId, u64> = BTreeMap::new();
    for (_, _, id) in tree.walk() {
        *links.entry(id).or_default() += 1;
    }
    let mut paths = BTreeMap::from([(Vec::new(), Tree::ROOT)]);
    let mut directories = BTreeMap::from([(Tree::ROOT, Vec::new())]);
    for (parent, name, id) in tree.walk() {
        let mut path = directories[&parent].clone();
        path.extend([b"/", name].concat());
        if tree.entries(id).is_some() {
            directories.insert(id, path.clone());
        }
        paths.insert(path, id);
    }
    let mut out = String::new();
    for (path, id) in paths.iter().filter(|(path, _)| path.as_slice() != b"/lost+found") {
        tree_line(tree, *id, links.get(id).copied().unwrap_or(1)).write(path, &mut out);
    }
    out
}

fn tree_line(tree: &Tree, id: InodeId, links: u64) -> Line {
    let inode = tree.inode(id);
    let meta = &inode.meta;
    let xattrs = meta.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let mut line = Line {
        permissions: u32::from(meta.permissions),
        owner: (meta.uid, meta.gid),
        links,
        mtime: (meta.mtime.seconds, i64::from(meta.mtime.nanoseconds)),
        xattrs,
        ..Line::default()
    };
    match &inode.kind {
        Kind::Directory(_) => (line.kind, line.links) = ("d", 0),
        Kind::File(content) => (line.kind, line.content) = ("f", read(content)),
        Kind::Symlink(target) => (line.kind, line.content) = ("l", target.to_vec()),
        Kind::Fifo => line.kind = "p",
        Kind::Socket => line.kind = "s",
        Kind::CharDevice(device) => {
            (line.kind, line.rdev) = ("c", rustix::fs::makedev(device.major, device.minor));
        }
        Kind::BlockDevice(device) => {
            (line.kind, line.rdev) = ("b", rustix::fs::makedev(device.major, device.minor));
        }
    }
    line
}

fn read(content: &Content) -> Vec<u8> {
    let mut bytes = Vec::new();
    content.reader().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// What the kernel says of everything below `root`.
pub(crate) fn of_mount(root: &Path) -> String {
    let mut lines = BTreeMap::new();
    visit(root, Vec::new(), &mut lines);
    let mut out = String::new();
    for (path, line) in &lines {
        line.write(path, &mut out);
    }
    out
}

fn visit(at: &Path, path: Vec<u8>, lines: &mut BTreeMap<Vec<u8>, Line>) {
    if path == b"/lost+found" {
        return;
    }
    let metadata = at.symlink_metadata().unwrap();
    let times = [metadata.atime(), metadata.mtime(), metadata.ctime()];
    assert!(times.iter().all(|&time| time == metadata.mtime()), "{at:?}: {times:?}");
    let file_type = metadata.file_type();
    let mut line = Line {
        permissions: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        links: metadata.nlink(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        rdev: metadata.rdev(),
        xattrs: xattrs(at),
        ..Line::default()
    };
    if file_type.is_dir() {
        (line.kind, line.links) = ("d", 0);
        for entry in at.read_dir().unwrap() {
            let name = entry.unwrap().file_name();
            visit(&at.join(&name), [path.as_slice(), b"/", name.as_bytes()].concat(), lines);
        }
    } else if file_type.is_symlink() {
        (line.kind, line.content) = ("l", at.read_link().unwrap().as_os_str().as_bytes().to_vec());
    } else if file_type.is_fifo() {
        line.kind = "p";
    } else if file_type.is_socket() {
        line.kind = "s";
    } else if file_type.is_char_device() {
        line.kind = "c";
    } else if file_type.is_block_device() {
        line.kind = "b";
    } else {
        (line.kind, line.content) = ("f", std::fs::read(at).unwrap());
    }
    lines.insert(path, line);
}

fn xattrs(at: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let len = match llistxattr(at, &mut names) {
        Ok(len) => len,
        Err(Errno::NOTSUP) => 0,
        Err(error) => panic!("{at:?}: {error}"),
    };
    let names = names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let len = lgetxattr(at, name, &mut value).unwrap();
            (name.to_vec(), value[..len].to_vec())
        })
        .collect()
}
