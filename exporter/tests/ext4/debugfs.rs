//! What debugfs says of an image: everything that is compared, without the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::process::Command;

use tempfile::TempDir;

use crate::dump::{Line, Lines, add_range, sum, text};
use crate::support::Image;

/// What debugfs says of everything in `image`.
pub(crate) fn of_debugfs(image: &Image) -> String {
    let reader = Reader { image, scratch: TempDir::new().unwrap() };
    let paths = reader.paths();
    let mut inos: Vec<u32> = paths.values().copied().collect();
    inos.sort_unstable();
    inos.dedup();
    let inodes: BTreeMap<u32, Inode> = reader.inodes(&inos);
    let contents = reader.contents(&inodes);
    text(&paths.into_iter().map(|(path, ino)| (path, inodes[&ino].line(ino, &contents))).collect::<Lines>())
}

/// What `stat` prints of an inode: bytes, for the sake of the targets of short links.
struct Inode {
    said: Vec<u8>,
    text: String,
}

impl Inode {
    /// The word behind `label`.
    fn word(&self, label: &str) -> &str {
        let Some((_, behind)) = self.text.split_once(label) else {
            panic!("no {label:?} in {:?}", self.text)
        };
        behind.split_whitespace().next().unwrap()
    }

    fn kind(&self) -> &'static str {
        match self.word("Type:") {
            "directory" => "d",
            "regular" => "f",
            "symlink" => "l",
            "character" => "c",
            "block" => "b",
            "FIFO" => "p",
            "socket" => "s",
            other => panic!("{other}"),
        }
    }

    /// The names of the extended attributes.
    fn xattrs(&self) -> impl Iterator<Item = &str> {
        let (_, list) = self.text.split_once("Extended attributes:\n").unwrap_or_default();
        list.lines().map_while(|line| line.strip_prefix("  ")).map(|line| line.rsplit_once(" (").unwrap().0)
    }

    /// Seconds and nanoseconds: 32 bits, then 2 bits of seconds below 30 of nanoseconds.
    fn mtime(&self) -> (i64, i64) {
        let (low, extra) = self.word("mtime: 0x").split_once(':').unwrap();
        let [low, extra] = [low, extra].map(|hex| u32::from_str_radix(hex, 16).unwrap());
        (i64::from(low as i32) + (i64::from(extra & 3) << 32), i64::from(extra >> 2))
    }

    /// The blocks of `(0-3):4610-4613, (ETB0):5000, (7):4700`.
    fn data(&self) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let (_, list) = self.text.split_once("EXTENTS:\n").unwrap_or_default();
        for blocks in list.split('(').filter_map(|extent| Some(extent.split_once("):")?.0)) {
            if blocks.starts_with("ETB") {
                continue;
            }
            let (first, last) = blocks.split_once('-').unwrap_or((blocks, blocks));
            add_range(&mut ranges, first.parse().unwrap()..last.parse::<u64>().unwrap() + 1);
        }
        ranges
    }

    /// The target of a symbolic link that lies in the inode.
    fn fast_target(&self) -> Option<&[u8]> {
        let label = b"Fast link dest: \"";
        let start = self.said.windows(label.len()).position(|window| window == label)? + label.len();
        Some(&self.said[start..][..self.word("Size:").parse().unwrap()])
    }

    fn device(&self) -> (u32, u32) {
        let (major, minor) = self.word("Device major/minor number:").split_once(':').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    }

    fn line(&self, ino: u32, contents: &Contents) -> Line {
        let id = |label| self.word(label).parse::<i64>().unwrap() as u32;
        let kind = self.kind();
        let xattrs = self.xattrs().enumerate();
        Line {
            kind,
            permissions: u32::from_str_radix(self.word("Mode:"), 8).unwrap(),
            owner: (id("User:"), id("Group:")),
            links: self.word("Links:").parse().unwrap(),
            mtime: self.mtime(),
            device: if "bc".contains(kind) { self.device() } else { (0, 0) },
            sum: match (kind, self.fast_target()) {
                ("l", Some(target)) => sum(target),
                ("f" | "l", _) => sum(&contents.of(ino)),
                _ => 0,
            },
            data: if kind == "f" { self.data() } else { Vec::new() },
            xattrs: xattrs.map(|(at, name)| (name.into(), contents.xattr(ino, at, name))).collect(),
        }
    }
}

/// The contents and attributes that debugfs wrote out: a file `c13` for inode 13, `x13.0` for its first
/// attribute.
struct Contents(TempDir);

