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

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::io::Read;

use sha2::{Digest, Sha256};

use super::{Content, InodeId, Kind, Meta, Tree};
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
        let mut paths = HashMap::from([(Self::ROOT, String::new())]);
        emit(&self.line("/", b"/", Self::ROOT, detail)?);
        for (parent, name, id) in self.walk() {
            let path = format!("{}/{}", paths[&parent], escape(name));
            if let Some(first) = paths.get(&id) {
                emit(&format!("{path} = {first}\n"));
                continue;
            }
            emit(&self.line(&path, name, id, detail)?);
            if self.entries(id).is_some() || linked.contains(&id) {
                paths.insert(id, path);
            }
        }
        Ok(())
    }

    /// Inodes of several names.
    fn linked(&self) -> HashSet<InodeId> {
        let mut seen = vec![false; self.inodes.len()];
        self.walk()
            .filter_map(|(_, _, id)| std::mem::replace(&mut seen[id.0 as usize], true).then_some(id))
            .collect()
    }

    fn line(&self, path: &str, name: &[u8], id: InodeId, detail: Detail) -> Result<String> {
        let inode = self.inode(id);
        let Meta { permissions, uid, gid, mtime, xattrs } = &inode.meta;
        let mut line = format!(
            "{path} {} {permissions:04o} {uid}:{gid} {}.{:09}",
            letter(&inode.kind),
            mtime.seconds,
            mtime.nanoseconds
        );
        match &inode.kind {
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                push(&mut line, format_args!("{}:{}", device.major, device.minor));
            }
            Kind::Symlink(target) => push(&mut line, format_args!("{}", escape(target))),
            Kind::File(content) => push(&mut line, format_args!("{}", content.len())),
            Kind::Directory(_) | Kind::Fifo | Kind::Socket => {}
        }
        for (name, value) in xattrs {
            push(&mut line, format_args!("{}={}", escape(name), hex(value)));
        }
        if let Kind::File(content) = &inode.kind {
            describe(content, name, detail, &mut line)?;
        }
        line.push('\n');
        Ok(line)
    }
}

fn describe(content: &Content, name: &[u8], detail: Detail, line: &mut String) -> Result<()> {
    let ranges = content.data_ranges();
    let whole = content.is_empty() || matches!(&ranges[..], [range] if *range == (0..content.len()));
    if detail.holes && !whole {
        let ranges: Vec<_> = ranges.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
        push(line, format_args!("data={}", ranges.join(",")));
    }
    if detail.hashes {
        push(line, format_args!("sha256={}", hex(&hash(content, name)?)));
    }
    Ok(())
}

fn push(line: &mut String, field: std::fmt::Arguments<'_>) {
    write!(line, " {field}").expect("writing to a string does not fail");
}

fn letter(kind: &Kind) -> char {
    match kind {
        Kind::Directory(_) => 'd',
        Kind::File(_) => '-',
        Kind::Symlink(_) => 'l',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
        Kind::CharDevice(_) => 'c',
        Kind::BlockDevice(_) => 'b',
    }
}

/// Printable ASCII as it is; everything else, and what separates fields, as `\xNN`.
fn escape(bytes: &[u8]) -> String {
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
            Err(error) => return Err(Error::io(show_path(name), "can't read the file", error)),
        }
    }
}
