//! Fills a slot with a root, block by block in their order, by a plan. A block is written only when it is what the index
//! says.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};
use zstd::bulk::Decompressor;

use super::index::{BLOCK, FRAME_MAX, Index};
use super::plan::{self, Origin};
use super::progress::Progress;
use super::source::Source;
use super::sums::sha;

/// What came from where, in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    /// Were there already.
    pub(super) in_place: usize,
    /// Zeroes, and those of both slots.
    pub(super) copied: usize,
    pub(super) fetched: usize,
}

/// The slot that is filled.
pub(super) struct Filling<'a> {
    pub(super) slot: &'a File,
    pub(super) running: &'a File,
    pub(super) index: &'a Index,
    /// The file with the frames.
    pub(super) name: &'a str,
}

impl Filling<'_> {
    /// Do as planned, and have it all on the disk.
    ///
    /// # Errors
    /// If a block cannot be had or written, or is another one than was listed.
    pub(super) fn fill(&self, origins: &[Origin], source: &mut dyn Source) -> Result<Filled, String> {
        let mut progress = Progress::new("writing", self.index.place(self.index.len() - 1).end);
        let mut buffers = Buffers::new()?;
        let ranges = plan::ranges(origins, |blocks| self.index.frames(blocks), source.has_ranges());
        let mut next = 0;
        for range in ranges {
            self.put_local(next..range.start, origins, &mut buffers, &mut progress)?;
            let mut frames = source.open(self.name, self.index.frames(&range))?;
            for block in range.clone() {
                self.read_frame(&mut *frames, block, &mut buffers)?;
                match origins[block] {
                    Origin::Fetched => self.put_fetched(block, &mut buffers)?,
                    origin => self.put(block, origin, &mut buffers)?,
                }
                progress.add(self.len(block));
            }
            next = range.end;
        }
        self.put_local(next..origins.len(), origins, &mut buffers, &mut progress)?;
        self.slot.sync_all().map_err(|error| format!("the slot: {error}"))?;
        let of = |is: fn(&Origin) -> bool| origins.iter().filter(|origin| is(origin)).count();
        let in_place = of(|origin| *origin == Origin::InPlace);
        let fetched = of(|origin| *origin == Origin::Fetched);
        Ok(Filled { in_place, copied: origins.len() - in_place - fetched, fetched })
    }

    fn put_local(
        &self,
        blocks: Range<usize>,
        origins: &[Origin],
        buffers: &mut Buffers,
        progress: &mut Progress,
    ) -> Result<(), String> {
        blocks.clone().try_for_each(|block| {
            self.put(block, origins[block], buffers)?;
            progress.add(self.len(block));
            Ok(())
        })
    }

    /// Write a block that this machine has.
    fn put(&self, block: usize, origin: Origin, buffers: &mut Buffers) -> Result<(), String> {
        let plain = &mut buffers.plain[..self.len(block)];
        let (from, place) = match origin {
            Origin::InPlace | Origin::Fetched => return Ok(()),
            Origin::Zeroes => {
                plain.fill(0);
                return self.write(block, plain);
            }
            Origin::Slot(other) => (self.slot, self.index.place(other).start),
            Origin::Running(other) => (self.running, other * BLOCK as u64),
        };
        from.read_exact_at(plain, place).map_err(|error| format!("block {block}: {error}"))?;
        match sha(plain) == *self.index.sha(block) {
            true => self.write(block, plain),
            false => Err(format!(
                "block {block}: changed on this disk while it was copied\nhint: say it again, it goes on where it was; the \
                 disk may be failing"
            )),
        }
    }

    fn read_frame(&self, frames: &mut dyn Read, block: usize, buffers: &mut Buffers) -> Result<(), String> {
        let place = self.index.frames(&(block..block + 1));
        // Checked when the index was read.
        buffers.frame.resize((place.end - place.start) as usize, 0);
        frames
            .read_exact(&mut buffers.frame)
            .map_err(|error| format!("{}: block {block}: {error}", self.name))
    }

    /// Write the block whose frame was read.
    fn put_fetched(&self, block: usize, buffers: &mut Buffers) -> Result<(), String> {
        let len = self.len(block);
        let unpacked = buffers.zstd.decompress_to_buffer(&buffers.frame, &mut buffers.plain[..]);
        let is_it = unpacked.is_ok_and(|unpacked| unpacked == len)
            && sha(&buffers.plain[..len]) == *self.index.sha(block);
        match is_it {
            true => self.write(block, &buffers.plain[..len]),
            false => Err(format!(
                "{}: block {block} is damaged: it was not written\nhint: say it again, it goes on where it was; if it stays so, \
                 upload the folder anew",
                self.name
            )),
        }
    }

    fn write(&self, block: usize, bytes: &[u8]) -> Result<(), String> {
        let place = self.index.place(block).start;
        self.slot.write_all_at(bytes, place).map_err(|error| format!("block {block} of the slot: {error}"))
    }

    fn len(&self, block: usize) -> usize {
        let place = self.index.place(block);
        (place.end - place.start) as usize
    }

    /// Read all of it from the disk, and not from memory.
    ///
    /// # Errors
    /// If a block is not what it should be.
    pub(super) fn verify(&self) -> Result<(), String> {
        let mut progress = Progress::new("checking", self.index.place(self.index.len() - 1).end);
        // A file system without a cache of pages refuses; what is read then is from there anyway.
        let _ = fadvise(self.slot, 0, None, Advice::DontNeed);
        let mut buffer = vec![0; BLOCK];
        for block in 0..self.index.len() {
            let bytes = &mut buffer[..self.len(block)];
            let read = self.slot.read_exact_at(bytes, self.index.place(block).start);
            read.map_err(|error| format!("block {block} of the slot: {error}"))?;
            if sha(bytes) != *self.index.sha(block) {
                return Err(format!(
                    "block {block} of the slot is not what was written: it is not started\nhint: the disk may be failing"
                ));
            }
            progress.add(bytes.len());
        }
        Ok(())
    }
}

/// What blocks pass through.
struct Buffers {
    zstd: Decompressor<'static>,
    frame: Vec<u8>,
    plain: Vec<u8>,
}

impl Buffers {
    fn new() -> Result<Self, String> {
        let zstd = Decompressor::new().map_err(|error| format!("zstd: {error}"))?;
        Ok(Self { zstd, frame: Vec::with_capacity(FRAME_MAX), plain: vec![0; BLOCK] })
    }
}
