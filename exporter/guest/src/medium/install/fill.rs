//! Writes the blocks of a disk in their order, all but the first, each checked before it is written.
//!
//! ```text
//! block 0          kept: the table, and what starts a machine
//! block 1 …        written; zeroes are made by the disk itself, and of an earlier run's what is right stays
//! last sector      of a GPT kept: its backup
//! ```

use std::io::Read;
use std::ops::Range;

use zstd::bulk::Decompressor;

use super::closing;
use super::image::Image;
use super::index::{Block, Blocks, Index};
use super::progress::Progress;
use super::target::Target;
use crate::update::index::{BLOCK, FRAME_MAX};
use crate::update::source::Source;
use crate::update::sums::sha;

/// How much is given to the disk before it has to have it: what it cannot write is told soon.
const UNWRITTEN_MAX: u64 = 32 << 20;
/// Fewer blocks in between are read over rather than asked around.
const GAP_MAX: u64 = 16;

/// What is not written yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The first block.
    pub(super) first: Vec<u8>,
    /// The last sector, where that is the backup of a table.
    pub(super) last: Vec<u8>,
}

/// A disk that is written.
pub(super) struct Filling<'a> {
    pub(super) image: &'a Image,
    pub(super) index: &'a Index<'a>,
    pub(super) target: &'a Target,
    /// Whether an earlier run has begun.
    pub(super) goes_on: bool,
}

/// The first block of a disk, for those who have to know what it will be before anything is written.
///
/// # Errors
/// If it cannot be read, or is another one than was listed.
pub(super) fn first(image: &Image, index: &Index<'_>, source: &mut dyn Source) -> Result<Vec<u8>, String> {
    let blocks = index.page(0, Some(&mut *source))?;
    let block = blocks.blocks.first().ok_or("the disk has no blocks")?;
    let mut unpacking = Unpacking::new(image)?;
    let mut reader = source.open(&image.file, block.frame.clone())?;
    unpacking.read(&mut *reader, 0, block).map(<[u8]>::to_vec)
}

impl Filling<'_> {
    /// Write all of it, and have it on the disk.
    ///
    /// # Errors
    /// If a block cannot be had or written, or is another one than was listed.
    pub(super) fn fill(
        &self,
        first: Vec<u8>,
        source: &mut dyn Source,
        progress: &mut Progress,
    ) -> Result<Held, String> {
        let mut held = Held { first, last: Vec::new() };
        let mut unpacking = Unpacking::new(self.image)?;
        let mut frames = Frames::open(source, self.image, self.index)?;
        let mut unwritten = 0;
        for page in 0..self.index.pages() {
            let blocks = self.index.page(page, frames.source())?;
            self.clear(&blocks, progress)?;
            for run in self.runs(&blocks, frames.is_whole())? {
                let range = blocks.blocks[run.start].frame.start..blocks.blocks[run.end - 1].frame.end;
                let mut reader = frames.of(range)?;
                for at in run {
                    let (number, block) = (blocks.first + at as u64, &blocks.blocks[at]);
                    let plain = unpacking.read(&mut *reader, number, block)?;
                    if number > 0 && !block.is_zero {
                        self.put(block, plain, &mut held)?;
                        progress.add(plain.len() as u64);
                        unwritten += plain.len() as u64;
                    }
                    if unwritten >= UNWRITTEN_MAX {
                        self.target.sync(block.place.start)?;
                        unwritten = 0;
                    }
                }
            }
        }
        self.target.sync(self.image.bytes)?;
        Ok(held)
    }

    /// Make the zeroes of these blocks.
    fn clear(&self, blocks: &Blocks, progress: &mut Progress) -> Result<(), String> {
        for run in blocks.blocks.chunk_by(|one, next| one.is_zero == next.is_zero) {
            if let [first, ..] = run
                && let [.., last] = run
                && first.is_zero
            {
                // The first block has the mark.
                let place = first.place.start.max(BLOCK as u64)..last.place.end;
                self.target.clear(place.start..place.end.max(place.start))?;
                progress.add(place.end.saturating_sub(place.start));
            }
        }
        Ok(())
    }

    /// Which of these blocks are read, in runs: `is_whole` asks for all of them.
    fn runs(&self, blocks: &Blocks, is_whole: bool) -> Result<Vec<Range<usize>>, String> {
        if is_whole {
            let all = 0..blocks.blocks.len();
            return Ok(vec![all]);
        }
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (at, block) in blocks.blocks.iter().enumerate() {
            let is_first = blocks.first == 0 && at == 0;
            if is_first || block.is_zero || self.goes_on && self.has(block)? {
                continue;
            }
            match runs.last_mut() {
                Some(run) if (at - run.end) as u64 <= GAP_MAX => run.end = at + 1,
                _ => runs.push(at..at + 1),
            }
        }
        Ok(runs)
    }

    /// Whether an earlier run has written it.
    fn has(&self, block: &Block) -> Result<bool, String> {
        let mut bytes = vec![0; (block.place.end - block.place.start) as usize];
        self.target.read(&mut bytes, block.place.start)?;
        Ok(sha(&bytes) == block.sha)
    }

    fn put(&self, block: &Block, plain: &[u8], held: &mut Held) -> Result<(), String> {
        let is_last = block.place.end == self.image.bytes;
        if !is_last || !closing::has_gpt(&held.first, self.image.sector) {
            return self.target.write(plain, block.place.start);
        }
        let (rest, last) = plain.split_at(plain.len().saturating_sub(self.image.sector as usize));
        held.last = last.to_vec();
        let zeroes = vec![0; last.len()];
        self.target.write(&[rest, &zeroes].concat(), block.place.start)
    }
}

