//! A regular file whose content lies in an archive.

use std::ops::Range;
use std::sync::Arc;

use super::Archive;

/// The content of a regular file in an archive. There may be millions, so it is three words in place.
#[derive(Clone, Debug)]
pub enum ArchiveFile {
    /// In one piece, without holes.
    Whole {
        /// Where it lies.
        archive: Arc<Archive>,
        /// First byte in the decoded archive.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// With holes.
    Sparse(Arc<SparseFile>),
}

/// A file of an archive that stores only what lies between the holes.
#[derive(Debug)]
pub struct SparseFile {
    archive: Arc<Archive>,
    len: u64,
    pieces: Box<[Piece]>,
}

/// Some bytes of a file, and where they are in the decoded archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First byte in the file.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// First byte in the decoded archive.
    pub offset: u64,
}

impl ArchiveFile {
    /// A file of `len` bytes; `pieces` are ascending, apart, not empty and inside the length.
    pub(crate) fn sparse(archive: Arc<Archive>, len: u64, pieces: Box<[Piece]>) -> Self {
        debug_assert!(pieces.is_sorted_by(|a, b| a.start + a.len <= b.start), "pieces are ascending");
        Self::Sparse(Arc::new(SparseFile { archive, len, pieces }))
    }

    /// Length in bytes, holes included.
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole { len, .. } => *len,
            Self::Sparse(file) => file.len,
        }
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where it lies.
    pub fn archive(&self) -> &Arc<Archive> {
        match self {
            Self::Whole { archive, .. } => archive,
            Self::Sparse(file) => &file.archive,
        }
    }

    /// The pieces that hold data, ascending and apart.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let (whole, sparse): (_, &[Piece]) = match self {
            Self::Whole { len: 0, .. } => (None, &[]),
            &Self::Whole { offset, len, .. } => (Some(Piece { start: 0, len, offset }), &[]),
            Self::Sparse(file) => (None, &file.pieces),
        };
        whole.into_iter().chain(sparse.iter().copied())
    }

    /// How many pieces are kept of a file with holes.
    pub(crate) fn sparse_pieces(&self) -> usize {
        match self {
            Self::Whole { .. } => 0,
            Self::Sparse(file) => file.pieces.len(),
        }
    }

    /// The ranges that hold data, ascending and apart.
    pub fn data_ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for Piece { start, len, .. } in self.pieces() {
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end += len,
                _ => ranges.push(start..start + len),
            }
        }
        ranges
    }

    /// Where its bytes come in the order of all archives: by archive, then by offset.
    pub(crate) fn order(&self) -> (u32, u64) {
        (self.archive().order, self.pieces().next().map_or(0, |piece| piece.offset))
    }

    /// Fill `out` with the bytes from `start` on, holes as zeros.
    pub fn read_at(&self, start: u64, out: &mut [u8]) -> crate::Result<()> {
        out.fill(0);
        let range = start..start + out.len() as u64;
        for piece in self.pieces() {
            let from = piece.start.max(range.start);
            let to = (piece.start + piece.len).min(range.end);
            if from < to {
                let out = &mut out[(from - start) as usize..(to - start) as usize];
                self.archive().read_at(piece.offset + (from - piece.start), out)?;
            }
        }
        Ok(())
    }
}
