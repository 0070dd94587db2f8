//! A VHDX file → the bytes of the disk, for `inspect`. The file is not trusted.

use std::ops::Range;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::format::{
    BAT, FILE_PARAMETERS, FILE_SIGNATURE, FULLY_PRESENT, HAS_PARENT, HEADERS, Header, LOGICAL_SECTOR_SIZE,
    METADATA, MIB, MetadataEntry, MetadataTable, NOT_IN_FILE, OFFSET, PARENT_LOCATOR, PARTIALLY_PRESENT,
    PHYSICAL_SECTOR_SIZE, REGION_TABLES, RegionEntry, RegionTable, SIZE_MAX, STATE, VIRTUAL_DISK_ID,
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
    let regions = Regions::read(&file)?;
    let metadata = Metadata::read(&file, regions.get(METADATA)?)?;
    let [block_size, flags] = metadata.item::<[U32; 2], F>(&file, FILE_PARAMETERS)?;
    let size = metadata.item::<U64, F>(&file, VIRTUAL_DISK_SIZE)?.get();
    let sector_size = metadata.item::<U32, F>(&file, LOGICAL_SECTOR_SIZE)?.get();
    let physical_size = metadata.item::<U32, F>(&file, PHYSICAL_SECTOR_SIZE)?.get();
    metadata.item::<[u8; 16], F>(&file, VIRTUAL_DISK_ID)?;
    if flags.get() & HAS_PARENT != 0 {
        return Err(unsupported("images with a parent"));
    }
    let block_size = block_size.get();
    if !BLOCK_SIZES.contains(&block_size)
        || !block_size.is_power_of_two()
        || ![sector_size, physical_size].iter().all(|size| matches!(size, 512 | 4096))
    {
        return Err(corrupt("the size of a block or sector is impossible"));
    }
    let (block_size, sector_size) = (block_size.into(), sector_size.into());
    if size > SIZE_MAX || !size.is_multiple_of(sector_size) {
        return Err(corrupt("the size of the disk is impossible"));
    }
    let chunk_ratio = chunk_ratio(block_size, sector_size);
    let bat = regions.get(BAT)?;
    let map = Map { size, block_size, chunk_ratio, bat, regions };
    // A disk without blocks needs no entry.
    let last = size.div_ceil(block_size).saturating_sub(1);
    let needed = if size > 0 { map.bat_offset(last) + 8 } else { 0 };
    if needed > u64::from(bat.length.get()) || place(&bat).end > file.size() {
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
    regions: Regions,
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
            state if NOT_IN_FILE.contains(&state) => Ok(None),
            FULLY_PRESENT => Ok(Some(entry & OFFSET)),
            PARTIALLY_PRESENT => Err(corrupt("a block is partly that of a parent which is not there")),
            state => Err(corrupt(format!("block {block} is in state {state}, which does not exist"))),
        }
    }

    const UNIT: u64 = MIB;

    fn tables(&self, _: u64) -> Vec<(&'static str, Range<u64>)> {
        let regions = self.regions.entries.iter().map(|entry| ("a region", place(entry)));
        std::iter::once(("the headers", 0..MIB)).chain(regions).collect()
    }

    fn problem(&self, _: u64) -> Option<String> {
        self.regions.damage.map(str::to_owned)
    }
}

/// The header with the higher sequence number of those whose checksum is right.
fn current_header<F: ReadAt>(file: &F) -> Result<Header> {
    match HEADERS.map(|offset| whole_header(file, offset)) {
        [Some(first), Some(second)] => {
            if first.sequence_number == second.sequence_number && first.as_bytes() != second.as_bytes() {
                return Err(corrupt("two headers that differ have the same number"));
            }
            let is_first = first.sequence_number.get() >= second.sequence_number.get();
            Ok(if is_first { first } else { second })
        }
        [Some(header), None] | [None, Some(header)] => Ok(header),
        [None, None] => Err(corrupt("the checksums of both headers are wrong")),
    }
}

fn whole_header<F: ReadAt>(file: &F, offset: u64) -> Option<Header> {
    let mut header = Header::new_zeroed();
    file.read_at(offset, header.as_mut_bytes()).ok()?;
    let is_whole =
        header.signature == Header::SIGNATURE && header.checksum.get() == checksum(header.as_bytes());
    is_whole.then_some(header)
}

/// The regions of a file, the log apart.
struct Regions {
    entries: Vec<RegionEntry>,
    /// What is wrong with one of the two tables.
    damage: Option<&'static str>,
}

