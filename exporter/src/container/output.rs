//! A file that appears under its name only when it is complete.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, OFlags, access, flock};

use super::reflink::Reflink;
use crate::error::{Error, Kind, Result};

/// Bytes of the name that a temporary file repeats; with the rest it stays below the 255 of most systems.
const NAME_KEPT: usize = 200;
/// Bytes that are written with one call. Linux caches each write in a folio as large as the write, and takes
/// large ones from memory that lay idle longest: in a virtual machine the host has often taken it back,
/// and writes of 1 MiB then take twice as long as these.
const WRITE: usize = 64 << 10;
const MARK: &[u8] = b".vmimage-";
const ENDING: &[u8] = b".tmp";

/// A file being written beside its destination, under a temporary name.
///
/// The name is `.NAME.vmimage-RANDOM.tmp`. It is renamed by [`persist`](Self::persist) and removed if it
/// is dropped before. It is locked as long as it lives, so that the next run knows the leftovers of
/// killed ones and removes them.
#[derive(Debug)]
pub struct Output {
    file: File,
    reflink: Option<Reflink>,
    temporary: PathBuf,
    destination: PathBuf,
    persisted: bool,
}

impl Output {
    /// Start a file that will be at `destination`, in place of a file that is there.
    ///
    /// # Errors
    /// [`Kind::Input`] if there is something else than a file, [`Kind::NotFound`] if the directory does
    /// not exist.
    pub fn create(destination: &Path) -> Result<Self> {
        let destination = resolve(destination)?;
        let (directory, name) = split(&destination)?;
        let prefix = temporary_prefix(name);
        remove_leftovers(directory, &prefix);
        loop {
            let temporary = directory.join(temporary_name(&prefix));
            let created = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary);
            let file = match created {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(explain(&destination, "cannot create the file", error)),
            };
            // A run that started at the same moment may have taken it for a leftover before it was locked.
            if lock(&file).is_ok() && file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) {
                let reflink = Reflink::of(&file);
                return Ok(Self { file, reflink, temporary, destination, persisted: false });
            }
        }
    }

    /// Where it lies until it is persisted.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Write all of `bytes` at `offset`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut parts = (offset..).step_by(WRITE).zip(bytes.chunks(WRITE));
        parts
            .try_for_each(|(at, part)| self.file.write_all_at(part, at))
            .map_err(|error| explain(&self.destination, "cannot write the file", error))
    }

    /// Fill `out` with the bytes from `offset` on.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(out, offset)
            .map_err(|error| explain(&self.destination, "cannot read the file again", error))
    }

    /// Let `len` bytes at `at` be those of `file` from `offset` on, without reading them: whether the file
    /// system does that. If not, some of them may be.
    pub fn share(&self, file: &File, offset: u64, at: u64, len: u64) -> bool {
        self.reflink.as_ref().is_some_and(|reflink| reflink.share(file, offset, &self.file, at, len))
    }

    /// Make the file that long: cut, or zero behind its end.
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.file
            .set_len(len)
            .map_err(|error| explain(&self.destination, "cannot set the file's length", error))
    }

    /// Let the complete file appear under its name.
    pub fn persist(mut self) -> Result<()> {
        let renamed = fs::rename(&self.temporary, &self.destination);
        renamed.map_err(|error| explain(&self.destination, "cannot finish the file", error))?;
        self.persisted = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.persisted {
            // Nobody is left to tell; the next run removes what stays.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Where the file will be: behind the caller's own symlink, if it is one.
fn resolve(destination: &Path) -> Result<PathBuf> {
    let metadata = match fs::metadata(destination) {
        Ok(metadata) => metadata,
        Err(_) => return Ok(destination.to_owned()),
    };
    let input = |message| Error::new(Kind::Input, destination.display().to_string(), message);
    if metadata.is_dir() {
        let example = destination.join("disk.qcow2");
        return Err(
            input("the destination is a directory").with_hint(format!("name a file: {}", example.display()))
        );
    }
    if !metadata.is_file() {
        return Err(input("the destination is not a regular file")
            .with_hint("write a raw disk to a file first, then copy it with dd"));
    }
    // A new file in its place would take the right to its folder only.
    if access(destination, Access::WRITE_OK).is_err() {
        return Err(input("the destination is a file that you may not write to")
            .with_hint("name another file, or make it writable first: chmod u+w"));
    }
    fs::canonicalize(destination).map_err(|error| explain(destination, "cannot find the file", error))
}

fn split(destination: &Path) -> Result<(&Path, &OsStr)> {
    let Some(name) = destination.file_name() else {
        let shown = destination.display().to_string();
        return Err(Error::new(Kind::Input, shown, "the destination names no file"));
    };
    match destination.parent() {
        Some(directory) if directory != Path::new("") => Ok((directory, name)),
        _ => Ok((Path::new("."), name)),
    }
}

fn temporary_prefix(name: &OsStr) -> Vec<u8> {
    let name = name.as_bytes();
    [b".", &name[..name.len().min(NAME_KEPT)], MARK].concat()
}

/// A name nobody can foresee: the standard library seeds its hashers with randomness of the system.
fn temporary_name(prefix: &[u8]) -> OsString {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    OsString::from_vec([prefix, format!("{random:016x}").as_bytes(), ENDING].concat())
}

/// Remove what killed runs left: the temporary files that nobody holds locked.
fn remove_leftovers(directory: &Path, prefix: &[u8]) {
    // What cannot be listed or removed does no harm: the new file gets a name of its own.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.as_bytes().starts_with(prefix) && name.as_bytes().ends_with(ENDING);
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) && is_abandoned(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Lock the file; where a file system has no locks nobody will take it for a leftover either.
fn lock(file: &File) -> io::Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Err(rustix::io::Errno::WOULDBLOCK.into()),
        _ => Ok(()),
    }
}

fn explain(destination: &Path, doing: &str, error: io::Error) -> Error {
    let shown = destination.display().to_string();
    let directory =
        split(destination).map_or_else(|_| ".".into(), |(directory, _)| directory.display().to_string());
    match error.kind() {
        io::ErrorKind::NotFound if !Path::new(&directory).is_dir() => {
            Error::new(Kind::NotFound, shown, format!("the directory {directory} does not exist"))
                .with_hint(format!("create it first: mkdir -p {directory}"))
        }
        io::ErrorKind::PermissionDenied => Error::io(shown, doing, error)
            .with_hint(format!("write to a directory that is yours; {directory} is not writable")),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::io(shown, doing, error)
            .with_hint(format!("free some space where {directory} lies, or write elsewhere")),
        io::ErrorKind::FileTooLarge => Error::io(shown, doing, error)
            .with_hint("write to another file system, or ask for a format that is compressed"),
        _ => Error::io(shown, doing, error),
    }
}
