//! The tar stream of a finished build → disk files with holes where they are zero, or stdout.
//!
//! ```text
//! one platform         disk.qcow2  disk.vhdx
//! several platforms    linux_amd64/disk.qcow2  linux_amd64/disk.vhdx  linux_arm64/disk.qcow2  …
//! ```
//!
//! A name may have `.sparse` behind it: that is a stream of what the file holds, and where, without its zeroes.
//!
//! Nothing else is accepted: no link, no file that was not asked for, no path that leads anywhere.

mod entries;
mod sparse;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use exporter::container::sparse::unpack;
use exporter::container::{Format, Output};
use exporter::error::show_size;

use super::destination::Destination;
use crate::ask::request::{TRANSPORT, Transport};
pub(crate) use crate::base::child::Failure;
use crate::base::disk::{Image, Made};
use crate::base::{Error, Result};
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

impl From<io::Error> for Failure {
    /// Of a stream that cannot be read on.
    fn from(error: io::Error) -> Self {
        entries::broken(error)
    }
}

/// The build argument that asks for streams; none where stdout takes what does not come in order.
pub(crate) fn transport(formats: &[Format], to_stdout: bool) -> Option<(String, String)> {
    let takes = !to_stdout || formats.iter().all(|format| format.streams());
    takes.then(|| (TRANSPORT.to_owned(), Transport::Sparse.name().to_owned()))
}

/// Stores the disk files of a tar stream beside their destinations; on any failure nothing is left.
///
/// The destinations are of different formats, and every platform must send a file for each. The files
/// come back by platform, in the order of the destinations.
pub(crate) fn store(stream: impl Read, destinations: &[Destination]) -> Result<Vec<Arrived>, Failure> {
    let mut arrived: Vec<Arrived> = Vec::new();
    entries::each(stream, |DiskEntry { platform, name, is_stream, len }, bytes| {
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
        if platform.is_some() && path.is_symlink() {
            return Err(leads_elsewhere(&path));
        }
        let output = match is_stream {
            true => sparse::store_stream(bytes, len, &path),
            false => sparse::store(bytes, len, &path),
        }?;
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

/// Gives the files their names, once all of them are what was asked for.
pub(crate) fn persist(arrived: Vec<Arrived>) -> Result<Vec<Made>> {
    arrived.iter().try_for_each(check_format)?;
    let paths: Vec<_> = arrived.iter().map(|disk| disk.path.clone()).collect();
    arrived.into_iter().try_for_each(|disk| disk.output.persist())?;
    paths.iter().map(|path| Made::read(path)).collect()
}

fn check_format(disk: &Arrived) -> Result<()> {
    let (found, asked) = (Image::read(disk.output.temporary())?.format, disk.format);
    if found == asked {
        return Ok(());
    }
    let message = format!("the build's result: is a {found} disk, {asked} was asked for");
    Err(Error::build(message).with_hint("the frontend image makes the disk: is it the right one?"))
}

/// Hands the one disk file of a tar stream on, byte for byte; some may be out when it fails.
pub(crate) fn pass_on(stream: impl Read, format: Format, to: &mut impl Write) -> Result<(), Failure> {
    let mut passed = false;
    entries::each(stream, |DiskEntry { name, is_stream, len, .. }, bytes| {
        if !is_named(&name, format) {
            return Err(unasked(&name, [format]));
        }
        if std::mem::replace(&mut passed, true) {
            return Err(one_too_many(format));
        }
        match is_stream {
            true => copy_stream(bytes, to),
            false => copy(bytes, len, to),
        }
    })?;
    if passed { Ok(()) } else { Err(missing(format)) }
}

/// Copies all there is, which should be `len` bytes; tells the one who sends from the one who takes.
fn copy(from: &mut dyn Read, len: u64, to: &mut impl Write) -> Result<(), Failure> {
    let mut buffer = vec![0; 1 << 20];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                to.write_all(&buffer[..read]).map_err(not_taken)?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    to.flush().map_err(not_taken)?;
    if copied == len { Ok(()) } else { Err(ended_early(copied, len)) }
}

/// Copies the file that a stream stands for, its zeroes included.
fn copy_stream(from: &mut dyn Read, to: &mut impl Write) -> Result<(), Failure> {
    let mut copied = 0;
    let len = unpack(from, |at, bytes| -> Result<(), Failure> {
        let gap = at.checked_sub(copied).ok_or_else(|| not_as_asked("its stream is not in order"));
        pad(gap.map_err(Failure::Refused)?, to)?;
        to.write_all(bytes).map_err(not_taken)?;
        copied = at + bytes.len() as u64;
        Ok(())
    })?;
    pad(len - copied, to)?;
    to.flush().map_err(not_taken)
}

fn pad(mut gap: u64, to: &mut impl Write) -> Result<(), Failure> {
    const ZEROES: &[u8] = &[0; 64 << 10];
    while gap > 0 {
        let zeroes = gap.min(ZEROES.len() as u64);
        to.write_all(&ZEROES[..zeroes as usize]).map_err(not_taken)?;
        gap -= zeroes;
    }
    Ok(())
}

fn not_taken(error: io::Error) -> Failure {
    Failure::Refused(Error::user("stdout: the disk cannot be written").because(error))
}

fn is_named(name: &str, format: Format) -> bool {
    name.strip_suffix(format.extension()).is_some_and(|stem| stem.ends_with('.'))
}

/// A name that nobody has typed, so nobody knows where it leads.
fn leads_elsewhere(path: &Path) -> Failure {
    let message = format!("{}: is a link, and not what was named", path.display());
    Failure::Refused(Error::user(message).with_hint("remove the link, or build one platform"))
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