impl Regions {
    fn read<F: ReadAt>(file: &F) -> Result<Self> {
        let (table, damage) = match REGION_TABLES.map(|offset| region_table(file, offset)) {
            [Some(first), Some(second)] => {
                let is_same = first.as_bytes() == second.as_bytes();
                (first, (!is_same).then_some("the two region tables differ"))
            }
            [Some(first), None] => (first, Some("the second region table is damaged")),
            [None, Some(second)] => (second, Some("the first region table is damaged, the second was read")),
            [None, None] => return Err(corrupt("the checksums of both region tables are wrong")),
        };
        let entries = table.entries.get(..table.entry_count.get() as usize);
        let entries =
            entries.ok_or_else(|| corrupt("a region table has more entries than it has room for"))?;
        entries.iter().try_for_each(check_region)?;
        Ok(Self { entries: entries.to_vec(), damage })
    }

    /// The one region with that GUID.
    fn get(&self, guid: Uuid) -> Result<RegionEntry> {
        let mut found = self.entries.iter().filter(|entry| entry.guid == guid.to_guid_bytes());
        match (found.next(), found.next()) {
            (Some(entry), None) => Ok(*entry),
            (None, _) => Err(corrupt(format!("the region {guid} is missing"))),
            (Some(_), Some(_)) => Err(corrupt(format!("the region {guid} is there twice"))),
        }
    }
}

fn region_table<F: ReadAt>(file: &F, offset: u64) -> Option<Box<RegionTable>> {
    let mut table = Box::new(RegionTable::new_zeroed());
    file.read_at(offset, table.as_mut_bytes()).ok()?;
    let is_whole =
        table.signature == RegionTable::SIGNATURE && table.checksum.get() == checksum(table.as_bytes());
    is_whole.then_some(table)
}

/// Section 2.2.3.2: regions are whole mebibytes behind the headers, and those that have to be known are two.
fn check_region(entry: &RegionEntry) -> Result<()> {
    let Range { start, end } = place(entry);
    if start < MIB || !start.is_multiple_of(MIB) || !end.is_multiple_of(MIB) {
        return Err(corrupt("a region does not begin and end at whole mebibytes"));
    }
    let is_known = [BAT, METADATA].iter().any(|known| known.to_guid_bytes() == entry.guid);
    if !is_known && entry.required.get() & 1 != 0 {
        return Err(unsupported("images with a region that has to be understood"));
    }
    Ok(())
}

/// Where a region lies in the file.
fn place(entry: &RegionEntry) -> Range<u64> {
    let start = entry.file_offset.get();
    start..start.saturating_add(entry.length.get().into())
}

/// The metadata items that there are.
const ITEMS: [Uuid; 6] = [
    FILE_PARAMETERS,
    VIRTUAL_DISK_SIZE,
    VIRTUAL_DISK_ID,
    LOGICAL_SECTOR_SIZE,
    PHYSICAL_SECTOR_SIZE,
    PARENT_LOCATOR,
];

/// The metadata region: its place in the file, and its table.
struct Metadata {
    place: Range<u64>,
    entries: Vec<MetadataEntry>,
}

impl Metadata {
    fn read<F: ReadAt>(file: &F, region: RegionEntry) -> Result<Self> {
        let mut table = Box::new(MetadataTable::new_zeroed());
        file.read_at(region.file_offset.get(), table.as_mut_bytes())?;
        if table.signature != MetadataTable::SIGNATURE {
            return Err(corrupt("the metadata table is not one"));
        }
        let entries = table.entries.get(..table.entry_count.get().into());
        let entries = entries.ok_or_else(|| corrupt("the metadata table has more entries than room"))?;
        let is_needed = |entry: &&MetadataEntry| entry.flags.get() & MetadataEntry::IS_REQUIRED != 0;
        let is_known = |entry: &MetadataEntry| ITEMS.iter().any(|id| id.to_guid_bytes() == entry.item_id);
        if !entries.iter().filter(is_needed).all(is_known) {
            return Err(unsupported("images with metadata that has to be understood"));
        }
        Ok(Self { place: place(&region), entries: entries.to_vec() })
    }

    /// The one item with that GUID.
    fn item<T: FromBytes + IntoBytes + Immutable, F: ReadAt>(&self, file: &F, id: Uuid) -> Result<T> {
        let mut found = self.entries.iter().filter(|entry| entry.item_id == id.to_guid_bytes());
        let (Some(entry), None) = (found.next(), found.next()) else {
            return Err(corrupt(format!("the metadata item {id} is not there once")));
        };
        let mut value = T::new_zeroed();
        let start = self.place.start.saturating_add(entry.offset.get().into());
        if start.saturating_add(size_of::<T>() as u64) > self.place.end {
            return Err(corrupt(format!("the metadata item {id} lies outside of its region")));
        }
        file.read_at(start, value.as_mut_bytes())?;
        Ok(value)
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "vhdx", message)
}

fn unsupported(what: &str) -> Error {
    Error::new(Kind::Unsupported, "vhdx", format!("{what} cannot be read"))
}
