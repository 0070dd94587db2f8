//! The root once more, as one member of gzip (RFC 1952), for systemd-sysupdate: up to systemd 257 what fetches for it unpacks
//! xz, gzip and bzip2 (`import-compress.c`), writes a zstd as it is, and does not go on behind the first member.
//!
//! ```text
//! ┌──────┬──────────────────┬──────────────────┬─────────────┬──────────────┐
//! │ head │ chunk 0, flushed │ chunk 1, flushed │ an empty    │ CRC-32,      │
//! │      │ to a whole byte  │ to a whole byte  │ last block  │ length       │
//! └──────┴──────────────────┴──────────────────┴─────────────┴──────────────┘
//! ```
//!
//! No chunk refers to one before it, so they are packed in parallel like those of other containers, and one of zeroes is packed
//! once. The sum over all is combined of the sums of the chunks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crc32fast::Hasher;
use zerocopy::byteorder::little_endian::U32;
use zerocopy::{Immutable, IntoBytes, Unaligned};

use crate::codec::{Codecs, Coding};
use crate::container::place::Place;
use crate::engine::{CHUNK, Chunk, Piece, Stored};
use crate::error::{Error, Kind, Result};

/// Deflate, no flags, no time, no extra flags, of an unknown system: the same bytes everywhere (RFC 1952, 2.3).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A last block with fixed codes and nothing in it (RFC 1951, 3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];

/// What is behind the last block (RFC 1952, 2.3.1).
#[derive(Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct Tail {
    crc: U32,
    /// Of all that is packed, without what 32 bits do not hold.
    len: U32,
}

/// Packs a file system.
pub(super) struct Gzip<P> {
    size: u64,
    codecs: Codecs,
    /// A chunk of zeroes.
    zeroes: Packed,
    sent: Mutex<Sent>,
    place: P,
}

/// Bytes that are packed.
struct Packed {
    sum: Hasher,
    bytes: Vec<u8>,
}

/// How far the file is written.
struct Sent {
    /// Bytes of the file system.
    plain: u64,
    file: u64,
    sum: Hasher,
}

impl<P: Place> Gzip<P> {
    /// A file system of `size` bytes.
    pub(super) fn new(size: u64, place: P) -> Result<Self> {
        let codecs = Codecs::new(Coding::FlushedDeflate);
        let zeroes = pack(&codecs, &vec![0; CHUNK])?;
        place.write_at(&HEAD, 0)?;
        let sent = Sent { plain: 0, file: HEAD.len() as u64, sum: Hasher::new() };
        Ok(Self { size, codecs, zeroes, sent: Mutex::new(sent), place })
    }

    /// Where it writes.
    pub(super) fn place(&self) -> &P {
        &self.place
    }

    /// Pack a chunk, as one more piece: the last of those that are there.
    pub(super) fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let Packed { sum, bytes } = pack(&self.codecs, chunk.bytes())?;
        let start = stored.packed.len();
        stored.packed.extend(sum.finalize().to_le_bytes());
        stored.packed.extend(bytes);
        let packed = Some(start..stored.packed.len());
        stored.pieces.push(Piece { packed, ..Piece::plain(0..chunk.bytes().len()) });
        Ok(())
    }

    /// Take that piece, and write it.
    pub(super) fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let packed = stored.pieces.pop().and_then(|piece| stored.packed.get(piece.packed?));
        let Some((sum, bytes)) = packed.and_then(|packed| packed.split_first_chunk()) else {
            return Err(refused());
        };
        let len = chunk.bytes().len() as u64;
        let sum = Hasher::new_with_initial_len(u32::from_le_bytes(*sum), len);
        let mut sent = self.sent();
        self.append_zeroes(&mut sent, chunk.offset)?;
        self.append(&mut sent, len, &sum, bytes)
    }

    /// Write what is behind the last chunk.
    pub(super) fn finish(&self) -> Result<()> {
        let mut sent = self.sent();
        self.append_zeroes(&mut sent, self.size)?;
        let tail =
            Tail { crc: sent.sum.clone().finalize().into(), len: U32::new((self.size & 0xffff_ffff) as u32) };
        self.place.write_at(&[&LAST_BLOCK, tail.as_bytes()].concat(), sent.file)
    }

    /// Write zeroes until `plain` bytes of the file system are written.
    fn append_zeroes(&self, sent: &mut Sent, plain: u64) -> Result<()> {
        while plain - sent.plain >= CHUNK as u64 {
            self.append(sent, CHUNK as u64, &self.zeroes.sum, &self.zeroes.bytes)?;
        }
        let rest = (plain - sent.plain) as usize;
        if rest == 0 {
            return Ok(());
        }
        // Less than a chunk, and that only at the end.
        let Packed { sum, bytes } = pack(&self.codecs, &vec![0; rest])?;
        self.append(sent, rest as u64, &sum, &bytes)
    }

    fn append(&self, sent: &mut Sent, plain: u64, sum: &Hasher, packed: &[u8]) -> Result<()> {
        self.place.write_at(packed, sent.file)?;
        sent.file += packed.len() as u64;
        sent.plain += plain;
        sent.sum.combine(sum);
        Ok(())
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pack(codecs: &Codecs, plain: &[u8]) -> Result<Packed> {
    let mut codec = codecs.lend()?;
    let (mut sum, mut bytes) = (Hasher::new(), Vec::new());
    sum.update(plain);
    let bound = codec.bound(plain.len());
    codec.pack(plain, bound, &mut bytes).ok_or_else(refused)?;
    Ok(Packed { sum, bytes })
}

fn refused() -> Error {
    Error::new(Kind::Unsupported, "", "the compressor refused a chunk")
}
