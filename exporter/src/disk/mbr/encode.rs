//! [`Table`] → the bytes in front of the first partition.

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::U16;

use super::format::{BOOT_CODE_LEN, ENTRIES, MasterBootRecord, PartitionRecord};
use super::{Partition, SECTOR_SIZE, Table};
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;

/// Sectors and heads that BIOSes count in, whatever the disk has.
const SECTORS_PER_TRACK: u32 = 63;
const HEADS: u32 = 255;
/// What is said of a sector beyond the last that CHS can name.
const BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];

/// The table with its boot code, and behind it what the boot code starts.
pub fn encode(table: &Table, boot_code: &[u8; BOOT_CODE_LEN], behind: &[u8]) -> Result<Extent> {
    check(table, behind.len() as u64)?;
    let mut record = MasterBootRecord {
        boot_code: *boot_code,
        unique_mbr_disk_signature: table.signature.into(),
        unknown: U16::ZERO,
        partition_record: [PartitionRecord::UNUSED; ENTRIES],
        signature: MasterBootRecord::SIGNATURE.into(),
    };
    for partition in &table.partitions {
        let place = record.partition_record.get_mut((partition.number as usize).wrapping_sub(1));
        *place.ok_or_else(|| outside(partition))? = encode_partition(partition);
    }
    Ok(Extent::bytes(0, [record.as_bytes(), behind].concat()))
}

fn check(table: &Table, behind: u64) -> Result<()> {
    let mut free_from = u64::from(SECTOR_SIZE).saturating_add(behind).div_ceil(u64::from(SECTOR_SIZE));
    let mut by_place: Vec<_> = table.partitions.iter().collect();
    by_place.sort_by_key(|partition| partition.first_lba);
    for Partition { number, first_lba, sectors, .. } in by_place {
        let (first, sectors) = (u64::from(*first_lba), u64::from(*sectors));
        if first < free_from || sectors == 0 {
            let message = format!("partition {number} cannot have {sectors} sectors from {first} on");
            return Err(Error::new(Kind::Input, "partition table", message));
        }
        free_from = first + sectors;
    }
    Ok(())
}

fn outside(partition: &Partition) -> Error {
    let message = format!("partition {} is outside the {ENTRIES} of an MBR", partition.number);
    Error::new(Kind::Input, "partition table", message)
}

fn encode_partition(partition: &Partition) -> PartitionRecord {
    let Partition { kind, first_lba, sectors, is_active, .. } = *partition;
    PartitionRecord {
        boot_indicator: if is_active { PartitionRecord::ACTIVE } else { 0 },
        starting_chs: chs(first_lba),
        os_type: kind,
        ending_chs: chs(first_lba.saturating_add(sectors - 1)),
        starting_lba: first_lba.into(),
        size_in_lba: sectors.into(),
    }
}

/// Cylinder, head and sector of a sector, as UEFI 5.2.1 packs them.
fn chs(lba: u32) -> [u8; 3] {
    let (track, sector) = (lba / SECTORS_PER_TRACK, lba % SECTORS_PER_TRACK + 1);
    let (cylinder, head) = (track / HEADS, track % HEADS);
    if cylinder > 1023 {
        return BEYOND;
    }
    let [low, high, ..] = cylinder.to_le_bytes();
    [head as u8, sector as u8 | high << 6, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_addresses_are_packed_and_end_at_1024_cylinders() {
        assert_eq!(chs(0), [0, 1, 0]);
        assert_eq!(chs(2048), [32, 33, 0]);
        assert_eq!(chs(1024 * 255 * 63 - 1), [254, 0xff, 0xff]);
        assert_eq!(chs(1024 * 255 * 63), BEYOND);
        assert_eq!(chs(u32::MAX), BEYOND);
    }
}
