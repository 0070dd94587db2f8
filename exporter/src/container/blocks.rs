//! What VDI and VHDX share: a table that says for each block of the disk where it lies in the file.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::check::Findings;
use super::place::Place;
use crate::engine::{CHUNK, Chunk, Piece, Sink, Stored};
use crate::error::Result;
use crate::read_at::{ReadAt, check_range};

/// Bytes of a block that is written: one chunk of the engine.
pub(super) const BLOCK: u64 = CHUNK as u64;

/// The tables of a format around its blocks.
pub(super) trait Tables: Sync {
    /// Byte offset of the first block in the file.
    fn first_block(&self) -> u64;

    /// Write the tables. `blocks` are the numbers of the disk's blocks in the order they lie in the file.
    fn write(&self, blocks: &[u64], place: &dyn Place) -> Result<()>;
}

/// Writes the blocks that are not zero one behind the other, in the order of the disk, and tables last.
pub(super) struct Writer<'a, T> {
    tables: T,
    blocks: Mutex<Vec<u64>>,
    place: &'a dyn Place,
}

impl<'a, T: Tables> Writer<'a, T> {
    pub(super) fn new(tables: T, place: &'a dyn Place) -> Self {
        Self { tables, blocks: Mutex::new(Vec::new()), place }
    }
}

impl<T: Tables> Sink for Writer<'_, T> {
    fn encode(&self, _: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        stored.pieces.push(Piece::plain(0..CHUNK));
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in &mut stored.pieces {
            piece.at = self.tables.first_block() + blocks.len() as u64 * BLOCK;
            blocks.push(chunk.offset / BLOCK);
        }
        stored.writes(chunk).try_for_each(|(at, bytes)| self.place.write_at(bytes, at))
    }

    fn finish(&self) -> Result<()> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        self.place.set_len(self.tables.first_block() + blocks.len() as u64 * BLOCK)?;
        self.tables.write(&blocks, self.place)
    }
}

/// What a format's header says of its disk.
pub(super) trait Map {
    /// Size of the disk in bytes.
    fn size(&self) -> u64;

    /// Bytes of a block; not 0.
    fn block_size(&self) -> u64;

    /// Byte offset in `file` of a block, `None` if it is zero.
    fn locate<F: ReadAt>(&self, file: &F, block: u64) -> Result<Option<u64>>;

    /// Bytes that everything in the file begins at a multiple of.
    const UNIT: u64;

    /// Bytes in front of each block that belong to it.
    fn lead(&self) -> u64 {
        0
    }

    /// What is in the file besides blocks, and where.
    fn tables(&self, file_len: u64) -> Vec<(&'static str, Range<u64>)>;

    /// What else is wrong, if `stored` blocks are in the file.
    fn problem(&self, stored: u64) -> Option<String>;
}

/// The disk in a file of blocks.
pub(super) struct Reader<F, M> {
    file: F,
    map: M,
}

impl<F: ReadAt, M: Map> Reader<F, M> {
    pub(super) fn new(file: F, map: M) -> Self {
        Self { file, map }
    }

    /// What is wrong with the tables: the whole map is read.
    pub(super) fn check(&self, format: &str) -> Vec<String> {
        let mut findings = Findings::of(&self.file, M::UNIT);
        for (table, range) in self.map.tables(self.file.size()) {
            findings.takes(table, range);
        }
        let (mut stored, size) = (0, self.map.block_size());
        for block in 0..self.map.size().div_ceil(size) {
            if findings.is_full() {
                return findings.named(format);
            }
            match self.map.locate(&self.file, block) {
                Ok(None) => {}
                Ok(Some(start)) => {
                    stored += 1;
                    let len = size.min(self.map.size() - block * size);
                    let range = start.saturating_sub(self.map.lead())..start.saturating_add(len);
                    findings.takes(format_args!("block {block}"), range);
                }
                Err(error) => findings.problem(error.message()),
            }
        }
        if let Some(problem) = self.map.problem(stored) {
            findings.problem(problem);
        }
        findings.named(format)
    }
}

impl<F: ReadAt, M: Map> ReadAt for Reader<F, M> {
    fn size(&self) -> u64 {
        self.map.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        read_blocks(self.map.block_size(), offset, out, |block, skip, part| {
            match self.map.locate(&self.file, block)? {
                // A sum that saturates is behind the end of any file.
                Some(start) => self.file.read_at(start.saturating_add(skip), part),
                None => {
                    part.fill(0);
                    Ok(())
                }
            }
        })
    }
}

/// Fill `out` with the bytes of a disk from `offset` on, block by block: `read` gets the number of a
/// block, how many of its bytes to skip, and what to fill with those behind.
pub(super) fn read_blocks(
    block_size: u64,
    offset: u64,
    out: &mut [u8],
    read: impl Fn(u64, u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let (mut at, mut rest) = (offset, out);
    while !rest.is_empty() {
        let skip = at % block_size;
        let len = (rest.len() as u64).min(block_size - skip) as usize;
        let (part, behind) = rest.split_at_mut(len);
        read(at / block_size, skip, part)?;
        at += len as u64;
        rest = behind;
    }
    Ok(())
}
