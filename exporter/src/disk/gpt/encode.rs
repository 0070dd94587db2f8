//! [`Table`] → the bytes at both ends of the disk.

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use super::format::{ENTRIES, ENTRIES_LEN, Entry, Header, NAME_LEN};
use super::{Partition, Table, entries_sectors, first_usable_lba, last_usable_lba};
use crate::disk::mbr::{BOOT_CODE_LEN, MasterBootRecord, PartitionRecord};
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;

/// The two extents of a table: boot code, protective MBR, header and entries at the start of the disk;
/// entries and backup header at its end.
pub fn encode(table: &Table, boot_code: &[u8; BOOT_CODE_LEN]) -> Result<[Extent; 2]> {
    encode_with(table, boot_code, PartitionRecord::UNUSED)
}

/// As [`encode()`], with the first sector as an active partition of no type: some BIOSes start no disk without one, and
/// UEFI 5.2.3 forbids that the protective one is it. Who reads tables takes a record without a type for unused.
pub fn encode_active(table: &Table, boot_code: &[u8; BOOT_CODE_LEN]) -> Result<[Extent; 2]> {
    let active = PartitionRecord {
        boot_indicator: PartitionRecord::ACTIVE,
        starting_chs: [0x00, 0x01, 0x00],
        os_type: 0,
        ending_chs: [0x00, 0x01, 0x00],
        starting_lba: U32::ZERO,
        size_in_lba: 1.into(),
    };
    encode_with(table, boot_code, active)
}

fn encode_with(
    table: &Table,
    boot_code: &[u8; BOOT_CODE_LEN],
    beside: PartitionRecord,
) -> Result<[Extent; 2]> {
    check(table)?;
    let entries = encode_entries(&table.partitions)?;
    let last = table.sectors - 1;
    let backup_entries = last - entries_sectors(table.sector_size);
    let sector = table.sector_size as usize;

    let mut front = vec![0; 2 * sector];
    front[..size_of::<MasterBootRecord>()]
        .copy_from_slice(protective_mbr(table, boot_code, beside).as_bytes());
    front[sector..][..Header::SIZE].copy_from_slice(header(table, &entries, 1, last, 2).as_bytes());
    front.extend_from_slice(&entries);

    let mut back = entries.clone();
    back.resize(entries_sectors(table.sector_size) as usize * sector + sector, 0);
    let at = back.len() - sector;
    back[at..][..Header::SIZE].copy_from_slice(header(table, &entries, last, 1, backup_entries).as_bytes());

    let back_offset = backup_entries * u64::from(table.sector_size);
    Ok([Extent::bytes(0, front), Extent::bytes(back_offset, back)])
}

fn check(table: &Table) -> Result<()> {
    let input = |message: String| Err(Error::new(Kind::Input, "partition table", message));
    if !matches!(table.sector_size, 512 | 4096) {
        return input(format!(
            "sectors of {} bytes are not possible, only of 512 or 4096",
            table.sector_size
        ));
    }
    let usable = first_usable_lba(table.sector_size)..=last_usable_lba(table.sectors, table.sector_size);
    if usable.is_empty() {
        return input(format!("{} sectors leave no room for a partition", table.sectors));
    }
    let mut free_from = *usable.start();
    let mut by_place: Vec<_> = table.partitions.iter().collect();
    by_place.sort_by_key(|partition| partition.first_lba);
    for partition in by_place {
        let (first, last) = (partition.first_lba, partition.last_lba);
        if first < free_from || last < first || last > *usable.end() {
            return input(format!("partition {} cannot lie at sectors {first} to {last}", partition.number));
        }
        free_from = last + 1;
    }
    Ok(())
}

fn protective_mbr(
    table: &Table,
    boot_code: &[u8; BOOT_CODE_LEN],
    beside: PartitionRecord,
) -> MasterBootRecord {
    let whole_disk = PartitionRecord {
        boot_indicator: 0,
        starting_chs: [0x00, 0x02, 0x00],
        os_type: PartitionRecord::GPT_PROTECTIVE,
        ending_chs: [0xff; 3],
        starting_lba: 1.into(),
        size_in_lba: u32::try_from(table.sectors - 1).unwrap_or(u32::MAX).into(),
    };
    MasterBootRecord {
        boot_code: *boot_code,
        unique_mbr_disk_signature: U32::ZERO,
        unknown: U16::ZERO,
        partition_record: [whole_disk, beside, PartitionRecord::UNUSED, PartitionRecord::UNUSED],
        signature: MasterBootRecord::SIGNATURE.into(),
    }
}

fn header(
    table: &Table,
    entries: &[u8],
    my_lba: u64,
    alternate_lba: u64,
    partition_entry_lba: u64,
) -> Header {
    Header {
        signature: Header::SIGNATURE,
        revision: Header::REVISION.into(),
        header_size: (Header::SIZE as u32).into(),
        header_crc32: U32::ZERO,
        reserved: U32::ZERO,
        my_lba: my_lba.into(),
        alternate_lba: alternate_lba.into(),
        first_usable_lba: first_usable_lba(table.sector_size).into(),
        last_usable_lba: last_usable_lba(table.sectors, table.sector_size).into(),
        disk_guid: table.disk_guid.to_guid_bytes(),
        partition_entry_lba: partition_entry_lba.into(),
        number_of_partition_entries: (ENTRIES as u32).into(),
        size_of_partition_entry: (size_of::<Entry>() as u32).into(),
        partition_entry_array_crc32: crc32fast::hash(entries).into(),
    }
    .seal()
}

fn encode_entries(partitions: &[Partition]) -> Result<Vec<u8>> {
    let mut bytes = vec![0; ENTRIES_LEN];
    for partition in partitions {
        let slot = (partition.number as usize).wrapping_sub(1);
        let Some(place) = bytes.chunks_exact_mut(size_of::<Entry>()).nth(slot) else {
            let message =
                format!("partition {} is outside the {ENTRIES} entries of a table", partition.number);
            return Err(Error::new(Kind::Input, "partition table", message));
        };
        place.copy_from_slice(entry(partition)?.as_bytes());
    }
    Ok(bytes)
}

fn entry(partition: &Partition) -> Result<Entry> {
    Ok(Entry {
        partition_type_guid: partition.kind.to_guid_bytes(),
        unique_partition_guid: partition.guid.to_guid_bytes(),
        starting_lba: partition.first_lba.into(),
        ending_lba: partition.last_lba.into(),
        attributes: U64::new(partition.attributes),
        partition_name: encode_name(&partition.name)?,
    })
}

fn encode_name(name: &str) -> Result<[U16; NAME_LEN]> {
    let mut units = [U16::ZERO; NAME_LEN];
    for (index, unit) in name.encode_utf16().enumerate() {
        let Some(place) = units.get_mut(index) else {
            let message = format!("the partition name is longer than {NAME_LEN} UTF-16 units");
            return Err(Error::new(Kind::Input, name, message));
        };
        *place = unit.into();
    }
    Ok(units)
}
