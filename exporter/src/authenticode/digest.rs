//! One pass over a program: its headers, its digest, and the signatures that it has.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::TABLE_MAX;
use super::program::Program;
use crate::engine::{self, CHUNK, Chunk, RawImage, Run, Sink, Stored};
use crate::error::{Error, Kind, Result};
use crate::fs::Contents;

/// What signatures begin at a multiple of.
pub(super) const ALIGNMENT: u64 = 8;

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
    let reading = Reading { place, size: file.size, so_far: Mutex::default() };
    let image = RawImage { size: file.size, extents: &*file.extents };
    engine::run(image, &[&reading], &Run::silent(NonZeroUsize::MIN))?;
    let so_far = reading.so_far.into_inner().unwrap_or_else(PoisonError::into_inner);
    match so_far {
        Some(so_far) => Ok(so_far.finish(file.size)),
        None => Err(refused(place, "is no program for UEFI")),
    }
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

/// Takes the chunks of the file.
struct Reading<'a> {
    place: &'a str,
    size: u64,
    /// `None` until its first chunk came, which a program has.
    so_far: Mutex<Option<SoFar>>,
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

    /// Zeroes up to the byte `end`.
    fn meet_zeroes(&mut self, end: u64) {
        static ZEROES: [u8; CHUNK] = [0; CHUNK];
        while self.done < end {
            let len = (end - self.done).min(CHUNK as u64) as usize;
            self.meet(&ZEROES[..len]);
        }
    }

    fn finish(mut self, size: u64) -> Read {
        self.meet_zeroes(size);
        // What is put in front of the signatures is signed.
        let end = self.program.signatures.start;
        self.sha256.update(&[0; ALIGNMENT as usize][..(end.next_multiple_of(ALIGNMENT) - end) as usize]);
        let Self { program, head, sha256, sum, table, .. } = self;
        Read { program, head, sha256: sha256.finalize().into(), sum, table }
    }
}

impl Sink for Reading<'_> {
    fn encode(&self, _chunk: &Chunk<'_>, _stored: &mut Stored) -> Result<()> {
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, _stored: &mut Stored) -> Result<()> {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        if chunk.offset == 0 {
            *so_far = Some(SoFar::new(self.place, chunk.bytes(), self.size)?);
        }
        if let Some(so_far) = so_far.as_mut() {
            so_far.meet_zeroes(chunk.offset);
            so_far.meet(chunk.bytes());
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}
