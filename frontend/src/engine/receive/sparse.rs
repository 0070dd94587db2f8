//! A file as it arrives: blocks of zeros become holes.

use std::error::Error as _;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use exporter::container::Output;
use exporter::container::qcow2::Arriving;
use exporter::container::sparse::{data_runs, unpack};
use exporter::error::show_size;

use super::entries::FileEntry;
use super::{Undelivered, ended_early, entries};
use crate::base::Error;
use crate::engine::destination::Over;

/// Copies one file of exactly `len` bytes.
pub(super) fn store(from: &mut dyn Read, len: u64, output: &Output) -> Result<(), Undelivered> {
    let cannot = |stored, error| Undelivered::Refused(cannot_store(error, stored, len, output));
    let mut stored = 0;
    put_all(from, len, |at, run| {
        output.write_at(run, at).map_err(|error| cannot(stored, error))?;
        stored += run.len() as u64;
        Ok(())
    })?;
    output.set_len(len).map_err(|error| cannot(stored, error))
}

/// Makes the file that a stream of `len` bytes stands for.
pub(super) fn store_stream(from: &mut dyn Read, len: u64, output: &Output) -> Result<(), Undelivered> {
    let cannot = |stored, error| Undelivered::Refused(cannot_store(error, stored, len, output));
    let mut stored = 0;
    let file_len = unpack(from, |at, bytes| -> Result<(), Undelivered> {
        output.write_at(bytes, at).map_err(|error| cannot(stored, error))?;
        stored += bytes.len() as u64;
        Ok(())
    })?;
    output.set_len(file_len).map_err(|error| cannot(stored, error))
}

/// Writes the raw disk that arrives over its base, in the one pass in which it comes.
pub(super) fn store_over(
    from: &mut dyn Read,
    entry: &FileEntry,
    over: &Over,
    output: &Output,
) -> Result<(), Undelivered> {
    let refused = |error: exporter::Error| Undelivered::Refused(cannot_store(error, 0, entry.len, output));
    let mut disk = Arriving::new(&over.base, over.compression, output).map_err(refused)?;
    let size = match entry.is_stream {
        true => unpack(from, |at, bytes| disk.put(at, bytes).map_err(refused))?,
        false => put_all(from, entry.len, |at, bytes| disk.put(at, bytes).map_err(refused))?,
    };
    disk.finish(size).map_err(refused)
}

/// Hands the data of a file of exactly `len` bytes to `put`.
fn put_all(
    mut from: impl Read,
    len: u64,
    mut put: impl FnMut(u64, &[u8]) -> Result<(), Undelivered>,
) -> Result<u64, Undelivered> {
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        let filled = fill(&mut from, &mut buffer).map_err(entries::broken)?;
        data_runs(offset, &buffer[..filled]).try_for_each(|(at, run)| put(at, run))?;
        offset += filled as u64;
        if filled < buffer.len() {
            break;
        }
    }
    if offset == len { Ok(len) } else { Err(ended_early(offset, len)) }
}

/// The error of a file of `len` bytes, `stored` of which are on the disk and come free again with it.
fn cannot_store(error: exporter::Error, stored: u64, len: u64, output: &Output) -> Error {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let is_full =
        |cause: &io::Error| matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    if !cause.is_some_and(is_full) {
        return error.into();
    }
    let directory = output.temporary().parent().unwrap_or(Path::new("."));
    let free = rustix::fs::statvfs(directory)
        .map_or(stored, |stat| stat.f_bavail.saturating_mul(stat.f_frsize).saturating_add(stored));
    Error::user(format!(
        "{}: no space left: the disk file has {}, {} are free",
        directory.display(),
        show_size(len),
        show_size(free)
    ))
    .with_hint("free some space there, or name another place with -o")
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
