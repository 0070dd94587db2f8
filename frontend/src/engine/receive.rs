//! The tar stream of a finished build → disk files, with holes where the disk is zero.
//!
//! ```text
//! one platform         disk.qcow2
//! several platforms    linux_amd64/disk.qcow2  linux_arm64/disk.qcow2
//! ```
//!
//! Nothing else is accepted: no link, no second file beside a disk, no path that leads anywhere.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use exporter::error::show_size;
use tar::{Archive, EntryType};
use tempfile::NamedTempFile;

use super::destination::Destination;
use crate::cli::Error;

/// A disk that has arrived whole, still under a temporary name.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Of several platforms, this one's: `linux-arm64`.
    pub(crate) platform: Option<String>,
    /// The bytes.
    pub(crate) file: NamedTempFile,
}

/// Why no disk arrived.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The stream ended before a disk did: whoever sends it has failed, and knows more.
    EndedEarly(Error),
    /// What came is not what should come, or cannot be stored here.
    Refused(Error),
}

/// Stores the disks of a tar stream beside `destination`; on any failure nothing is left.
pub(crate) fn receive(stream: impl Read, destination: &Destination) -> Result<Vec<Arrived>, Failure> {
    let allowance = Cell::new(0);
    let mut archive = Archive::new(Metered { stream, allowance: &allowance });
    let mut arrived: Vec<Arrived> = Vec::new();
    let mut entries = archive.entries().map_err(broken)?;
    loop {
        allowance.set(METADATA_LIMIT);
        let Some(entry) = entries.next().transpose().map_err(broken)? else { break };
        allowance.set(u64::MAX);
        let path = entry.path().map_err(broken)?.into_owned();
        let platform = match place_of(&path, entry.header().entry_type()).map_err(Failure::Refused)? {
            Place::Directory => continue,
            Place::Disk(platform) => platform,
        };
        let is_one_too_many = |other: &Arrived| match (&other.platform, &platform) {
            (Some(other), Some(this)) => other == this,
            _ => true,
        };
        if arrived.iter().any(is_one_too_many) {
            return Err(Failure::Refused(not_a_disk("there is more than one file in it")));
        }
        let len = entry.size();
        arrived.push(Arrived { platform, file: store(entry, len, destination)? });
    }
    allowance.set(u64::MAX);
    // The sender must not meet a closed pipe while it writes its last bytes.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    if arrived.is_empty() {
        return Err(Failure::EndedEarly(not_a_disk("there is no file in it")));
    }
    Ok(arrived)
}

/// Bytes that headers may take between two files; they are kept in memory.
const METADATA_LIMIT: u64 = 1 << 20;

/// A reader that hands out no more than it is allowed to at the moment.
struct Metered<'a, R> {
    stream: R,
    allowance: &'a Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = usize::try_from(self.allowance.get()).unwrap_or(usize::MAX).min(buffer.len());
        if allowed == 0 && !buffer.is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidData, "headers take more than 1 MiB"));
        }
        let read = self.stream.read(&mut buffer[..allowed])?;
        self.allowance.set(self.allowance.get() - read as u64);
        Ok(read)
    }
}

fn broken(error: io::Error) -> Failure {
    let message = "the stream of the build's result: is not a whole tar archive";
    let wrapped = Error::build(message).because(error.to_string());
    match error.kind() {
        ErrorKind::InvalidData => Failure::Refused(wrapped),
        _ => Failure::EndedEarly(wrapped),
    }
}

fn not_a_disk(reason: &str) -> Error {
    Error::build(format!("the build's result: is not one disk file: {reason}"))
        .with_hint("the frontend makes the disk: is --frontend the right image?")
}

enum Place {
    /// Of no interest: the file in it tells its name.
    Directory,
    /// A disk, of this platform if there are several.
    Disk(Option<String>),
}

/// What an entry is, or why it must not be there.
fn place_of(path: &Path, kind: EntryType) -> Result<Place, Error> {
    let refuse = |reason: &str| {
        let name = path.to_string_lossy();
        Err(not_a_disk(&format!("{:?} {reason}", name.as_ref())))
    };
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().unwrap_or_default()),
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return refuse("leads out of it");
            }
        }
    }
    match (kind, &names[..]) {
        (EntryType::Directory, [] | [_]) => Ok(Place::Directory),
        (EntryType::Regular, [_]) => Ok(Place::Disk(None)),
        (EntryType::Regular, [platform, _]) if is_platform(platform) => {
            Ok(Place::Disk(Some(platform.replace('_', "-"))))
        }
        (EntryType::Regular | EntryType::Directory, _) => refuse("is not where a disk belongs"),
        _ => refuse("is neither a file nor a directory"),
    }
}

