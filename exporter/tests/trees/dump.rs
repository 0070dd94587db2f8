//! A tree, a mounted directory and what other readers see of an image as the same text, a line for each
//! path.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use exporter::tree::{Content, InodeId, InodeKind, Tree};
use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};
use rustix::io::Errno;

/// What is compared of one path.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) kind: &'static str,
    pub(crate) permissions: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) links: u64,
    pub(crate) mtime: (i64, i64),
    /// Major and minor number.
    pub(crate) device: (u32, u32),
    /// Of content or target; the bytes of a file with many names would fill the memory.
    pub(crate) sum: u64,
    /// The blocks of a file that are no holes.
    pub(crate) data: Vec<Range<u64>>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Every path, the root's being empty.
pub(crate) type Lines = BTreeMap<Vec<u8>, Line>;

impl Line {
    fn write(&self, path: &[u8], out: &mut String) {
        let Self { kind, permissions, owner, links, mtime, device, sum, data, xattrs } = self;
        let path = path.escape_ascii();
        write!(
            out,
            "{kind} {permissions:04o} {owner:?} x{links} {mtime:?} {device:?} #{sum} {data:?} {path}"
        )
        .unwrap();
        for (name, value) in xattrs {
            write!(out, " {}={}", name.escape_ascii(), value.escape_ascii()).unwrap();
        }
        out.push('\n');
    }
}

/// Length and checksum in one; nothing of nothing.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.len() as u64 + u64::from(crc32c::crc32c(bytes)) * 1_000_000_000
}

pub(crate) fn text(lines: &Lines) -> String {
    let mut out = String::new();
    for (path, line) in lines {
        line.write(path, &mut out);
    }
    out
}

/// Add a range of blocks behind others; those that touch are one.
pub(crate) fn add_range(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
        _ => ranges.push(range),
    }
}

/// What `tree` is to look like once it is mounted.
pub(crate) fn lines_of_tree(tree: &Tree) -> Lines {
    let mut links: BTreeMap<InodeId, u64> = BTreeMap::new();
    let mut paths = BTreeMap::from([(Vec::new(), Tree::ROOT)]);
    let mut directories = BTreeMap::from([(Tree::ROOT, Vec::new())]);
    for (parent, name, id) in tree.walk() {
        let mut path = directories[&parent].clone();
        path.extend([b"/", name].concat());
        let links_of = if tree.entries(id).is_some() {
            directories.insert(id, path.clone());
            // Its `..`.
            parent
        } else {
            id
        };
        *links.entry(links_of).or_default() += 1;
        paths.insert(path, id);
    }
    let line = |(path, id)| (path, tree_line(tree, id, links.get(&id).copied().unwrap_or(0)));
    paths.into_iter().map(line).collect()
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
        // Its entry, its `.` and the `..` of those in it.
        InodeKind::Directory(_) => (line.kind, line.links) = ("d", 2 + links),
        InodeKind::File(content) => {
            (line.kind, line.sum) = ("f", sum(&read(content)));
            for range in content.data_ranges() {
                add_range(&mut line.data, range.start / 4096..range.end.div_ceil(4096));
            }
        }
        InodeKind::Symlink(target) => (line.kind, line.sum) = ("l", sum(target)),
        InodeKind::Fifo => line.kind = "p",
        InodeKind::Socket => line.kind = "s",
        InodeKind::CharDevice(device) => (line.kind, line.device) = ("c", (device.major, device.minor)),
        InodeKind::BlockDevice(device) => (line.kind, line.device) = ("b", (device.major, device.minor)),
    }
    line
}

fn read(content: &Content) -> Vec<u8> {
    let mut bytes = Vec::new();
    content.reader().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// What the kernel says of everything below `root`; whether all have one time alone, as what is made by ourselves.
pub(crate) fn lines_of_mount(root: &Path, has_one_time: bool) -> Lines {
    let mut lines = Lines::new();
    visit(root, Vec::new(), has_one_time, &mut lines);
    lines
}

fn visit(at: &Path, path: Vec<u8>, has_one_time: bool, lines: &mut Lines) {
    let metadata = at.symlink_metadata().unwrap();
    let times = [metadata.atime(), metadata.mtime(), metadata.ctime()];
    assert!(!has_one_time || times.iter().all(|&time| time == metadata.mtime()), "{at:?}: {times:?}");
    let file_type = metadata.file_type();
    let mut line = Line {
        permissions: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        links: metadata.nlink(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        device: (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev())),
        xattrs: xattrs(at),
        ..Line::default()
    };
    if file_type.is_dir() {
        line.kind = "d";
        for entry in at.read_dir().unwrap() {
            let name = entry.unwrap().file_name();
            visit(&at.join(&name), [path.as_slice(), b"/", name.as_bytes()].concat(), has_one_time, lines);
        }
    } else if file_type.is_symlink() {
        (line.kind, line.sum) = ("l", sum(at.read_link().unwrap().as_os_str().as_bytes()));
    } else if file_type.is_fifo() {
        line.kind = "p";
    } else if file_type.is_socket() {
        line.kind = "s";
    } else if file_type.is_char_device() {
        line.kind = "c";
    } else if file_type.is_block_device() {
        line.kind = "b";
    } else {
        (line.kind, line.sum) = ("f", sum(&std::fs::read(at).unwrap()));
        line.data = data(&File::open(at).unwrap());
    }
    lines.insert(path, line);
}

fn data(file: &File) -> Vec<Range<u64>> {
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Ok(start) = seek(file, SeekFrom::Data(at)) {
        at = seek(file, SeekFrom::Hole(start)).unwrap();
        add_range(&mut ranges, start / 4096..at.div_ceil(4096));
    }
    ranges
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
