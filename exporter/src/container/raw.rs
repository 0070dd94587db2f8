//! Raw: the bytes as they are. Zeroes are holes, and blocks of files are shared with them where the file
//! system can.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::place::Place;
use crate::engine::{Chunk, Piece, Sink, Stored};
use crate::error::{Error, Result};
use crate::read_at::{ReadAt, check_range};

/// Zeroes are left out in blocks of this many bytes: smaller holes would only fragment the file.
const BLOCK: usize = 64 << 10;
/// Fewer bytes than this are read and written sooner than they are shared with their file.
const SHARED_MIN: u64 = 256 << 10;

/// Writes a raw disk.
pub(super) struct Writer<P> {
    size: u64,
    place: P,
}

impl<P: Place> Writer<P> {
    /// A disk of `size` bytes.
    pub(super) fn new(size: u64, place: P) -> Self {
        Self { size, place }
    }
}

impl<P: Place> Sink for Writer<P> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let len = chunk.bytes().len();
        let pieces = chunk.blocks(BLOCK).map(|block| Piece {
            at: chunk.offset + block.start as u64,
            ..Piece::plain(block.start..block.end.min(len))
        });
        stored.pieces.extend(pieces);
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        stored.writes(chunk).try_for_each(|(at, bytes)| self.place.write_at(bytes, at))
    }

    fn share(&self, file: &File, offset: u64, at: u64, len: u64) -> Range<u64> {
        // Whole blocks: in others, the zeroes that the chunk has there would be written over them.
        let start = at.next_multiple_of(BLOCK as u64);
        let end = (at + len) / BLOCK as u64 * BLOCK as u64;
        let is_shared = end.saturating_sub(start) >= SHARED_MIN
            && self.place.share(file, offset + (start - at), start, end - start);
        if is_shared { start - at..end - at } else { 0..0 }
    }

    fn finish(&self) -> Result<()> {
        self.place.set_len(self.size)
    }
}

/// Reads a file as it is.
pub(super) struct Reader {
    file: File,
    size: u64,
    shown: String,
}

impl Reader {
    /// `shown` is the file's path, for messages.
    pub(super) fn new(file: File, shown: String) -> Result<Self> {
        let metadata =
            file.metadata().map_err(|error| Error::io(&shown, "cannot look at the disk file", error))?;
        Ok(Self { file, size: metadata.len(), shown })
    }
}

impl ReadAt for Reader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        let read = self.file.read_exact_at(out, offset);
        read.map_err(|error| Error::io(&self.shown, "cannot read the disk file", error))
    }

    fn data_from(&self, offset: u64) -> u64 {
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data.min(self.size),
            // A hole up to the end.
            Err(Errno::NXIO) => self.size,
            // A file system that knows of no holes.
            Err(_) => offset.min(self.size),
        }
    }

    fn hole_from(&self, offset: u64, until: u64) -> u64 {
        seek(&self.file, SeekFrom::Hole(offset)).map_or(until, |hole| hole.min(until))
    }
}
