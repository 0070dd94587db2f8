//! The bytes of a disk → [`Table`], for `inspect`: every checksum is checked.

use zerocopy::FromBytes;

use super::format::{Entry, Header};
use super::{Partition, Table};
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use crate::seed::Uuid;

/// Largest array of entries that is read; the usual one has 16 KiB.
const ENTRIES_MAX: u64 = 1 << 20;

/// Which copy of the table was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The one at the start of the disk.
    Primary,
    /// The one at its end, because the primary is broken.
    Backup,
}

/// A table and the copy it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The table.
    pub table: Table,
    /// The copy.
    pub copy: Copy,
}

/// Read the table of `disk`; of sectors of 512 and 4096 bytes the size that fits is found.
///
/// # Errors
/// [`Kind::Corrupt`] if neither copy is whole; the message says what is wrong with the primary.
pub fn read<D: ReadAt + ?Sized>(disk: &D) -> Result<Found> {
    let mut first_error = None;
    for sector_size in [512, 4096] {
        let last = (disk.size() / u64::from(sector_size)).saturating_sub(1);
        for (copy, lba) in [(Copy::Primary, 1), (Copy::Backup, last)] {
            match read_copy(disk, sector_size, lba) {
                Ok(Whole { table, .. }) => return Ok(Found { table, copy }),
                Err(reason) => {
                    first_error = first_error.or((reason != Reason::NoSignature).then_some(reason))
                }
            }
        }
    }
    let reason = first_error.unwrap_or(Reason::NoSignature);
    Err(Error::new(Kind::Corrupt, "partition table", reason.message()))
}

/// A copy of the table that is whole.
pub(super) struct Whole {
    pub(super) header: Header,
    pub(super) table: Table,
}

/// Why a copy is not whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    NoSignature,
    Revision,
    HeaderSize,
    HeaderChecksum,
    WrongPlace,
    EntrySize,
    EntriesOutside,
    EntriesChecksum,
    PartitionOutside,
}

impl Reason {
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::NoSignature => "there is no GUID partition table",
            Self::Revision => "the header is of an unknown revision",
            Self::HeaderSize => "the header has an impossible size",
            Self::HeaderChecksum => "the checksum of the header does not match",
            Self::WrongPlace => "the header says it lies in another sector",
            Self::EntrySize => "the entries have an impossible size",
            Self::EntriesOutside => "the entries lie outside the disk",
            Self::EntriesChecksum => "the checksum of the entries does not match",
            Self::PartitionOutside => "a partition lies outside the disk",
        }
    }
}

/// Read the copy whose header is at `lba`.
pub(super) fn read_copy<D: ReadAt + ?Sized>(disk: &D, sector_size: u32, lba: u64) -> Result<Whole, Reason> {
    let header = read_header(disk, sector_size, lba)?;
    let entries = read_entries(disk, sector_size, &header)?;
    let sectors = disk.size() / u64::from(sector_size);
    let mut partitions = Vec::new();
    let size = header.size_of_partition_entry.get() as usize;
    for (index, bytes) in entries.chunks_exact(size).enumerate() {
        let (entry, _) = Entry::ref_from_prefix(bytes).map_err(|_| Reason::EntrySize)?;
        if entry.partition_type_guid == [0; 16] {
            continue;
        }
        let partition = decode(index as u32 + 1, entry);
        if partition.first_lba > partition.last_lba || partition.last_lba >= sectors {
            return Err(Reason::PartitionOutside);
        }
        partitions.push(partition);
    }
    let disk_guid = Uuid::from_guid_bytes(header.disk_guid);
    Ok(Whole { header, table: Table { disk_guid, sector_size, sectors, partitions } })
}

fn read_header<D: ReadAt + ?Sized>(disk: &D, sector_size: u32, lba: u64) -> Result<Header, Reason> {
    let mut bytes = [0; Header::SIZE];
    let offset = lba.checked_mul(u64::from(sector_size)).ok_or(Reason::NoSignature)?;
    disk.read_at(offset, &mut bytes).map_err(|_| Reason::NoSignature)?;
    let header = Header::read_from_bytes(&bytes).map_err(|_| Reason::HeaderSize)?;
    if header.signature != Header::SIGNATURE {
        return Err(Reason::NoSignature);
    }
    if header.revision.get() != Header::REVISION {
        return Err(Reason::Revision);
    }
    if header.header_size.get() as usize != Header::SIZE {
        return Err(Reason::HeaderSize);
    }
    if header.header_crc32.get() != header.checksum() {
        return Err(Reason::HeaderChecksum);
    }
    if header.my_lba.get() != lba {
        return Err(Reason::WrongPlace);
    }
    Ok(header)
}

fn read_entries<D: ReadAt + ?Sized>(disk: &D, sector_size: u32, header: &Header) -> Result<Vec<u8>, Reason> {
    let size = header.size_of_partition_entry.get();
    let len = u64::from(size) * u64::from(header.number_of_partition_entries.get());
    if (size as usize) < size_of::<Entry>() || len > ENTRIES_MAX {
        return Err(Reason::EntrySize);
    }
    let offset = header.partition_entry_lba.get().checked_mul(u64::from(sector_size));
    let mut entries = vec![0; len as usize];
    disk.read_at(offset.ok_or(Reason::EntriesOutside)?, &mut entries).map_err(|_| Reason::EntriesOutside)?;
    if crc32fast::hash(&entries) != header.partition_entry_array_crc32.get() {
        return Err(Reason::EntriesChecksum);
    }
    Ok(entries)
}

fn decode(number: u32, entry: &Entry) -> Partition {
    let units = entry.partition_name.iter().map(|unit| unit.get()).take_while(|&unit| unit != 0);
    let name = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Partition {
        number,
        kind: Uuid::from_guid_bytes(entry.partition_type_guid),
        guid: Uuid::from_guid_bytes(entry.unique_partition_guid),
        first_lba: entry.starting_lba.get(),
        last_lba: entry.ending_lba.get(),
        attributes: entry.attributes.get(),
        name,
    }
}
