//! Sparse files: a map of the pieces that are stored, in one of the four ways GNU tar has written it.

use super::super::fault::Fault;
use super::format::{BLOCK, GnuSparse, unsigned};
use super::pax::decimal;
use crate::tree::Piece;

/// The most pieces a file may have: more would be an attack on memory.
const PIECES_MAX: u64 = 1 << 20;

/// Collects the pieces of a file and checks them.
#[derive(Debug, Default)]
pub(super) struct Map {
    pieces: Vec<Piece>,
    /// One past the last byte of the file in a piece so far.
    end: u64,
    /// Bytes stored so far.
    stored: u64,
}

impl Map {
    /// The next piece.
    pub(super) fn push(&mut self, start: u64, len: u64) -> Result<(), Fault> {
        let invalid = || Fault::corrupt("the map of a sparse file is in disorder");
        if start < self.end || self.pieces.len() as u64 >= PIECES_MAX {
            return Err(invalid());
        }
        self.end = start.checked_add(len).ok_or_else(invalid)?;
        if len > 0 {
            self.pieces.push(Piece { start, len, offset: self.stored });
        }
        self.stored += len;
        Ok(())
    }

    /// Pieces of an old header; it ends early with one that is empty.
    pub(super) fn push_gnu(&mut self, pieces: &[GnuSparse]) -> Result<(), Fault> {
        for piece in pieces.iter().take_while(|piece| piece.numbytes[0] != 0) {
            match (unsigned(&piece.offset), unsigned(&piece.numbytes)) {
                (Some(start), Some(len)) => self.push(start, len)?,
                _ => return Err(Fault::corrupt("the map of a sparse file has no numbers")),
            }
        }
        Ok(())
    }

    /// The pieces of a file of `len` bytes of which `stored` are stored, from `offset` of the archive on.
    pub(super) fn finish(mut self, len: u64, stored: u64, offset: u64) -> Result<Box<[Piece]>, Fault> {
        if self.end > len || self.stored != stored {
            return Err(Fault::corrupt("the map of a sparse file does not fit its size"));
        }
        self.pieces.iter_mut().for_each(|piece| piece.offset += offset);
        Ok(self.pieces.into())
    }
}

/// The map of version 1.0, which comes in front of the data: lines of one number, the number of pieces
/// first, padded to a block. `next_block` gives the blocks.
pub(super) fn read_map(mut next_block: impl FnMut() -> Result<[u8; BLOCK], Fault>) -> Result<Map, Fault> {
    let invalid = || Fault::corrupt("the map of a sparse file is no list of numbers");
    let (mut block, mut at) = (next_block()?, 0);
    let mut next = || {
        let mut digits = Vec::new();
        loop {
            if at == BLOCK {
                (block, at) = (next_block()?, 0);
            }
            at += 1;
            match block[at - 1] {
                b'\n' => return decimal(&digits).ok_or_else(invalid),
                digit if digits.len() < 20 => digits.push(digit),
                _ => return Err(invalid()),
            }
        }
    };
    let pieces = next()?;
    let mut map = Map::default();
    for _ in 0..pieces {
        map.push(next()?, next()?)?;
    }
    Ok(map)
}
