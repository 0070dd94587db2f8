//! One pass over a program: its headers, its digest, and the signatures that it has.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::TABLE_MAX;
use super::program::{Program, is_program};
use crate::engine::{self, CHUNK, Chunk, RawImage, Run, Sink, Stored};
use crate::error::{Error, Kind, Result};
use crate::fs::Contents;

/// What signatures begin at a multiple of.
pub(super) const ALIGNMENT: u64 = 8;

/// What is looked at to find the headers of a program.
const HEAD: u64 = 1 << 20;

/// What was read of a program.
pub(super) struct Read {
    pub(super) program: Program,
    /// The bytes up to the end of the last one that changes.
    pub(super) head: Vec<u8>,
    /// The digest that signatures are of.
    pub(super) sha256: [u8; 32],
    /// The sum of what it is of, as [`fold`] has it.
    pub(super) sum: u64,
    /// The signatures that it has.
    pub(super) table: Vec<u8>,
}

/// Read the program in a file that `place` names in messages.
///
/// # Errors
/// [`Kind::Input`] if it is none, or cannot be signed.
pub(super) fn read(place: &str, file: &Contents) -> Result<Read> {
    let reading = Reading(Mutex::new(Feed::new(place, file.size)));
    let image = RawImage { size: file.size, extents: &*file.extents };
    engine::run(image, &[&reading], &Run::silent(NonZeroUsize::MIN))?;
    reading.0.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
}

pub(super) fn refused(place: &str, why: &str) -> Error {
    Error::new(Kind::Input, place, why)
}

/// The sum of 16-bit words, each with its carry added at the lower end, that a PE has over itself, but for its length.
pub(super) fn fold(sum: u64, bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8]| u64::from(bytes[0]) | bytes.get(1).map_or(0, |high| u64::from(*high) << 8);
    let mut sum = bytes.chunks(2).fold(sum, |sum, bytes| sum + word(bytes));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// Takes the bytes of a file, from front to end.
pub(super) struct Feed<'a> {
    place: &'a str,
    size: u64,
    /// What came before there was enough to know what it is.
    head: Vec<u8>,
    /// `None` until then.
    so_far: Option<SoFar>,
}

impl<'a> Feed<'a> {
    /// Of a file of `size` bytes, which `place` names in messages.
    pub(super) fn new(place: &'a str, size: u64) -> Self {
        Self { place, size, head: Vec::new(), so_far: None }
    }

    /// Whether it begins as a program does, as far as it is refused.
    pub(super) fn begins_as_program(&self) -> bool {
        is_program(&self.head)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// As [`read`].
    pub(super) fn meet(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(so_far) = &mut self.so_far {
            so_far.meet(bytes);
            return Ok(());
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() as u64 >= self.size.min(HEAD) {
            let mut so_far = SoFar::new(self.place, &self.head, self.size)?;
            so_far.meet(&std::mem::take(&mut self.head));
            self.so_far = Some(so_far);
        }
        Ok(())
    }

    /// Zeroes up to the byte `end`.
    fn meet_zeroes(&mut self, end: u64) -> Result<()> {
        static ZEROES: [u8; CHUNK] = [0; CHUNK];
        loop {
            let done = self.so_far.as_ref().map_or(self.head.len() as u64, |so_far| so_far.done);
            if done >= end {
                return Ok(());
            }
            self.meet(&ZEROES[..(end - done).min(CHUNK as u64) as usize])?;
        }
    }

    /// What was read; what has not come is zero.
    ///
    /// # Errors
    /// As [`read`].
    pub(super) fn finish(mut self) -> Result<Read> {
        self.meet_zeroes(self.size)?;
        match self.so_far {
            Some(so_far) => Ok(so_far.finish()),
            None => Err(refused(self.place, "is no program for UEFI")),
        }
    }
}

struct SoFar {
    program: Program,
    head: Vec<u8>,
    /// Bytes that were met.
    done: u64,
    sha256: Sha256,
    sum: u64,
    table: Vec<u8>,
}

impl SoFar {
    fn new(place: &str, head: &[u8], size: u64) -> Result<Self> {
        let program = Program::read(head, size).map_err(|why| refused(place, why))?;
        if program.signatures.end - program.signatures.start > TABLE_MAX {
            return Err(refused(place, "has signatures of more than 1 MiB"));
        }
        let head = head[..program.head_len()].to_vec();
        Ok(Self { program, head, done: 0, sha256: Sha256::new(), sum: 0, table: Vec::new() })
    }

    /// The next bytes of the file.
    fn meet(&mut self, bytes: &[u8]) {
        let part = |range: &Range<u64>| {
            let place = |at: u64| (at.clamp(self.done, self.done + bytes.len() as u64) - self.done) as usize;
            &bytes[place(range.start)..place(range.end)]
        };
        for range in self.program.hashed() {
            let part = part(&range);
            self.sha256.update(part);
            self.sum = fold(self.sum, part);
        }
        self.table.extend_from_slice(part(&self.program.signatures));
        self.done += bytes.len() as u64;
    }

    fn finish(mut self) -> Read {
        // What is put in front of the signatures is signed.
        let end = self.program.signatures.start;
        self.sha256.update(&[0; ALIGNMENT as usize][..(end.next_multiple_of(ALIGNMENT) - end) as usize]);
        let Self { program, head, sha256, sum, table, .. } = self;
        Read { program, head, sha256: sha256.finalize().into(), sum, table }
    }
}

/// Takes the chunks of the file; those of zeroes do not come.
struct Reading<'a>(Mutex<Feed<'a>>);

impl Sink for Reading<'_> {
    fn encode(&self, _chunk: &Chunk<'_>, _stored: &mut Stored) -> Result<()> {
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, _stored: &mut Stored) -> Result<()> {
        let mut feed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feed.meet_zeroes(chunk.offset)?;
        feed.meet(chunk.bytes())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}
