//! Compressed streams: the raw disk in frames of zstd (RFC 8878) or members of gzip (RFC 1952), one for
//! each chunk, or for each block of an update.
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
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::Format;
use super::place::Place;
use super::update::{BLOCK, Entry, Index};
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
pub(super) struct Writer<P> {
    size: u64,
    /// Bytes of the disk in a part; they divide a chunk.
    part: usize,
    behind: Vec<u8>,
    codecs: Codecs,
    /// A part of zeroes, packed.
    zeroes: Vec<u8>,
    /// What the index says of it.
    zero_entry: Entry,
    /// Where it is noted what each part has.
    index: Option<Index>,
    sent: Mutex<Sent>,
    place: P,
}

/// How far the disk is written.
struct Sent {
    /// Bytes of the disk.
    disk: u64,
    /// Bytes of the file.
    file: u64,
}

impl<P: Place> Writer<P> {
    /// A disk of `size` bytes with something around it.
    pub(super) fn new(size: u64, coding: Coding, around: Around, place: P) -> Result<Self> {
        let writer = Self { behind: around.behind, ..Self::in_parts(size, coding, CHUNK, place)? };
        writer.append(&mut writer.sent(), &around.before)?;
        Ok(writer)
    }

    /// An image of `size` bytes as a frame of zstd for each [`BLOCK`], which `index` notes.
    pub(super) fn indexed(size: u64, index: Index, place: P) -> Result<Self> {
        let writer = Self::in_parts(size, Coding::CheckedZstd, BLOCK, place)?;
        Ok(Self { index: Some(index), ..writer })
    }

    fn in_parts(size: u64, coding: Coding, part: usize, place: P) -> Result<Self> {
        let codecs = Codecs::new(coding);
        let mut zeroes = Vec::new();
        let plain = vec![0; part];
        pack(&mut codecs.lend()?, &plain, &mut zeroes)?;
        let zero_entry = Entry::of(&plain, zeroes.len());
        let sent = Mutex::new(Sent { disk: 0, file: 0 });
        Ok(Self { size, part, behind: Vec::new(), codecs, zeroes, zero_entry, index: None, sent, place })
    }

    /// Where it writes.
    pub(super) fn place(&self) -> &P {
        &self.place
    }

    /// What notes the parts.
    pub(super) fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pack `bytes` and write them next; how many they are then.
    fn append(&self, sent: &mut Sent, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut packed = Vec::new();
        pack(&mut self.codecs.lend()?, bytes, &mut packed)?;
        self.append_packed(sent, &packed)?;
        Ok(packed.len())
    }

    fn append_packed(&self, sent: &mut Sent, packed: &[u8]) -> Result<()> {
        self.place.write_at(packed, sent.file)?;
        sent.file += packed.len() as u64;
        Ok(())
    }

    /// Write zeroes until `disk` bytes of the disk are written.
    fn append_zeroes(&self, sent: &mut Sent, disk: u64) -> Result<()> {
        let part = self.part as u64;
        let mut parts = (disk - sent.disk) / part;
        let most = parts.min(BATCH) as usize;
        let (batch, entries) = (self.zeroes.repeat(most), vec![self.zero_entry; most]);
        while parts > 0 {
            let now = parts.min(BATCH);
            self.append_packed(sent, &batch[..now as usize * self.zeroes.len()])?;
            self.note(&entries[..now as usize])?;
            sent.disk += now * part;
            parts -= now;
        }
        // Less than a part, and that only at the end of the disk.
        let rest = vec![0; (disk - sent.disk) as usize];
        if !rest.is_empty() {
            let packed = self.append(sent, &rest)?;
            self.note(&[Entry::of(&rest, packed)])?;
        }
        sent.disk = disk;
        Ok(())
    }

    /// Tell the index of the next parts, if there is one.
    fn note(&self, entries: &[Entry]) -> Result<()> {
        self.index.as_ref().map_or(Ok(()), |index| index.add(entries))
    }
}

fn pack(codec: &mut Lent<'_>, bytes: &[u8], packed: &mut Vec<u8>) -> Result<std::ops::Range<usize>> {
    let bound = codec.bound(bytes.len());
    let range = codec.pack(bytes, bound, packed);
    range.ok_or_else(|| Error::new(Kind::Unsupported, "", "the compressor refused a chunk"))
}

impl<P: Place> Sink for Writer<P> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let parts = || chunk.bytes().chunks(self.part);
        if self.index.is_some() {
            // In front of what is packed, and of no piece: they are not written, and wait there for the index.
            stored.packed.extend(parts().flat_map(Sha256::digest));
        }
        let mut codec = self.codecs.lend()?;
        for (start, part) in (0..).step_by(self.part).zip(parts()) {
            let packed = pack(&mut codec, part, &mut stored.packed)?;
            stored.pieces.push(Piece { packed: Some(packed), ..Piece::plain(start..start + part.len()) });
        }
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
        if self.index.is_some() {
            let (digests, _) = stored.packed.as_chunks::<32>();
            let entries = digests.iter().zip(&stored.pieces);
            let entries: Vec<_> = entries.map(|(digest, piece)| Entry::new(*digest, piece.len())).collect();
            self.note(&entries)?;
        }
        stored.writes(chunk).try_for_each(|(at, bytes)| self.place.write_at(bytes, at))
    }

    fn finish(&self) -> Result<()> {
        let mut sent = self.sent();
        self.append_zeroes(&mut sent, self.size)?;
        self.append(&mut sent, &self.behind).map(drop)
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
