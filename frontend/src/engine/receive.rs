//! The tar stream of a finished build → disk files with holes where they are zero, or stdout.
//!
//! ```text
//! one platform         disk.qcow2  disk.vhdx
//! several platforms    linux_amd64/disk.qcow2  linux_amd64/disk.vhdx  linux_arm64/disk.qcow2  …
//! ```
//!
//! Nothing else is accepted: no link, no file that was not asked for, no path that leads anywhere.

mod entries;
mod sparse;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use exporter::container::{Format, Output};
use exporter::error::show_size;

use super::destination::Destination;
use crate::cli::Error;
use entries::DiskEntry;

/// A disk file that has arrived whole, still under a temporary name.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Of several platforms, this one's: `linux-arm64`.
    platform: Option<String>,
    /// The format that was asked for.
    pub(crate) format: Format,
    /// The name it is for.
    pub(crate) path: PathBuf,
    /// Its bytes.
    pub(crate) output: Output,
}

/// Why no disk arrived.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The stream ended before a disk did: whoever sends it has failed, and knows more.
    EndedEarly(Error),
    /// What came is not what should come, or cannot be stored here.
    Refused(Error),
}

/// Stores the disk files of a tar stream beside their destinations; on any failure nothing is left.
///
/// The destinations are of different formats, and every platform must send a file for each. The files
/// come back by platform, in the order of the destinations.
pub(crate) fn store(stream: impl Read, destinations: &[Destination]) -> Result<Vec<Arrived>, Failure> {
    let mut arrived: Vec<Arrived> = Vec::new();
    entries::each(stream, |DiskEntry { platform, name, len }, bytes| {
        let destination = destinations.iter().find(|destination| is_named(&name, destination.format()));
        let destination =
            destination.ok_or_else(|| unasked(&name, destinations.iter().map(Destination::format)))?;
        let format = destination.format();
        let is_one_too_many = |other: &Arrived| {
            other.format == format
                && (other.platform == platform || other.platform.is_none() || platform.is_none())
        };
        if arrived.iter().any(is_one_too_many) {
            return Err(one_too_many(format));
        }
        let path = destination.path(platform.as_deref());
        let output = sparse::store(bytes, len, &path)?;
        arrived.push(Arrived { platform, format, path, output });
        Ok(())
    })?;
    none_is_missing(&arrived, destinations)?;
    let place = |format| destinations.iter().position(|destination| destination.format() == format);
    arrived.sort_by_cached_key(|disk| (disk.platform.clone(), place(disk.format)));
    Ok(arrived)
}

fn none_is_missing(arrived: &[Arrived], destinations: &[Destination]) -> Result<(), Failure> {
    let platforms: BTreeSet<_> = arrived.iter().map(|disk| &disk.platform).collect();
    for format in destinations.iter().map(Destination::format) {
        let there = arrived.iter().filter(|disk| disk.format == format).count();
        if there < platforms.len().max(1) {
            return Err(missing(format));
        }
    }
    Ok(())
}

/// Hands the one disk file of a tar stream on, byte for byte; some may be out when it fails.
pub(crate) fn pass_on(stream: impl Read, format: Format, to: &mut impl Write) -> Result<(), Failure> {
    let mut passed = false;
    entries::each(stream, |DiskEntry { name, len, .. }, bytes| {
        if !is_named(&name, format) {
            return Err(unasked(&name, [format]));
        }
        if std::mem::replace(&mut passed, true) {
            return Err(one_too_many(format));
        }
        match copy(bytes, to)? {
            copied if copied == len => Ok(()),
            copied => Err(ended_early(copied, len)),
        }
    })?;
    if passed { Ok(()) } else { Err(missing(format)) }
}

/// Copies all there is and returns its length; tells the one who sends from the one who takes.
fn copy(from: &mut dyn Read, to: &mut impl Write) -> Result<u64, Failure> {
    let refused = |error| Failure::Refused(Error::user("stdout: the disk cannot be written").because(error));
    let mut buffer = vec![0; 1 << 20];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                to.write_all(&buffer[..read]).map_err(refused)?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(entries::broken(error)),
        }
    }
    to.flush().map_err(refused)?;
    Ok(copied)
}

fn is_named(name: &str, format: Format) -> bool {
    name.strip_suffix(format.extension()).is_some_and(|stem| stem.ends_with('.'))
}

fn unasked(name: &str, asked: impl IntoIterator<Item = Format>) -> Failure {
    let endings: Vec<_> = asked.into_iter().map(|format| format!(".{}", format.extension())).collect();
    Failure::Refused(not_as_asked(&format!("{name:?} does not end in {}", endings.join(" or "))))
}

fn one_too_many(format: Format) -> Failure {
    Failure::Refused(not_as_asked(&format!("there is more than one {format} file in it")))
}

fn missing(format: Format) -> Failure {
    Failure::EndedEarly(not_as_asked(&format!("there is no {format} file in it")))
}

fn ended_early(arrived: u64, len: u64) -> Failure {
    let message = format!("the stream ended after {} of {}", show_size(arrived), show_size(len));
    Failure::EndedEarly(Error::build(message))
}

fn not_as_asked(reason: &str) -> Error {
    Error::build(format!("the build's result: is not what was asked for: {reason}"))
        .with_hint("the frontend image makes the disk: is it the right one?")
}

#[cfg(test)]
mod tests;
