//! Chunks → an ISO: the disk passes into its place, all else is planned.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::index::Index;
use crate::container::place::{Place, Window};
use crate::container::raw;
use crate::container::update::BLOCK;
use crate::engine::{self, Chunk, Piece, RawImage, Run, Sink, Stored};
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;
use crate::fs::Contents;

/// A disc, planned around a disk that has its place in it and is not there yet.
#[derive(Debug)]
pub struct Disc {
    volume: Contents,
    /// Where the disk lies in it, in bytes.
    disk: Option<Range<u64>>,
    /// Where the index of that lies, behind it.
    index: Option<Range<u64>>,
}

impl Disc {
    /// The volume, and where in it the disk and its index lie; their bytes are not among its extents.
    ///
    /// # Errors
    /// If they are not the last files: it is written from front to end.
    pub(crate) fn new(volume: Contents, disk: Option<Range<u64>>, index: Option<Range<u64>>) -> Result<Self> {
        let open = disk.iter().chain(&index);
        let (starts, ends) = (open.clone().map(|range| range.start), open.map(|range| range.end));
        let hole = starts.min().unwrap_or(volume.size)..ends.max().unwrap_or(volume.size);
        let is_behind = disk.iter().zip(&index).all(|(disk, index)| disk.end <= index.start);
        let is_apart =
            volume.extents.iter().all(|extent| extent.end() <= hole.start || extent.offset >= hole.end);
        match is_behind && is_apart {
            true => Ok(Self { volume, disk, index }),
            false => Err(Error::new(Kind::Input, "iso", "has files behind its disk, which comes last")),
        }
    }

    /// Bytes of all of it.
    pub fn size(&self) -> u64 {
        self.volume.size
    }

    /// Where the bytes that pass begin and end.
    fn hole(&self) -> Range<u64> {
        let last = self.index.as_ref().or(self.disk.as_ref());
        let first = self.disk.as_ref().or(self.index.as_ref());
        first.map_or(self.size(), |range| range.start)..last.map_or(self.size(), |range| range.end)
    }

    fn extents(&self, within: Range<u64>) -> Vec<Extent> {
        let inside = |extent: &Extent| extent.offset >= within.start && extent.end() <= within.end;
        let mut extents: Vec<_> = self.volume.extents.iter().filter(inside).collect();
        extents.iter_mut().for_each(|extent| extent.offset -= within.start);
        extents
    }
}

/// Writes an ISO.
pub(in crate::container) struct Writer<'a> {
    disc: &'a Disc,
    index: Mutex<Option<Index>>,
    has_index: bool,
    run: &'a Run<'a>,
    place: &'a dyn Place,
}

impl<'a> Writer<'a> {
    /// One whose disk has `size` bytes. All that is before the disk is written at once.
    ///
    /// # Errors
    /// If the disk does not fit its place, and those of what is written.
    pub(in crate::container) fn new(
        size: u64,
        disc: &'a Disc,
        run: &'a Run<'a>,
        place: &'a dyn Place,
    ) -> Result<Self> {
        let has_room = disc.disk.as_ref().is_none_or(|range| range.end - range.start == size);
        let is_indexed = disc.index.as_ref().is_none_or(|range| range.end - range.start == Index::len(size));
        if !has_room || !is_indexed {
            return Err(Error::new(Kind::Input, "iso", "was planned for a disk of another size"));
        }
        let index = disc.index.as_ref().map(|_| Index::new(size, run)).transpose()?;
        let has_index = index.is_some();
        let writer = Self { disc, index: Mutex::new(index), has_index, run, place };
        writer.copy(0..disc.hole().start)?;
        Ok(writer)
    }

    /// Write what is planned of a range.
    fn copy(&self, range: Range<u64>) -> Result<()> {
        let extents = self.disc.extents(range.clone());
        let window = Window::new(self.place, range.start);
        let image = RawImage { size: range.end - range.start, extents: &extents };
        let writer = raw::Writer::new(image.size, &window);
        // How far the disk is, is told of the disk alone.
        engine::run(image, &[&writer], &Run { progress: &|_| {}, ..*self.run })
    }

    fn note(&self, chunk: &Chunk<'_>, digests: &[u8]) -> Result<()> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = &mut *index else { return Ok(()) };
        index.zeroes(chunk.offset)?;
        index.add(digests.as_chunks().0)
    }

    fn write_index(&self) -> Result<()> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((index, range)) = index.zip(self.disc.index.as_ref()) else { return Ok(()) };
        let mut at = range.start;
        index.finish(|part| {
            self.place.write_at(part, at)?;
            at += part.len() as u64;
            Ok(())
        })
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let Some(disk) = &self.disc.disk else { return Ok(()) };
        let len = chunk.bytes().len();
        let pieces = chunk.blocks(BLOCK).map(|block| Piece {
            at: disk.start + chunk.offset + block.start as u64,
            ..Piece::plain(block.start..block.end.min(len))
        });
        stored.pieces.extend(pieces);
        if self.has_index {
            // Of no piece: they are not written here, and wait for the index.
            stored.packed.extend(chunk.bytes().chunks(BLOCK).flat_map(Sha256::digest));
        }
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.note(chunk, &stored.packed)?;
        stored.writes(chunk).try_for_each(|(at, bytes)| self.place.write_at(bytes, at))
    }

    fn finish(&self) -> Result<()> {
        self.write_index()?;
        self.copy(self.disc.hole().end..self.disc.size())?;
        self.place.set_len(self.disc.size())
    }
}