impl Contents {
    fn of(&self, ino: u32) -> Vec<u8> {
        fs::read(self.0.path().join(format!("c{ino}"))).unwrap()
    }

    fn xattr(&self, ino: u32, at: usize, name: &str) -> Vec<u8> {
        let mut value = fs::read(self.0.path().join(format!("x{ino}.{at}"))).unwrap();
        if name.starts_with("system.posix_acl_") {
            // Entries without a name have no id: debugfs fills in 0, the kernel -1.
            for entry in value[4..].chunks_mut(8).filter(|entry| !matches!(entry[0], 0x02 | 0x08)) {
                entry[4..].fill(0xff);
            }
        }
        value
    }
}

struct Reader<'a> {
    image: &'a Image,
    scratch: TempDir,
}

impl Reader<'_> {
    /// What debugfs prints for each of `requests`.
    fn ask(&self, requests: &[String]) -> Vec<Vec<u8>> {
        let commands = self.scratch.path().join("commands");
        fs::write(&commands, requests.join("\n")).unwrap();
        let output = Command::new("debugfs").arg("-f").arg(commands).arg(self.image.path()).output().unwrap();
        let said = output.stdout;
        let mut starts = Vec::new();
        let mut at = 0;
        // Each answer comes behind its request, on a line of its own.
        for request in requests {
            let echo = format!("debugfs: {request}\n").into_bytes();
            let found = said[at..].windows(echo.len()).position(|window| window == echo).unwrap();
            starts.push((at + found, at + found + echo.len()));
            at += found + echo.len();
        }
        let ends = starts.iter().skip(1).map(|&(echo, _)| echo).chain([said.len()]);
        starts.iter().zip(ends).map(|(&(_, start), end)| said[start..end].to_vec()).collect()
    }

    /// The inode of every path but `lost+found`, found level by level.
    fn paths(&self) -> BTreeMap<Vec<u8>, u32> {
        let mut paths = BTreeMap::from([(Vec::new(), 2)]);
        let mut level = vec![(Vec::new(), 2)];
        while !level.is_empty() {
            let requests: Vec<_> = level.iter().map(|(_, ino)| format!("ls -p <{ino}>")).collect();
            let mut next = Vec::new();
            for ((above, _), listing) in level.iter().zip(self.ask(&requests)) {
                for (ino, mode, name) in entries(&listing) {
                    let path = [above, &b"/"[..], name].concat();
                    if path == b"/lost+found" {
                        continue;
                    }
                    if mode.starts_with(b"04") {
                        next.push((path.clone(), ino));
                    }
                    paths.insert(path, ino);
                }
            }
            level = next;
        }
        paths
    }

    fn inodes(&self, inos: &[u32]) -> BTreeMap<u32, Inode> {
        let requests: Vec<_> = inos.iter().map(|ino| format!("stat <{ino}>")).collect();
        let inode = |said: Vec<u8>| Inode { text: String::from_utf8_lossy(&said).into_owned(), said };
        inos.iter().copied().zip(self.ask(&requests).into_iter().map(inode)).collect()
    }

    fn contents(&self, inodes: &BTreeMap<u32, Inode>) -> Contents {
        let contents = Contents(TempDir::new().unwrap());
        let at = contents.0.path().display();
        let mut requests = Vec::new();
        for (ino, inode) in inodes {
            if "fl".contains(inode.kind()) {
                requests.push(format!("dump <{ino}> {at}/c{ino}"));
            }
            for (number, name) in inode.xattrs().enumerate() {
                requests.push(format!("ea_get -f {at}/x{ino}.{number} <{ino}> \"{name}\""));
            }
        }
        self.ask(&requests);
        contents
    }
}

/// The entries of `/13/100644/0/0/name/5/` line by line, names as bytes, without `.`, `..` and the unused
/// entries that inner nodes of a hash tree look like.
fn entries(listing: &[u8]) -> impl Iterator<Item = (u32, &[u8], &[u8])> {
    let fields: Vec<&[u8]> = listing.split(|&byte| byte == b'/').collect();
    let entries: Vec<_> = fields.chunks_exact(7).map(|entry| (entry[1], entry[2], entry[5])).collect();
    let entries = entries.into_iter().filter(|(ino, _, name)| *ino != b"0" && !matches!(*name, b"." | b".."));
    entries.map(|(ino, mode, name)| (std::str::from_utf8(ino).unwrap().parse().unwrap(), mode, name))
}
