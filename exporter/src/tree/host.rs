//! Files of this machine that are the content of a tree. No path is ever resolved through a symlink.

use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

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
            Error::io(path.display().to_string(), "can't open the directory", error.into())
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
}

/// A regular file below a [`HostDir`], as it was when the tree was scanned.
#[derive(Debug)]
pub struct HostFile {
    root: Arc<HostDir>,
    path: Box<[u8]>,
    len: u64,
    /// `None`: no holes.
    data: Option<Box<[Range<u64>]>>,
}

impl HostFile {
    /// The file at `path` (relative, no symlinks in it) with its length and, if it has holes, the
    /// ranges of data between them.
    pub fn new(root: Arc<HostDir>, path: &[u8], len: u64, data: Option<Box<[Range<u64>]>>) -> Self {
        Self { root, path: path.into(), len, data }
    }

    /// Path below the tree's root.
    pub fn path(&self) -> String {
        show_path(&self.path)
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ranges that hold data, ascending and apart.
    pub fn data_ranges(&self) -> Vec<Range<u64>> {
        match &self.data {
            Some(data) => data.to_vec(),
            None if self.len == 0 => Vec::new(),
            None => std::iter::once(0..self.len).collect(),
        }
    }

    /// Open it for reading.
    pub fn open(&self) -> Result<File> {
        let fd = self.root.open_below(&self.path, OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK);
        fd.map(File::from).map_err(|error| Error::io(self.path(), "can't open the file", error))
    }
}
