//! Blocks → a VHDX file.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::format::{
    BAT, BLOCK_ZERO, FILE_PARAMETERS, FILE_SIGNATURE, FULLY_PRESENT, HEADERS, Header, LOGICAL_SECTOR_SIZE,
    METADATA, MIB, MetadataEntry, MetadataTable, PHYSICAL_SECTOR_SIZE, REGION_TABLES, RegionEntry,
    RegionTable, SIZE_MAX, VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE, checksum, chunk_ratio,
};
use crate::container::blocks::{self, BLOCK};
use crate::container::place::Place;
use crate::error::{Error, Kind, Result, show_size};
use crate::seed::Uuid;

const LOGICAL_SECTOR: u64 = 512;
const PHYSICAL_SECTOR: u32 = 4096;
const LOG_OFFSET: u64 = MIB;
const LOG_LENGTH: u64 = MIB;
const METADATA_OFFSET: u64 = 2 * MIB;
const METADATA_LENGTH: u64 = MIB;
const BAT_OFFSET: u64 = 3 * MIB;

/// Everything in front of the blocks.
pub(in crate::container) struct Tables {
    size: u64,
    id: Uuid,
}

/// Tables for a disk of `size` bytes, rounded up to whole sectors.
///
/// # Errors
/// [`Kind::Unsupported`] if no VHDX can be as large.
pub(in crate::container) fn tables(size: u64, id: Uuid) -> Result<Tables> {
    if size > SIZE_MAX {
        let message = format!("{} is more than the 64 TiB of the largest disk", show_size(size));
        return Err(Error::new(Kind::Unsupported, "vhdx", message));
    }
    Ok(Tables { size: size.next_multiple_of(LOGICAL_SECTOR), id })
}

/// The place of a block's entry in the BAT.
fn bat_index(block: u64) -> u64 {
    block + block / chunk_ratio(BLOCK, LOGICAL_SECTOR)
}

impl Tables {
    fn bat_entries(&self) -> u64 {
        self.size.div_ceil(BLOCK).checked_sub(1).map_or(0, |last| bat_index(last) + 1)
    }

    fn bat_length(&self) -> u64 {
        (8 * self.bat_entries()).next_multiple_of(MIB).max(MIB)
    }

    fn header(&self, sequence_number: u64) -> Header {
        let mut header = Header {
            signature: Header::SIGNATURE,
            checksum: U32::ZERO,
            sequence_number: sequence_number.into(),
            file_write_guid: self.id.to_guid_bytes(),
            data_write_guid: self.id.to_guid_bytes(),
            log_guid: [0; 16],
            log_version: U16::ZERO,
            version: Header::VERSION.into(),
            log_length: U32::new(LOG_LENGTH as u32),
            log_offset: LOG_OFFSET.into(),
            reserved: [0; 4016],
        };
        header.checksum = checksum(header.as_bytes()).into();
        header
    }

    fn region_table(&self) -> RegionTable {
        let entry = |guid: Uuid, offset: u64, length: u64| RegionEntry {
            guid: guid.to_guid_bytes(),
            file_offset: offset.into(),
            length: U32::new(length as u32),
            required: 1.into(),
        };
        let mut table = RegionTable::new_zeroed();
        table.signature = RegionTable::SIGNATURE;
        table.entry_count = 2.into();
        table.entries[0] = entry(BAT, BAT_OFFSET, self.bat_length());
        table.entries[1] = entry(METADATA, METADATA_OFFSET, METADATA_LENGTH);
        table.checksum = checksum(table.as_bytes()).into();
        table
    }

    /// The metadata table and behind it the items.
    fn metadata(&self) -> Vec<u8> {
        // Block size, and flags: blocks may be taken back, no parent.
        let file_parameters = [U32::new(BLOCK as u32), U32::ZERO];
        let disk = MetadataEntry::IS_VIRTUAL_DISK;
        let items: [(Uuid, u32, &[u8]); 5] = [
            (FILE_PARAMETERS, 0, file_parameters.as_bytes()),
            (VIRTUAL_DISK_SIZE, disk, &self.size.to_le_bytes()),
            (VIRTUAL_DISK_ID, disk, &self.id.to_guid_bytes()),
            (LOGICAL_SECTOR_SIZE, disk, &(LOGICAL_SECTOR as u32).to_le_bytes()),
            (PHYSICAL_SECTOR_SIZE, disk, &PHYSICAL_SECTOR.to_le_bytes()),
        ];
        let mut table = MetadataTable::new_zeroed();
        table.signature = MetadataTable::SIGNATURE;
        table.entry_count = U16::new(items.len() as u16);
        let mut values = Vec::new();
        for (entry, (item_id, flags, value)) in table.entries.iter_mut().zip(items) {
            *entry = MetadataEntry {
                item_id: item_id.to_guid_bytes(),
                offset: U32::new(MetadataTable::SIZE + values.len() as u32),
                length: U32::new(value.len() as u32),
                flags: U32::new(flags | MetadataEntry::IS_REQUIRED),
                reserved2: U32::ZERO,
            };
            values.extend_from_slice(value);
        }
        [table.as_bytes(), &values].concat()
    }
}

/// Entries of the BAT that are written at once; it may be larger than memory should be.
const BATCH: u64 = MIB / 8;

impl Tables {
    /// Write the BAT: `blocks` are in the file, one behind the other, and all others are zero.
    fn write_bat(&self, blocks: &[u64], place: &dyn Place) -> Result<()> {
        let ratio = chunk_ratio(BLOCK, LOGICAL_SECTOR);
        let mut stored = (0..).zip(blocks).peekable();
        for first in (0..self.bat_entries()).step_by(BATCH as usize) {
            let indices = first..(first + BATCH).min(self.bat_entries());
            // Entries of sector bitmaps stay 0: there is no parent that could have a say.
            let is_block = |index: &u64| index % (ratio + 1) != ratio;
            let zero = |index: u64| if is_block(&index) { BLOCK_ZERO } else { 0 };
            let mut entries: Vec<U64> = indices.clone().map(|index| zero(index).into()).collect();
            while let Some((position, &block)) = stored.next_if(|&(_, &block)| bat_index(block) < indices.end)
            {
                let offset: u64 = BAT_OFFSET + self.bat_length() + position * BLOCK;
                entries[(bat_index(block) - first) as usize] = (offset | FULLY_PRESENT).into();
            }
            place.write_at(entries.as_bytes(), BAT_OFFSET + 8 * first)?;
        }
        Ok(())
    }
}

impl blocks::Tables for Tables {
    fn first_block(&self) -> u64 {
        BAT_OFFSET + self.bat_length()
    }

    fn write(&self, blocks: &[u64], place: &dyn Place) -> Result<()> {
        self.write_bat(blocks, place)?;
        place.write_at(&self.metadata(), METADATA_OFFSET)?;
        for offset in REGION_TABLES {
            place.write_at(self.region_table().as_bytes(), offset)?;
        }
        // The one with the higher number counts.
        for (sequence_number, offset) in (1..).zip(HEADERS) {
            place.write_at(self.header(sequence_number).as_bytes(), offset)?;
        }
        place.write_at(&FILE_SIGNATURE, 0)
    }
}