/// The file with the frames: in ranges, or all of it in order from a server that has none.
enum Frames<'a> {
    Ranges(&'a mut dyn Source, &'a str),
    Whole(Box<dyn Read + 'a>),
}

impl<'a> Frames<'a> {
    fn open(source: &'a mut dyn Source, image: &'a Image, index: &Index<'_>) -> Result<Self, String> {
        Ok(match source.has_ranges() {
            true => Self::Ranges(source, &image.file),
            false => Self::Whole(source.open(&image.file, 0..index.frames())?),
        })
    }

    /// Where pages of the index come from, too, if they can be had.
    fn source(&mut self) -> Option<&mut dyn Source> {
        match self {
            Self::Ranges(source, _) => Some(&mut **source),
            Self::Whole(_) => None,
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Those of a run: of a whole file the next.
    fn of(&mut self, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        match self {
            Self::Ranges(source, name) => source.open(name, range),
            Self::Whole(reader) => Ok(Box::new(reader.take(range.end - range.start))),
        }
    }
}

/// What blocks pass through.
struct Unpacking<'a> {
    image: &'a Image,
    zstd: Decompressor<'static>,
    frame: Vec<u8>,
    plain: Vec<u8>,
}

impl<'a> Unpacking<'a> {
    fn new(image: &'a Image) -> Result<Self, String> {
        let zstd = Decompressor::new().map_err(|error| format!("zstd: {error}"))?;
        Ok(Self { image, zstd, frame: Vec::with_capacity(FRAME_MAX), plain: vec![0; BLOCK] })
    }

    /// The bytes of a block, if they are what the index says.
    fn read(&mut self, reader: &mut dyn Read, number: u64, block: &Block) -> Result<&[u8], String> {
        let name = &self.image.file;
        self.frame.resize((block.frame.end - block.frame.start) as usize, 0);
        reader.read_exact(&mut self.frame).map_err(|error| format!("{name}: block {number}: {error}"))?;
        let len = (block.place.end - block.place.start) as usize;
        let plain: &[u8] = if self.image.is_packed {
            let unpacked = self.zstd.decompress_to_buffer(&self.frame, &mut self.plain[..]);
            &self.plain[..unpacked.unwrap_or_default()]
        } else {
            &self.frame
        };
        match plain.len() == len && sha(plain) == block.sha {
            true => Ok(plain),
            false => Err(format!(
                "{name}: block {number} is damaged: it was not written\nhint: the medium may be failing, or was not written as a \
                 whole: make it anew, and start the installer again"
            )),
        }
    }
}
