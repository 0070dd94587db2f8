//! Files of this machine that are the content of a tree. No path is ever resolved through a symlink.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::Name;
use crate::error::{Error, Result, show_path};

/// An open directory under which the files of a tree lie.
#[derive(Debug)]
pub struct HostDir {
    fd: OwnedFd,
    shown: String,
}

impl HostDir {
    /// Open the directory at `path`; here, and only here, the caller's own symlinks are followed.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            Error::io(path.display().to_string(), "cannot open the directory", error.into())
        })?;
        Ok(Arc::new(Self { fd, shown: path.display().to_string() }))
    }

    /// The descriptor, for directory-relative calls.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The path it was opened by, for messages.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Open what lies at `path` below this directory, through no symlink and never above it.
    pub fn open_below(&self, path: &[u8], flags: OFlags) -> std::io::Result<OwnedFd> {
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(openat2(&self.fd, path, flags, Mode::empty(), inside)?)
    }

    /// Open the regular file at `path` for reading.
    pub(super) fn open_file(&self, path: &[u8]) -> std::io::Result<OwnedFd> {
        // Something else may lie there by now: opening a pipe must not block.
        self.open_below(path, OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK)
    }
}

/// Regular files of one directory below a [`HostDir`], as they were when it was read. What all of them
/// share is kept once, so that a file costs 40 bytes.
#[derive(Debug)]
pub(super) struct Listing {
    root: Arc<HostDir>,
    /// Path of the directory, empty for the root.
    directory: Box<[u8]>,
    files: Vec<Listed>,
    /// The ranges of data of those files that have holes, by index.
    sparse: BTreeMap<u32, Box<[Range<u64>]>>,
}

#[derive(Debug)]
struct Listed {
    name: Name,
    len: u64,
    changed: Changed,
}

const _: () = assert!(size_of::<Listed>() == 40);

/// The time of the last change (ctime) in nanoseconds since 1970: unlike that of the content it cannot be
/// set back. `i64::MIN` if it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changed(i64);

impl Changed {
    const UNKNOWN: Self = Self(i64::MIN);

    pub(super) fn new(seconds: i64, nanoseconds: i64) -> Self {
        // Far from now it wraps around, at scan and at check in the same way.
        Self(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds))
    }
}

impl Listing {
    pub(super) fn new(root: Arc<HostDir>, directory: Box<[u8]>) -> Self {
        Self { root, directory, files: Vec::new(), sparse: BTreeMap::new() }
    }

    /// Add a file and, if it has holes, the ranges of data between them; its index.
    pub(super) fn push(
        &mut self,
        name: Name,
        len: u64,
        changed: Changed,
        data: Option<Box<[Range<u64>]>>,
    ) -> u32 {
        let index = u32::try_from(self.files.len()).expect("a directory has less than 2^32 files");
        self.files.push(Listed { name, len, changed });
        self.sparse.extend(data.map(|data| (index, data)));
        index
    }

    /// Give back the memory of files that didn't come.
    pub(super) fn finish(mut self) -> Arc<Self> {
        self.files.shrink_to_fit();
        Arc::new(self)
    }
}

/// A regular file below a [`HostDir`], as it was when the tree was scanned.
#[derive(Clone, Debug)]
pub struct HostFile {
    listing: Arc<Listing>,
    index: u32,
}

impl HostFile {
    /// The file at `path` (relative, no symlinks in it) with its length and, if it has holes, the
    /// ranges of data between them.
    pub fn new(root: Arc<HostDir>, path: &[u8], len: u64, data: Option<Box<[Range<u64>]>>) -> Self {
        let (directory, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => {
                let (directory, name) = path.split_at(slash);
                (directory, name.strip_prefix(b"/").unwrap_or(name))
            }
            None => (&b""[..], path),
        };
        let mut listing = Listing::new(root, directory.into());
        let index = listing.push(name.into(), len, Changed::UNKNOWN, data);
        Self::listed(&listing.finish(), index)
    }

    pub(super) fn listed(listing: &Arc<Listing>, index: u32) -> Self {
        Self { listing: Arc::clone(listing), index }
    }

    fn get(&self) -> &Listed {
        &self.listing.files[self.index as usize]
    }

    fn relative_path(&self) -> Vec<u8> {
        join(&self.listing.directory, &self.get().name)
    }

    /// Path below the tree's root.
    pub fn path(&self) -> String {
        show_path(&self.relative_path())
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.get().len
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ranges that hold data, ascending and apart.
    pub fn data_ranges(&self) -> Vec<Range<u64>> {
        match self.listing.sparse.get(&self.index) {
            Some(data) => data.to_vec(),
            None if self.is_empty() => Vec::new(),
            None => std::iter::once(0..self.len()).collect(),
        }
    }

    /// Open it for reading.
    pub fn open(&self) -> Result<File> {
        let fd = self.listing.root.open_file(&self.relative_path());
        fd.map(File::from).map_err(|error| Error::io(self.path(), "cannot open the file", error))
    }

    /// Whether a file that is `now` like this is still what was scanned.
    pub fn is_unchanged(&self, now: &Metadata) -> bool {
        let Listed { len, changed, .. } = *self.get();
        let is_known = changed != Changed::UNKNOWN;
        now.is_file()
            && now.len() == len
            && (!is_known || changed == Changed::new(now.ctime(), now.ctime_nsec()))
    }
}

/// Whether both are the same file of the same scan.
impl PartialEq for HostFile {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && Arc::ptr_eq(&self.listing, &other.listing)
    }
}

impl Eq for HostFile {}

/// The path of `name` in `directory`, which is empty for the root.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, name].join(&b'/') }
}
