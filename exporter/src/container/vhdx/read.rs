//! A VHDX file → the bytes of the disk, for `inspect`. The file is not trusted.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::format::{
    BAT, FILE_PARAMETERS, FILE_SIGNATURE, FULLY_PRESENT, HAS_PARENT, HEADERS, Header, LOGICAL_SECTOR_SIZE,
    METADATA, MetadataTable, OFFSET, PARTIALLY_PRESENT, REGION_TABLES, RegionEntry, RegionTable, STATE,
    VIRTUAL_DISK_SIZE, checksum, chunk_ratio,
};
use crate::container::blocks::{self, Reader};
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use crate::seed::Uuid;

/// Sizes of a block the format allows, in bytes: powers of 2 between these.
const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 1 << 20..=256 << 20;

/// Whether a file begins as a VHDX does.
pub(in crate::container) fn is_vhdx<F: ReadAt + ?Sized>(file: &F) -> bool {
    let mut signature = [0; 8];
    file.read_at(0, &mut signature).is_ok_and(|()| signature == FILE_SIGNATURE)
}

/// The disk in a VHDX file.
///
/// # Errors
/// [`Kind::Corrupt`], and [`Kind::Unsupported`] for what is not read here.
pub(in crate::container) fn open<F: ReadAt>(file: F) -> Result<Reader<F, Map>> {
    let header = current_header(&file)?;
    if header.version.get() != Header::VERSION {
        return Err(unsupported("versions other than 1"));
    }
    if header.log_guid != [0; 16] {
        return Err(unsupported("images with a log that was not replayed"));
    }
    let regions = region_table(&file)?;
    let metadata = Metadata::read(&file, region(&regions, METADATA)?.file_offset.get())?;
    let [block_size, flags] = metadata.item::<[U32; 2], F>(&file, FILE_PARAMETERS)?;
    let size = metadata.item::<U64, F>(&file, VIRTUAL_DISK_SIZE)?.get();
    let sector_size = metadata.item::<U32, F>(&file, LOGICAL_SECTOR_SIZE)?.get();
    if flags.get() & HAS_PARENT != 0 {
        return Err(unsupported("images with a parent"));
    }
    let block_size = block_size.get();
    if !BLOCK_SIZES.contains(&block_size)
        || !block_size.is_power_of_two()
        || !matches!(sector_size, 512 | 4096)
    {
        return Err(corrupt("the size of a block or sector is impossible"));
    }
    let (block_size, sector_size) = (block_size.into(), sector_size.into());
    let chunk_ratio = chunk_ratio(block_size, sector_size);
    let bat = region(&regions, BAT)?;
    let map = Map { size, block_size, chunk_ratio, bat };
    // A disk without blocks needs no entry.
    let last = size.div_ceil(block_size).saturating_sub(1);
    if size > 0 && map.bat_offset(last) + 8 > u64::from(bat.length.get()) {
        return Err(corrupt("the block allocation table does not fit the size of the disk"));
    }
    Ok(Reader::new(file, map))
}

/// What is known of a disk that can be read.
pub(in crate::container) struct Map {
    size: u64,
    block_size: u64,
    chunk_ratio: u64,
    bat: RegionEntry,
}

impl Map {
    /// Byte offset in the BAT of the entry of a block.
    fn bat_offset(&self, block: u64) -> u64 {
        // Blocks have 1 MiB at least: there is room for the factor.
        8 * (block + block / self.chunk_ratio)
    }
}

impl blocks::Map for Map {
    fn size(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u64 {
        self.block_size
    }

    fn locate<F: ReadAt>(&self, file: &F, block: u64) -> Result<Option<u64>> {
        let mut entry = [0; 8];
        file.read_at(self.bat.file_offset.get().saturating_add(self.bat_offset(block)), &mut entry)?;
        let entry = u64::from_le_bytes(entry);
        match entry & STATE {
            FULLY_PRESENT => Ok(Some(entry & OFFSET)),
            PARTIALLY_PRESENT => Err(corrupt("a block is partly that of a parent which is not there")),
            _ => Ok(None),
        }
    }
}

/// The header with the higher sequence number of those whose checksum is right.
fn current_header<F: ReadAt>(file: &F) -> Result<Header> {
    let headers = HEADERS.iter().filter_map(|&offset| {
        let mut header = Header::new_zeroed();
        file.read_at(offset, header.as_mut_bytes()).ok()?;
        let is_whole =
            header.signature == Header::SIGNATURE && header.checksum.get() == checksum(header.as_bytes());
        is_whole.then_some(header)
    });
    headers
        .max_by_key(|header| header.sequence_number.get())
        .ok_or_else(|| corrupt("the checksums of both headers are wrong"))
}

fn region_table<F: ReadAt>(file: &F) -> Result<Box<RegionTable>> {
    let mut tables = REGION_TABLES.iter().filter_map(|&offset| {
        let mut table = Box::new(RegionTable::new_zeroed());
        file.read_at(offset, table.as_mut_bytes()).ok()?;
        let is_whole =
            table.signature == RegionTable::SIGNATURE && table.checksum.get() == checksum(table.as_bytes());
        is_whole.then_some(table)
    });
    tables.next().ok_or_else(|| corrupt("the checksums of both region tables are wrong"))
}

fn region(table: &RegionTable, guid: Uuid) -> Result<RegionEntry> {
    let entries = table.entries.iter().take(table.entry_count.get() as usize);
    let found = entries.copied().find(|entry| entry.guid == guid.to_guid_bytes());
    found.ok_or_else(|| corrupt(format!("the region {guid} is missing")))
}

/// The metadata region: its place in the file, and its table.
struct Metadata {
    start: u64,
    table: Box<MetadataTable>,
}

impl Metadata {
    fn read<F: ReadAt>(file: &F, start: u64) -> Result<Self> {
        let mut table = Box::new(MetadataTable::new_zeroed());
        file.read_at(start, table.as_mut_bytes())?;
        if table.signature != MetadataTable::SIGNATURE {
            return Err(corrupt("the metadata table is not one"));
        }
        Ok(Self { start, table })
    }

    fn item<T: FromBytes + IntoBytes + Immutable, F: ReadAt>(&self, file: &F, id: Uuid) -> Result<T> {
        let mut entries = self.table.entries.iter().take(self.table.entry_count.get().into());
        let entry = entries.find(|entry| entry.item_id == id.to_guid_bytes());
        let entry = entry.ok_or_else(|| corrupt(format!("the metadata item {id} is missing")))?;
        let mut value = T::new_zeroed();
        file.read_at(self.start.saturating_add(entry.offset.get().into()), value.as_mut_bytes())?;
        Ok(value)
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "vhdx", message)
}

fn unsupported(what: &str) -> Error {
    Error::new(Kind::Unsupported, "vhdx", format!("{what} can't be read"))
}
