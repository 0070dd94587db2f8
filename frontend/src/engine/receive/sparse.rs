//! A file as it arrives: blocks of zeros become holes.

use std::error::Error as _;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use exporter::container::Output;
use exporter::container::sparse::{data_runs, unpack};
use exporter::error::show_size;

use super::{Undelivered, ended_early, entries};
use crate::base::Error;

/// Copies one file of exactly `len` bytes.
pub(super) fn store(mut from: impl Read, len: u64, output: &Output) -> Result<(), Undelivered> {
    let cannot = |stored, error| Undelivered::Refused(cannot_store(error, stored, len, output));
    let mut buffer = vec![0; 1 << 20];
    let (mut offset, mut stored) = (0, 0);
    loop {
        let filled = fill(&mut from, &mut buffer).map_err(entries::broken)?;
        for (at, run) in data_runs(offset, &buffer[..filled]) {
            output.write_at(run, at).map_err(|error| cannot(stored, error))?;
            stored += run.len() as u64;
        }
        offset += filled as u64;
        if filled < buffer.len() {
            break;
        }
    }
    output.set_len(offset).map_err(|error| cannot(stored, error))?;
    if offset == len { Ok(()) } else { Err(ended_early(offset, len)) }
}

/// Makes the file that a stream of `len` bytes stands for.
pub(super) fn store_stream(from: impl Read, len: u64, output: &Output) -> Result<(), Undelivered> {
    let cannot = |stored, error| Undelivered::Refused(cannot_store(error, stored, len, output));
    let mut stored = 0;
    let file_len = unpack(from, |at, bytes| -> Result<(), Undelivered> {
        output.write_at(bytes, at).map_err(|error| cannot(stored, error))?;
        stored += bytes.len() as u64;
        Ok(())
    })?;
    output.set_len(file_len).map_err(|error| cannot(stored, error))
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
