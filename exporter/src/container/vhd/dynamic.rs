//! Dynamic disks: tables that say where each block of 2 MiB lies, and blocks with the sectors in use.
//!
//! ```text
//! ┌─────────────┬────────────────┬───────┬─────────────────┬─────────────────┬────────┐
//! │ footer copy │ dynamic header │ BAT   │ bitmap, block   │ bitmap, block   │ footer │
//! │ 512 bytes   │ 1 KiB          │       │ 512 bytes 2 MiB │                 │        │
//! └─────────────┴────────────────┴───────┴─────────────────┴─────────────────┴────────┘
//! ```

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::format::{DynamicHeader, Footer, SECTOR};
use crate::container::blocks::Map;
use crate::container::place::Place;
use crate::engine::{CHUNK, Chunk, Piece, Sink, Stored};
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use crate::seed::Uuid;

/// Bytes of a block, the usual size.
const BLOCK: u64 = 2 << 20;
/// Chunks of a block, which may come or not.
const HALVES: u64 = BLOCK / CHUNK as u64;
/// Bytes of a block's bitmap, one bit for each sector.
const BITMAP: u64 = BLOCK / SECTOR / 8;
/// Bytes of the bitmap for one chunk.
const HALF_BITMAP: u64 = BITMAP / HALVES;
const HEADER_AT: u64 = Footer::SIZE;
const BAT_AT: u64 = HEADER_AT + DynamicHeader::SIZE;
/// BAT entry of a block that is zero.
const UNUSED: u32 = u32::MAX;

/// Writes a dynamic disk: blocks in the order of the disk, tables last.
pub(in crate::container) struct Writer<'a> {
    size: u64,
    id: Uuid,
    /// The numbers of the disk's blocks in the order they lie in the file.
    blocks: Mutex<Vec<u64>>,
    place: &'a dyn Place,
}

impl<'a> Writer<'a> {
    /// A disk of `size` bytes.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if no VHD can be as large.
    pub(in crate::container) fn new(size: u64, id: Uuid, place: &'a dyn Place) -> Result<Self> {
        super::check_size(size)?;
        Ok(Self { size, id, blocks: Mutex::new(Vec::new()), place })
    }

    fn blocks(&self) -> MutexGuard<'_, Vec<u64>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> u64 {
        self.size.div_ceil(BLOCK)
    }

    /// Byte offset in the file of what is the `index`th block there: of its bitmap.
    fn block_at(&self, index: u64) -> u64 {
        BAT_AT + (self.entries() * 4).next_multiple_of(SECTOR) + index * (BITMAP + BLOCK)
    }

    fn header(&self) -> DynamicHeader {
        let mut header = DynamicHeader::new_zeroed();
        header.cookie = DynamicHeader::COOKIE;
        header.data_offset = U64::MAX_VALUE;
        header.table_offset = BAT_AT.into();
        header.header_version = DynamicHeader::VERSION.into();
        header.max_table_entries = U32::new(self.entries() as u32);
        header.block_size = U32::new(BLOCK as u32);
        header.checksum = header.computed_checksum().into();
        header
    }

    fn bat(&self, blocks: &[u64]) -> Vec<U32> {
        let len = (self.entries() * 4).next_multiple_of(SECTOR) / 4;
        let mut bat = vec![U32::new(UNUSED); len as usize];
        for (index, &block) in (0..).zip(blocks) {
            // The largest disk has its last block in a sector whose number still fits.
            bat[block as usize] = U32::new((self.block_at(index) / SECTOR) as u32);
        }
        bat
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, _: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        stored.pieces.push(Piece::plain(0..CHUNK));
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut blocks = self.blocks();
        if blocks.last() != Some(&(chunk.offset / BLOCK)) {
            blocks.push(chunk.offset / BLOCK);
        }
        let data_at = self.block_at(blocks.len() as u64 - 1) + BITMAP;
        let inside = chunk.offset % BLOCK;
        stored.pieces.iter_mut().for_each(|piece| piece.at = data_at + inside);
        for (at, bytes) in stored.writes(chunk) {
            self.place.write_at(bytes, at)?;
            let bitmap_at = at - inside - BITMAP;
            self.place
                .write_at(&[0xff; HALF_BITMAP as usize], bitmap_at + inside / CHUNK as u64 * HALF_BITMAP)?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        let blocks = self.blocks();
        let footer = Footer::new(self.size, self.id, Footer::DYNAMIC, HEADER_AT);
        self.place.write_at(footer.as_bytes(), 0)?;
        self.place.write_at(self.header().as_bytes(), HEADER_AT)?;
        self.place.write_at(self.bat(&blocks).as_bytes(), BAT_AT)?;
        self.place.write_at(footer.as_bytes(), self.block_at(blocks.len() as u64))
    }
}

