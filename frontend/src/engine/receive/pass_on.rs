//! An artifact to whoever reads stdout: a file byte for byte, a folder as an archive of its files.

use std::io::{self, Read, Write};

use exporter::container::sparse::unpack;
use exporter::container::{Format, Members};
use tar::Header;

use super::entries::{self, FileEntry};
use super::{Undelivered, ended_early, is_whole, missing, not_as_asked, one_too_many, unasked};
use crate::base::{Error, Result};

/// Hands the one artifact of a tar stream on; some of it may be out when it fails.
pub(crate) fn pass_on(stream: impl Read, format: Format, to: &mut impl Write) -> Result<(), Undelivered> {
    match format.is_folder() {
        true => pass_folder_on(stream, format, to),
        false => pass_file_on(stream, format, to),
    }
}

fn pass_file_on(stream: impl Read, format: Format, to: &mut impl Write) -> Result<(), Undelivered> {
    let mut passed = false;
    entries::each(stream, |entry, bytes| {
        if !entry.is_of(format) {
            return Err(unasked(&entry, [format]));
        }
        if std::mem::replace(&mut passed, true) {
            return Err(one_too_many(format));
        }
        match entry.is_stream {
            true => copy_stream(bytes, to),
            false => copy(bytes, entry.len, to),
        }
    })?;
    if passed { Ok(()) } else { Err(missing(format)) }
}

/// Only names and sizes are the stream's own.
fn pass_folder_on(stream: impl Read, format: Format, to: &mut impl Write) -> Result<(), Undelivered> {
    let mut folder = None;
    let mut members = Members::new(format);
    entries::each(stream, |entry, bytes| {
        let refused = |reason: String| Undelivered::Refused(not_as_asked(&reason));
        if !entry.is_of(format) || entry.is_stream {
            return Err(unasked(&entry, [format]));
        }
        let of = (entry.platform.clone(), entry.folder.clone());
        if *folder.get_or_insert_with(|| of.clone()) != of {
            return Err(one_too_many(format));
        }
        members.add(&entry.name).map_err(refused)?;
        let header = header(&entry).map_err(|error| refused(error.to_string()))?;
        to.write_all(header.as_bytes()).map_err(not_taken)?;
        copy(bytes, entry.len, to)?;
        pad(entry.len.next_multiple_of(RECORD) - entry.len, to)
    })?;
    if folder.is_none() {
        return Err(missing(format));
    }
    is_whole(format, &members)?;
    pad(2 * RECORD, to)?;
    to.flush().map_err(not_taken)
}

/// What members of an archive are padded to, and its end is two of.
const RECORD: u64 = size_of::<Header>() as u64;

fn header(entry: &FileEntry) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_path(&entry.name)?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(entry.len);
    header.set_cksum();
    Ok(header)
}

/// Copies all there is, which should be `len` bytes; tells the one who sends from the one who takes.
fn copy(from: &mut dyn Read, len: u64, to: &mut impl Write) -> Result<(), Undelivered> {
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
fn copy_stream(from: &mut dyn Read, to: &mut impl Write) -> Result<(), Undelivered> {
    let mut copied = 0;
    let len = unpack(from, |at, bytes| -> Result<(), Undelivered> {
        let gap = at.checked_sub(copied).ok_or_else(|| not_as_asked("its stream is not in order"));
        pad(gap.map_err(Undelivered::Refused)?, to)?;
        to.write_all(bytes).map_err(not_taken)?;
        copied = at + bytes.len() as u64;
        Ok(())
    })?;
    pad(len - copied, to)?;
    to.flush().map_err(not_taken)
}

fn pad(mut gap: u64, to: &mut impl Write) -> Result<(), Undelivered> {
    const ZEROES: &[u8] = &[0; 64 << 10];
    while gap > 0 {
        let zeroes = gap.min(ZEROES.len() as u64);
        to.write_all(&ZEROES[..zeroes as usize]).map_err(not_taken)?;
        gap -= zeroes;
    }
    Ok(())
}

fn not_taken(error: io::Error) -> Undelivered {
    Undelivered::Refused(Error::user("stdout: the disk cannot be written").because(error))
}
