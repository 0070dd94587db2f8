//! A disk file on its way to where it will lie: what it holds, without the zeroes between.
//!
//! ```text
//! "vmimage sparse 1" │ offset, length, bytes │ offset, length, bytes │ … │ the file's length, 0
//! ```
//!
//! Numbers are little-endian, of 8 bytes. What no record names is zero; of two records on the same bytes the
//! later counts. Whoever receives it makes the file as it comes, in one pass and in bounded memory. Records of a
//! format that [streams](super::Format::streams) come in the order of their offsets.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zerocopy::byteorder::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Output;
use super::place::{Lasting, Place};
use crate::engine::is_zero;
use crate::error::{Error, Kind, Result};
use crate::limits::DISK;

/// What the name of such a file ends in, behind the extension of its format.
pub const EXTENSION: &str = ".sparse";

const MAGIC: [u8; 16] = *b"vmimage sparse 1";
/// The granularity of zeroes: what file systems allocate in.
const BLOCK: u64 = 4096;
/// Bytes that are read at once.
const PART: u64 = 1 << 20;

/// What stands in front of a record's bytes; of no bytes at the end.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    offset: U64,
    length: U64,
}

const HEADER: u64 = size_of::<Header>() as u64;

/// The runs of blocks that are not all zero, of `bytes` that a file has at `offset`; each with its own offset.
pub fn data_runs(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    // Blocks are the file's, so the first may be one in part.
    let behind = move |at: usize| {
        let left = BLOCK - (offset + at as u64) % BLOCK;
        bytes.len().min(at + left as usize)
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && is_zero(&bytes[at..behind(at)]) {
            at = behind(at);
        }
        let start = at;
        while at < bytes.len() && !is_zero(&bytes[at..behind(at)]) {
            at = behind(at);
        }
        (start < at).then(|| (offset + start as u64, &bytes[start..at]))
    })
}

/// Hand the data of a stream to `put`, part by part with its offset; the length of the file.
///
/// # Errors
/// Those of `put`; [`ErrorKind::UnexpectedEof`] if the stream ends too early, [`ErrorKind::InvalidData`] if it is
/// none, and whatever `from` says.
pub fn unpack<E: From<io::Error>>(
    mut from: impl Read,
    mut put: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(invalid("does not begin as one").into());
    }
    let mut part = Vec::new();
    let mut end = 0;
    loop {
        let (mut offset, length) = read_header(&mut from)?;
        let behind = offset.checked_add(length).filter(|&behind| behind <= DISK);
        let behind = behind.ok_or_else(|| invalid("goes on behind the end of any disk"))?;
        if length == 0 {
            if offset < end {
                return Err(invalid("has data behind the end of its file").into());
            }
            return match from.read_exact(&mut [0]) {
                Ok(()) => Err(invalid("goes on behind its end").into()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(offset),
                Err(error) => Err(error.into()),
            };
        }
        end = end.max(behind);
        while offset < behind {
            part.resize(PART.min(behind - offset) as usize, 0);
            from.read_exact(&mut part)?;
            put(offset, &part)?;
            offset += part.len() as u64;
        }
    }
}

fn read_header(from: &mut impl Read) -> io::Result<(u64, u64)> {
    let mut header = Header { offset: U64::ZERO, length: U64::ZERO };
    from.read_exact(header.as_mut_bytes())?;
    Ok((header.offset.get(), header.length.get()))
}

fn invalid(how: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the stream of a sparse file {how}"))
}

/// The length of the file in the stream at `path`.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn file_len(path: &Path) -> Result<u64> {
    let read = || {
        let file = File::open(path)?;
        let mut last = Header { offset: U64::ZERO, length: U64::ZERO };
        let at = file.metadata()?.len().checked_sub(HEADER).ok_or(ErrorKind::UnexpectedEof)?;
        file.read_exact_at(last.as_mut_bytes(), at)?;
        Ok(last.offset.get())
    };
    read().map_err(|error: io::Error| Error::io(path.display().to_string(), "cannot look at the disk", error))
}

/// A file that is written as such a stream.
pub(super) struct Writer {
    output: Output,
    written: Mutex<Written>,
}

struct Written {
    /// Bytes of the stream.
    stream: u64,
    /// Where the file's data ends: behind it, zeroes need not be said.
    data: u64,
    /// The length of the file that was asked for.
    len: u64,
}

impl Writer {
    pub(super) fn new(output: Output) -> Result<Self> {
        output.write_at(&MAGIC, 0)?;
        Ok(Self { output, written: Mutex::new(Written { stream: MAGIC.len() as u64, data: 0, len: 0 }) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, written: &mut Written, offset: u64, bytes: &[u8]) -> Result<()> {
        let header = Header { offset: offset.into(), length: (bytes.len() as u64).into() };
        self.output.write_at(header.as_bytes(), written.stream)?;
        self.output.write_at(bytes, written.stream + HEADER)?;
        written.stream += HEADER + bytes.len() as u64;
        Ok(())
    }
}

impl Place for Writer {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut written = self.written();
        let end = offset + bytes.len() as u64;
        if offset >= written.data {
            data_runs(offset, bytes).try_for_each(|(at, run)| self.put(&mut written, at, run))?;
        } else if !bytes.is_empty() {
            self.put(&mut written, offset, bytes)?;
        }
        written.data = written.data.max(end);
        written.len = written.len.max(end);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.written().len = len;
        Ok(())
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
        Err(Error::new(Kind::Unsupported, "", "a stream cannot be read again"))
    }
}

impl Lasting for Writer {
    fn complete(self: Box<Self>) -> Result<()> {
        let Self { output, written } = *self;
        let written = written.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = Header { offset: written.len.into(), length: U64::ZERO };
        output.write_at(end.as_bytes(), written.stream)?;
        output.persist()
    }
}