/// The dynamic header of a file that is read. The bitmaps are not consulted, nor are they by QEMU: what
/// was never written to a block is zero in it.
pub(super) struct Dynamic {
    size: u64,
    block_size: u64,
    /// Where the header and the table lie.
    header: Range<u64>,
    table: Range<u64>,
    /// What is wrong with the footers.
    problem: Option<&'static str>,
}

impl Dynamic {
    /// Read the header that `footer` points at; `problem` is what is wrong with the footers.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]
    pub(super) fn read<F: ReadAt>(file: &F, footer: &Footer, problem: Option<&'static str>) -> Result<Self> {
        let mut header = DynamicHeader::new_zeroed();
        let header_at = footer.data_offset.get();
        file.read_at(header_at, header.as_mut_bytes())?;
        if header.cookie != DynamicHeader::COOKIE || header.checksum.get() != header.computed_checksum() {
            return Err(corrupt("the checksum of the dynamic header is wrong"));
        }
        let (size, block_size) = (footer.current_size.get(), u64::from(header.block_size.get()));
        if block_size < SECTOR || !block_size.is_power_of_two() {
            return Err(corrupt("the block size is impossible"));
        }
        let entries = size.div_ceil(block_size);
        if size > super::SIZE_MAX || entries > header.max_table_entries.get().into() {
            return Err(corrupt("the block allocation table does not fit the size of the disk"));
        }
        let table_at = header.table_offset.get();
        let table_end = table_at.checked_add(4 * entries).filter(|&end| end <= file.size());
        let table = table_at..table_end.ok_or_else(|| corrupt("the file ends before its table"))?;
        let header = header_at..header_at + DynamicHeader::SIZE;
        Ok(Self { size, block_size, header, table, problem })
    }

    /// Bytes of the bitmap of each block.
    fn bitmap(&self) -> u64 {
        (self.block_size / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
    }
}

impl Map for Dynamic {
    fn size(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u64 {
        self.block_size
    }

    fn locate<F: ReadAt>(&self, file: &F, block: u64) -> Result<Option<u64>> {
        let mut entry = [0; 4];
        file.read_at(self.table.start + 4 * block, &mut entry)?;
        Ok(match u32::from_be_bytes(entry) {
            UNUSED => None,
            sector => Some(u64::from(sector) * SECTOR + self.bitmap()),
        })
    }

    const UNIT: u64 = SECTOR;

    fn lead(&self) -> u64 {
        self.bitmap()
    }

    fn tables(&self, file_len: u64) -> Vec<(&'static str, Range<u64>)> {
        let mut tables = vec![
            ("the copy of the footer", 0..Footer::SIZE),
            ("the header", self.header.clone()),
            ("the block allocation table", self.table.clone()),
        ];
        // A file without its footer may end with a block.
        if self.problem.is_none() {
            tables.push(("the footer", file_len.saturating_sub(Footer::SIZE)..file_len));
        }
        tables
    }

    fn problem(&self, _: u64) -> Option<String> {
        self.problem.map(str::to_owned)
    }
}

fn corrupt(message: &str) -> Error {
    Error::new(Kind::Corrupt, "vhd", message)
}
