//! One text form of a tree: fixture, debug output and comparison language at once.
//!
//! One line for each entry, parents first, names in byte order; the root comes first as `/`. Fields are
//! separated by single spaces, and whatever a name, target or xattr holds is escaped, so that a line is
//! one line and a field one field:
//!
//! ```text
//! /         d 0755 0:0 1700000000.000000000
//! /dev/null c 0666 0:0 1700000000.000000000 1:3
//! /etc/os   - 0644 0:0 1700000000.000000000 5 user.note=6869 data=0-5 sha256=2cf2…
//! /etc/os2  = /etc/os
//! /lib      l 0777 0:0 1700000000.000000000 usr/lib
//! ```
//!
//! The letters are those of `ls -l`, and `=` is one more name of a file (a hard link). The last two
//! fields are there on demand ([`Detail`]).

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::io::Read;

use sha2::{Digest, Sha256};

use super::{Content, Device, InodeId, InodeKind, Meta, Places, Tree};
use crate::error::{Error, Result, show_path};

/// What a dump says about the content of regular files, beside the length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// `data=`: the ranges of data, when there are holes.
    pub holes: bool,
    /// `sha256=`: the hash of the content. Every file is read.
    pub hashes: bool,
}

impl Tree {
    /// The tree as text.
    pub fn dump(&self, detail: Detail) -> Result<String> {
        let mut text = String::new();
        self.dump_lines(detail, &mut |line| text.push_str(line))?;
        Ok(text)
    }

    /// SHA-256 over the dump, which is never in memory as a whole. With hashes of all content, but without
    /// holes, two trees of the same digest look the same to a program in the machine.
    pub fn digest(&self, detail: Detail) -> Result<[u8; 32]> {
        let mut hasher = Sha256::new();
        self.dump_lines(detail, &mut |line| hasher.update(line))?;
        Ok(hasher.finalize().into())
    }

    fn dump_lines(&self, detail: Detail, emit: &mut dyn FnMut(&str)) -> Result<()> {
        let linked = self.linked();
        // Only those that are asked for again: directories, and files of several names.
        let mut places = Places::default();
        // The directories above the entry, each with the length of its path.
        let (mut above, mut path) = (vec![(Self::ROOT, 0)], String::new());
        emit(&self.line("/", b"/", Self::ROOT, detail)?);
        for (parent, name, id) in self.walk() {
            while above.pop_if(|(id, _)| *id != parent).is_some() {}
            path.truncate(above.last().map_or(0, |&(_, len)| len));
            path.extend(["/", &escape(name)]);
            if places.contains(id) {
                emit(&format!("{path} = {}\n", shown(&places, id)));
                continue;
            }
            emit(&self.line(&path, name, id, detail)?);
            let is_directory = self.entries(id).is_some();
            if is_directory {
                above.push((id, path.len()));
            }
            if is_directory || linked.contains(&id) {
                places.insert(id, parent, name);
            }
        }
        Ok(())
    }

    /// Inodes of several names.
    pub(super) fn linked(&self) -> HashSet<InodeId> {
        let mut seen = vec![false; self.inodes.len()];
        self.walk()
            .filter_map(|(_, _, id)| std::mem::replace(&mut seen[id.0 as usize], true).then_some(id))
            .collect()
    }

    fn line(&self, path: &str, name: &[u8], id: InodeId, detail: Detail) -> Result<String> {
        let inode = self.inode(id);
        let what = match &inode.kind {
            InodeKind::Directory(_) => What::Directory,
            InodeKind::File(content) => What::File {
                len: content.len(),
                data: data(content, detail),
                sha256: detail.hashes.then(|| hash(content, name)).transpose()?,
            },
            InodeKind::Symlink(target) => What::Symlink(target),
            InodeKind::Fifo => What::Fifo,
            InodeKind::Socket => What::Socket,
            InodeKind::CharDevice(device) => What::CharDevice(*device),
            InodeKind::BlockDevice(device) => What::BlockDevice(*device),
        };
        Ok(Line { path, meta: &inode.meta, what }.to_string())
    }
}

/// The path of an inode that is noted, escaped.
fn shown(places: &Places<'_>, id: InodeId) -> String {
    let mut names: Vec<_> = places.names_up(id).map(|name| format!("/{}", escape(name))).collect();
    names.reverse();
    names.concat()
}

/// The line of an entry, wherever it was read: in a tree, or in a file system.
pub(crate) struct Line<'a> {
    /// From the root, escaped.
    pub(crate) path: &'a str,
    /// Of the inode.
    pub(crate) meta: &'a Meta,
    /// What the inode is.
    pub(crate) what: What<'a>,
}

/// What an inode is, as far as a line tells.
pub(crate) enum What<'a> {
    Directory,
    File {
        len: u64,
        /// The ranges of data, if they are asked for and not all of it.
        data: Option<String>,
        /// Of the content, if it is asked for.
        sha256: Option<[u8; 32]>,
    },
    Symlink(&'a [u8]),
    Fifo,
    Socket,
    CharDevice(Device),
    BlockDevice(Device),
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Meta { permissions, uid, gid, mtime, xattrs } = self.meta;
        let (path, letter) = (self.path, self.what.letter());
        write!(
            f,
            "{path} {letter} {permissions:04o} {uid}:{gid} {}.{:09}",
            mtime.seconds, mtime.nanoseconds
        )?;
        match &self.what {
            What::CharDevice(device) | What::BlockDevice(device) => {
                write!(f, " {}:{}", device.major, device.minor)?;
            }
            What::Symlink(target) => write!(f, " {}", escape(target))?,
            What::File { len, .. } => write!(f, " {len}")?,
            What::Directory | What::Fifo | What::Socket => {}
        }
        for (name, value) in xattrs {
            write!(f, " {}={}", escape(name), hex(value))?;
        }
        if let What::File { data, sha256, .. } = &self.what {
            data.iter().try_for_each(|data| write!(f, " data={data}"))?;
            sha256.iter().try_for_each(|sha256| write!(f, " sha256={}", hex(sha256)))?;
        }
        writeln!(f)
    }
}

impl What<'_> {
    fn letter(&self) -> char {
        match self {
            Self::Directory => 'd',
            Self::File { .. } => '-',
            Self::Symlink(_) => 'l',
            Self::Fifo => 'p',
            Self::Socket => 's',
            Self::CharDevice(_) => 'c',
            Self::BlockDevice(_) => 'b',
        }
    }
}

/// The ranges of data of a file that has holes, on demand.
fn data(content: &Content, detail: Detail) -> Option<String> {
    if !detail.holes {
        return None;
    }
    let ranges = content.data_ranges();
    let whole = content.is_empty() || matches!(&ranges[..], [range] if *range == (0..content.len()));
    let ranges = || ranges.iter().map(|range| format!("{}-{}", range.start, range.end));
    (!whole).then(|| ranges().collect::<Vec<_>>().join(","))
}

/// Printable ASCII as it is; everything else, and what separates fields, as `\xNN`.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' | b'=' => write!(text, "\\x{byte:02x}"),
            b'!'..=b'~' => write!(text, "{}", char::from(byte)),
            _ => write!(text, "\\x{byte:02x}"),
        }
        .expect("writing to a string does not fail");
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

fn hash(content: &Content, name: &[u8]) -> Result<[u8; 32]> {
    let mut reader = content.reader()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(len) => hasher.update(&buffer[..len]),
            Err(error) => return Err(Error::io(show_path(name), "cannot read the file", error)),
        }
    }
}
