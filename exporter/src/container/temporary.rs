//! Names of what is not complete yet: beside the destination, and nobody else's.
//!
//! The name is `.NAME.vmimage-RANDOM.tmp`. What has it is locked as long as somebody writes it, so that the next run
//! knows the leftovers of killed ones and removes them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::error::{Error, Kind, Result};

/// Bytes of the name that a temporary one repeats; with the rest it stays below the 255 of most systems.
const NAME_KEPT: usize = 200;
const MARK: &[u8] = b".vmimage-";
const END: &[u8] = b".tmp";

/// What is being written for a destination.
#[derive(Debug)]
pub(super) struct Temporary {
    /// What was made, opened and locked.
    pub(super) file: File,
    /// Where it lies.
    pub(super) path: PathBuf,
}

impl Temporary {
    /// Make `what`, a file or a folder, as `make` does under a name that it is given; before that `remove` removes what
    /// killed runs left.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the directory of the destination does not exist, [`Kind::Input`] if it names none.
    pub(super) fn new(
        destination: &Path,
        what: &str,
        make: impl Fn(&Path) -> io::Result<File>,
        remove: impl Fn(&Path),
    ) -> Result<Self> {
        let (directory, name) = split(destination)?;
        let prefix = prefix(name);
        leftovers(directory, &prefix).for_each(|path| remove(&path));
        loop {
            let path = directory.join(fresh(&prefix));
            let file = match make(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(explain(destination, &format!("cannot create the {what}"), error)),
            };
            // A run that started at the same moment may have taken it for a leftover before it was locked.
            if lock(&file).is_ok() && file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) {
                return Ok(Self { file, path });
            }
        }
    }
}

fn split(destination: &Path) -> Result<(&Path, &OsStr)> {
    let Some(name) = destination.file_name() else {
        let shown = destination.display().to_string();
        return Err(Error::new(Kind::Input, shown, "the destination has no name"));
    };
    match destination.parent() {
        Some(directory) if directory != Path::new("") => Ok((directory, name)),
        _ => Ok((Path::new("."), name)),
    }
}

fn prefix(name: &OsStr) -> Vec<u8> {
    let name = name.as_bytes();
    [b".", &name[..name.len().min(NAME_KEPT)], MARK].concat()
}

/// A name nobody can foresee: the standard library seeds its hashers with randomness of the system.
fn fresh(prefix: &[u8]) -> OsString {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    OsString::from_vec([prefix, format!("{random:016x}").as_bytes(), END].concat())
}

/// What killed runs left: what nobody holds locked. What cannot be listed does no harm: a new one gets a name of its own.
fn leftovers(directory: &Path, prefix: &[u8]) -> impl Iterator<Item = PathBuf> {
    let is_ours = |name: &[u8]| name.starts_with(prefix) && name.ends_with(END);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(move |entry| is_ours(entry.file_name().as_bytes()))
        .map(|entry| entry.path())
        .filter(|path| is_abandoned(path))
}

fn is_abandoned(path: &Path) -> bool {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Lock it; where a file system has no locks nobody will take it for a leftover either.
fn lock(file: &File) -> io::Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Err(rustix::io::Errno::WOULDBLOCK.into()),
        _ => Ok(()),
    }
}

/// What went wrong in `doing` something, and what to do.
pub(super) fn explain(destination: &Path, doing: &str, error: io::Error) -> Error {
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