/// BuildKit names the directory of a platform `linux_amd64` or `linux_arm_v7`.
fn is_platform(name: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (2..=3).contains(&name.split('_').count()) && name.split('_').all(word)
}

/// Copies one file of exactly `len` bytes.
fn store(entry: impl Read, len: u64, destination: &Destination) -> Result<NamedTempFile, Failure> {
    let cannot = |stored, error| Failure::Refused(cannot_store(error, len, stored, destination));
    let file = destination.temporary().map_err(|error| cannot(0, error))?;
    let copied = copy_sparse(entry, file.as_file()).map_err(|error| match error {
        Copy::Read(error) => broken(error),
        Copy::Write { stored, error } => cannot(stored, error),
    })?;
    if copied != len {
        let message = format!("the stream ended after {} of {}", show_size(copied), show_size(len));
        return Err(Failure::EndedEarly(Error::build(message)));
    }
    Ok(file)
}

/// `stored` is what this file holds already: it comes free again when the file goes.
fn cannot_store(error: io::Error, len: u64, stored: u64, destination: &Destination) -> Error {
    let directory = destination.directory().display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let free = rustix::fs::statvfs(destination.directory())
                .map_or(stored, |stat| stat.f_bavail.saturating_mul(stat.f_frsize).saturating_add(stored));
            Error::user(format!(
                "{directory}: no space left: the disk file has {}, {} are free",
                show_size(len),
                show_size(free)
            ))
            .with_hint("free some space there, or name another place with -o")
        }
        ErrorKind::FileTooLarge => {
            Error::user(format!("{directory}: its file system takes no file of {}", show_size(len)))
                .with_hint("name another place with -o, or build with --compression zstd")
        }
        _ => Error::user(format!("{directory}: the disk file cannot be written")).because(error),
    }
}

enum Copy {
    Read(io::Error),
    /// With the bytes that were written before.
    Write {
        stored: u64,
        error: io::Error,
    },
}

/// The granularity of holes: what file systems allocate in.
const BLOCK: usize = 4096;

/// Copies all there is and returns its length; blocks of zeros become holes.
fn copy_sparse(mut from: impl Read, to: &File) -> Result<u64, Copy> {
    let mut buffer = vec![0; 256 * BLOCK];
    let (mut offset, mut stored) = (0, 0);
    loop {
        let filled = fill(&mut from, &mut buffer).map_err(Copy::Read)?;
        for (start, run) in data_runs(&buffer[..filled]) {
            to.write_all_at(run, offset + start as u64).map_err(|error| Copy::Write { stored, error })?;
            stored += run.len() as u64;
        }
        offset += filled as u64;
        if filled < buffer.len() {
            break;
        }
    }
    to.set_len(offset).map_err(|error| Copy::Write { stored, error })?;
    Ok(offset)
}

/// Reads until `buffer` is full or there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The runs of neighbouring blocks that are not all zero, each with its offset.
fn data_runs(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let is_zero = |block: &[u8]| block == &[0; BLOCK][..block.len()];
    let mut blocks = bytes.chunks(BLOCK).enumerate().peekable();
    std::iter::from_fn(move || {
        let (first, _) = blocks.by_ref().find(|(_, block)| !is_zero(block))?;
        let mut end = first + 1;
        while blocks.next_if(|(_, block)| !is_zero(block)).is_some() {
            end += 1;
        }
        Some((first * BLOCK, &bytes[first * BLOCK..bytes.len().min(end * BLOCK)]))
    })
}

/// Gives each disk its name; returns the names, in the order of arrival.
pub(crate) fn rename(arrived: Vec<Arrived>, destination: &Destination) -> crate::cli::Result<Vec<PathBuf>> {
    let name = |disk: Arrived| {
        let path = destination.path(disk.platform.as_deref());
        match disk.file.persist(&path) {
            Ok(_) => Ok(path),
            Err(refused) => {
                let message = format!("{}: cannot be given its name", path.display());
                Err(Error::user(message).because(refused.error))
            }
        }
    };
    arrived.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests;
