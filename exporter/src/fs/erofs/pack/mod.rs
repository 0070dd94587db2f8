//! Compressing the files of a tree before anything has its place: then the room that each takes is known.
//!
//! ```text
//! files ─laid out one behind the other─▶ engine: extents, compressed in parallel ─▶ a temporary file, in order
//! ```
//!
//! What is compressed waits in that file for the disk, so that memory does not grow with the tree, and each byte is
//! compressed once. What compression does not make smaller is not in it: that is read from where it is.

mod files;

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use files::Files;

use super::clusters::Clusters;
use super::format::BLOCK_SIZE;
use super::{Algorithm, EXTENT_SIZE};
use crate::codec::{Codecs, Coding, Lent};
use crate::engine::{self, CHUNK, Chunk, Piece, RawImage, Run, Sink, Stored};
use crate::error::{Error, Result};
use crate::read_at::{ReadAt, Shared, check_range};
use crate::tree::{InodeId, Tree};

/// The files of a tree, compressed as far as that is of use.
pub(super) struct Packed {
    algorithm: Algorithm,
    places: HashMap<InodeId, Place>,
    /// Blocks that each extent has compressed; 0: it is stored as it is.
    blocks: Arc<[u8]>,
    /// All that is compressed.
    pub(super) image: Shared,
}

/// Where a file lies among the others.
struct Place {
    extents: Range<usize>,
    /// First byte of the image.
    at: u64,
}

impl Packed {
    /// Compress the files among `inodes`.
    pub(super) fn new(tree: &Tree, inodes: &[InodeId], algorithm: Algorithm, run: &Run<'_>) -> Result<Self> {
        let files = Files::new(tree, inodes);
        let made = tempfile::tempfile_in(run.spool);
        let spool = made.map_err(|error| cannot_keep(run, error))?;
        let packer =
            Packer { files: &files, codecs: codecs(algorithm), spool: &spool, run, done: Mutex::default() };
        engine::run(RawImage { size: files.size, extents: &files }, &[&packer], run)?;
        packer.finish()?;
        let Done { blocks, written, .. } = packer.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let places = files.places(&blocks);
        Ok(Self { algorithm, places, blocks: blocks.into(), image: Arc::new(Kept { spool, size: written }) })
    }

    /// The file `id` of so many bytes, if it was compressed.
    pub(super) fn clusters(&self, id: InodeId, len: u64) -> Option<Clusters> {
        let Place { extents, at } = self.places.get(&id)?;
        let (all, range) = (Arc::clone(&self.blocks), extents.clone());
        Some(Clusters { algorithm: self.algorithm, len, all, range, packed_at: *at })
    }
}

fn codecs(algorithm: Algorithm) -> Codecs {
    Codecs::new(match algorithm {
        Algorithm::Lz4 => Coding::Lz4,
        Algorithm::Zstd => Coding::Zstd,
    })
}

/// Compresses the image of the files.
struct Packer<'a> {
    files: &'a Files<'a>,
    codecs: Codecs,
    spool: &'a File,
    run: &'a Run<'a>,
    done: Mutex<Done>,
}

/// What is compressed already.
#[derive(Default)]
struct Done {
    /// Bytes of the image.
    position: u64,
    /// Of each extent.
    blocks: Vec<u8>,
    /// Bytes in the temporary file.
    written: u64,
}

impl Packer<'_> {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keep what was made of extents, those next in the order.
    fn append(&self, done: &mut Done, stored: &Stored) -> Result<()> {
        done.blocks.extend(stored.pieces.iter().map(packed_blocks));
        let kept = self.spool.write_all_at(&stored.packed, done.written);
        kept.map_err(|error| cannot_keep(self.run, error))?;
        done.written += stored.packed.len() as u64;
        Ok(())
    }

    /// Compress the zeroes that the image has up to `end`: the engine leaves them out.
    fn append_zeroes(&self, done: &mut Done, end: u64) -> Result<()> {
        let mut codec = self.codecs.lend()?;
        for extent in self.files.extents(done.position..end) {
            let mut stored = Stored::default();
            let zeroes = &ZEROES[..(extent.end - extent.start) as usize];
            let piece = pack(&mut codec, zeroes, 0..zeroes.len(), &mut stored.packed);
            stored.pieces.push(piece);
            self.append(done, &stored)?;
        }
        done.position = end;
        Ok(())
    }
}

static ZEROES: [u8; EXTENT_SIZE] = [0; EXTENT_SIZE];

/// The extent that lies at `plain` of `bytes`, compressed if that saves a block at least: whole blocks, at the end of which
/// it ends.
fn pack(codec: &mut Lent<'_>, bytes: &[u8], plain: Range<usize>, packed: &mut Vec<u8>) -> Piece {
    let limit = (plain.len().div_ceil(BLOCK_SIZE) - 1) * BLOCK_SIZE;
    let range = codec.pack(&bytes[plain.clone()], limit, packed).map(|range| {
        let blocks = range.len().next_multiple_of(BLOCK_SIZE);
        packed.resize(range.start + blocks, 0);
        packed[range.start..].rotate_right(blocks - range.len());
        range.start..packed.len()
    });
    Piece { packed: range, ..Piece::plain(plain) }
}

fn packed_blocks(piece: &Piece) -> u8 {
    piece.packed.as_ref().map_or(0, |range| (range.len() / BLOCK_SIZE) as u8)
}

impl Sink for Packer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut codec = self.codecs.lend()?;
        let Stored { packed, pieces } = stored;
        for extent in self.files.extents(chunk.offset..chunk.offset + CHUNK as u64) {
            let plain = (extent.start - chunk.offset) as usize..(extent.end - chunk.offset) as usize;
            pieces.push(pack(&mut codec, chunk.padded(), plain, packed));
        }
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut done = self.done();
        self.append_zeroes(&mut done, chunk.offset)?;
        done.position = chunk.offset + CHUNK as u64;
        self.append(&mut done, stored)
    }

    fn finish(&self) -> Result<()> {
        self.append_zeroes(&mut self.done(), self.files.size)
    }
}

/// The temporary file, complete.
struct Kept {
    spool: File,
    size: u64,
}

impl ReadAt for Kept {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        let read = self.spool.read_exact_at(out, offset);
        read.map_err(|error| Error::io("erofs", "cannot read what was compressed", error))
    }
}

fn cannot_keep(run: &Run<'_>, error: std::io::Error) -> Error {
    let place = run.spool.display().to_string();
    let hint = format!("free some space where {place} lies");
    Error::io(place, "cannot keep what is compressed in a temporary file", error).with_hint(hint)
}
