//! Compressed streams: the raw disk in frames of zstd (RFC 8878) or members of gzip (RFC 1952), one for
//! each chunk.
//!
//! ```text
//! ┌────────┬─────────┬─────────┬───────────┬─────────┬───────────┬─────────┐
//! │ before │ chunk 0 │ chunk 1 │ 1 MiB of  │ chunk 3 │ the other │ behind  │
//! │        │         │         │ zeroes    │         │ zeroes    │         │
//! └────────┴─────────┴─────────┴───────────┴─────────┴───────────┴─────────┘
//! ```
//!
//! Both standards say that what is unpacked from parts in a row is the parts' contents in a row, and
//! parts can be made in parallel. Zeroes between the chunks take no work: one part of zeroes is made
//! once and repeated. Each part has a checksum, and nothing that depends on time or place.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Format;
use super::place::Place;
use crate::codec::{Codecs, Coding, Lent};
use crate::engine::{CHUNK, Chunk, Piece, Sink, Stored};
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;

/// Parts of zeroes that are written at once.
const BATCH: u64 = 256;

/// Bytes around the disk, packed with it; a few kilobytes.
#[derive(Default)]
pub(super) struct Around {
    pub(super) before: Vec<u8>,
    pub(super) behind: Vec<u8>,
}

/// Writes a disk as a compressed stream.
pub(super) struct Writer<'a> {
    size: u64,
    behind: Vec<u8>,
    codecs: Codecs,
    /// A chunk of zeroes, packed.
    zeroes: Vec<u8>,
    sent: Mutex<Sent>,
    place: &'a dyn Place,
}

/// How far the disk is written.
struct Sent {
    /// Bytes of the disk.
    disk: u64,
    /// Bytes of the file.
    file: u64,
}

impl<'a> Writer<'a> {
    /// A disk of `size` bytes with something around it.
    pub(super) fn new(size: u64, coding: Coding, around: Around, place: &'a dyn Place) -> Result<Self> {
        let codecs = Codecs::new(coding);
        let mut zeroes = Vec::new();
        pack(&mut codecs.lend()?, &[0; CHUNK], &mut zeroes)?;
        let sent = Mutex::new(Sent { disk: 0, file: 0 });
        let writer = Self { size, behind: around.behind, codecs, zeroes, sent, place };
        writer.append(&mut writer.sent(), &around.before)?;
        Ok(writer)
    }

    fn sent(&self) -> std::sync::MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pack `bytes` and write them next.
    fn append(&self, sent: &mut Sent, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut packed = Vec::new();
        pack(&mut self.codecs.lend()?, bytes, &mut packed)?;
        self.append_packed(sent, &packed)
    }

    fn append_packed(&self, sent: &mut Sent, packed: &[u8]) -> Result<()> {
        self.place.write_at(packed, sent.file)?;
        sent.file += packed.len() as u64;
        Ok(())
    }

    /// Write zeroes until `disk` bytes of the disk are written.
    fn append_zeroes(&self, sent: &mut Sent, disk: u64) -> Result<()> {
        let mut chunks = (disk - sent.disk) / CHUNK as u64;
        let batch = self.zeroes.repeat(chunks.min(BATCH) as usize);
        while chunks > 0 {
            let now = chunks.min(BATCH);
            self.append_packed(sent, &batch[..now as usize * self.zeroes.len()])?;
            sent.disk += now * CHUNK as u64;
            chunks -= now;
        }
        // Less than a chunk, and that only at the end of the disk.
        let rest = (disk - sent.disk) as usize;
        self.append(sent, &vec![0; rest])?;
        sent.disk = disk;
        Ok(())
    }
}

fn pack(codec: &mut Lent<'_>, bytes: &[u8], packed: &mut Vec<u8>) -> Result<std::ops::Range<usize>> {
    let bound = codec.bound(bytes.len());
    let range = codec.pack(bytes, bound, packed);
    range.ok_or_else(|| Error::new(Kind::Unsupported, "", "the compressor refused a chunk"))
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let packed = pack(&mut self.codecs.lend()?, chunk.bytes(), &mut stored.packed)?;
        stored.pieces.push(Piece { packed: Some(packed), ..Piece::plain(0..chunk.bytes().len()) });
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut sent = self.sent();
        self.append_zeroes(&mut sent, chunk.offset)?;
        for piece in &mut stored.pieces {
            piece.at = sent.file;
            sent.file += piece.len() as u64;
            sent.disk += piece.plain.len() as u64;
        }
        stored.writes(chunk).try_for_each(|(at, bytes)| self.place.write_at(bytes, at))
    }

    fn finish(&self) -> Result<()> {
        let mut sent = self.sent();
        self.append_zeroes(&mut sent, self.size)?;
        self.append(&mut sent, &self.behind)
    }
}

/// Whether a file begins as a zstd frame does.
pub(super) fn is_zstd<F: ReadAt>(file: &F) -> bool {
    begins_with(file, [0x28, 0xb5, 0x2f, 0xfd])
}

/// Whether a file begins as a gzip member with deflate in it does.
pub(super) fn is_gzip<F: ReadAt>(file: &F) -> bool {
    begins_with(file, [0x1f, 0x8b, 8])
}

fn begins_with<F: ReadAt, const N: usize>(file: &F, magic: [u8; N]) -> bool {
    let mut bytes = [0; N];
    file.read_at(0, &mut bytes).is_ok_and(|()| bytes == magic)
}

/// Why a compressed stream at `path` is not opened.
pub(super) fn unreadable(format: Format, path: &Path) -> Error {
    let shown = path.display();
    let message = format!("a {format} disk can only be read from front to end");
    let error = Error::new(Kind::Unsupported, shown.to_string(), message);
    match format.unpack_command() {
        Some(command) => error.with_hint(format!("unpack it first: {command} {shown}")),
        None => error,
    }
}
