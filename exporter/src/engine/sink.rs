//! What the engine feeds: one sink for each disk file that is made.

use std::fs::File;
use std::ops::Range;

use super::CHUNK;
use crate::error::Result;

/// Takes the chunks of an image that are not zero and makes a disk file of them.
///
/// For each chunk: [`encode`](Self::encode) in any worker and any order, then
/// [`commit`](Self::commit) in the order of offsets and never two at once.
pub trait Sink: Sync {
    /// Make of the chunk what will be stored. `stored` is empty.
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()>;

    /// Decide where each piece goes, and write it there. What lies between the last chunk and this one is
    /// zero, or was shared.
    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()>;

    /// Take bytes from a file without reading them: of the `len` bytes that the image has at `at` and `file`
    /// from `offset` on, the range that was taken. The chunk then has zeroes there. Called in any worker and
    /// any order, before [`encode`](Self::encode), if this is the only sink.
    fn share(&self, _file: &File, _offset: u64, _at: u64, _len: u64) -> Range<u64> {
        0..0
    }

    /// Write what remains (tables, trailers) behind the last chunk.
    fn finish(&self) -> Result<()>;
}

/// A chunk of the image.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    /// Byte offset in the image, a multiple of [`CHUNK`].
    pub offset: u64,
    len: usize,
    padded: &'a [u8],
}

impl<'a> Chunk<'a> {
    pub(crate) fn new(offset: u64, len: usize, padded: &'a [u8]) -> Self {
        Self { offset, len, padded }
    }

    /// It as a chunk of the image that is `range` of this one, if it has bytes of that. The range begins at a multiple of
    /// [`CHUNK`], and what is behind its end in the chunk is zero.
    pub(crate) fn within(&self, range: &Range<u64>) -> Option<Self> {
        let offset = self.offset.checked_sub(range.start)?;
        let left = range.end.saturating_sub(self.offset);
        let len = usize::try_from(left).map_or(self.len, |left| left.min(self.len));
        (len > 0).then_some(Self { offset, len, padded: self.padded })
    }

    /// The bytes: [`CHUNK`] of them, fewer only at the end of the image.
    pub fn bytes(&self) -> &'a [u8] {
        &self.padded[..self.len]
    }

    /// The bytes with zeroes behind the end of the image: always [`CHUNK`] of them.
    pub fn padded(&self) -> &'a [u8] {
        self.padded
    }

    /// The blocks of `size` bytes, a divisor of [`CHUNK`], that are not zero: where each lies in
    /// [`padded`](Self::padded).
    pub fn blocks(&self, size: usize) -> impl Iterator<Item = Range<usize>> + use<'a> {
        debug_assert!(CHUNK.is_multiple_of(size), "blocks divide a chunk");
        let padded = self.padded;
        let blocks = (0..self.len).step_by(size).map(move |start| start..start + size);
        blocks.filter(move |block| !is_zero(&padded[block.clone()]))
    }
}

/// What a sink makes of a chunk on the way through its steps; the buffers are reused.
#[derive(Default)]
pub struct Stored {
    /// The bytes of packed pieces, one behind the other.
    pub packed: Vec<u8>,
    /// The pieces in the order of the image.
    pub pieces: Vec<Piece>,
}

/// A part of a chunk that is stored on its own.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What it is of the chunk.
    pub plain: Range<usize>,
    /// Its bytes in [`Stored::packed`], or `None` if it is stored as it is in the chunk.
    pub packed: Option<Range<usize>>,
    /// Byte offset in the disk file.
    pub at: u64,
}

impl Piece {
    /// A piece that is stored as it is.
    pub fn plain(plain: Range<usize>) -> Self {
        Self { plain, packed: None, at: 0 }
    }

    fn range(&self) -> &Range<usize> {
        self.packed.as_ref().unwrap_or(&self.plain)
    }

    /// Bytes in the disk file.
    pub fn len(&self) -> usize {
        self.range().len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `next` continues it both in memory and in the disk file.
    fn joins(&self, next: &Self) -> bool {
        self.packed.is_some() == next.packed.is_some()
            && self.range().end == next.range().start
            && self.at + self.len() as u64 == next.at
    }
}

impl Stored {
    pub(crate) fn clear(&mut self) {
        self.packed.clear();
        self.pieces.clear();
    }

    /// The pieces as the fewest writes: bytes and their offset in the disk file.
    pub fn writes<'a>(&'a self, chunk: &Chunk<'a>) -> impl Iterator<Item = (u64, &'a [u8])> {
        let padded = chunk.padded();
        self.pieces.chunk_by(Piece::joins).map(move |run| {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            let range = first.range().start..last.range().end;
            let bytes = if first.packed.is_some() { &self.packed[range] } else { &padded[range] };
            (first.at, bytes)
        })
    }
}

/// Whether all bytes are zero; looks no further than the first kilobyte that is not.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(1024).all(|part| part.iter().fold(0, |seen, byte| seen | byte) == 0)
}
