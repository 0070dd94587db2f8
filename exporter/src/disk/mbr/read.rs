//! The bytes of a disk → [`Table`]: there is no checksum, so what contradicts itself is none.

use zerocopy::{FromZeros, IntoBytes};

use super::format::{MasterBootRecord, PartitionRecord};
use super::{Partition, SECTOR_SIZE, Table};
use crate::read_at::ReadAt;

/// The table of `disk`; `None` if there is none that can be: a boot sector without a table looks much the same.
pub fn read<D: ReadAt + ?Sized>(disk: &D) -> Option<Table> {
    let mut record = MasterBootRecord::new_zeroed();
    disk.read_at(0, record.as_mut_bytes()).ok()?;
    if record.signature.get() != MasterBootRecord::SIGNATURE {
        return None;
    }
    let records = (1..).zip(&record.partition_record).filter(|(_, record)| record.os_type != 0);
    let partitions = records.map(|(number, record)| decode(number, record)).collect::<Option<Vec<_>>>()?;
    let table = Table { signature: record.unique_mbr_disk_signature.get(), partitions };
    is_possible(&table, disk.size() / u64::from(SECTOR_SIZE)).then_some(table)
}

fn decode(number: u32, record: &PartitionRecord) -> Option<Partition> {
    let is_active = match record.boot_indicator {
        0 => false,
        PartitionRecord::ACTIVE => true,
        _ => return None,
    };
    (record.os_type != PartitionRecord::GPT_PROTECTIVE).then(|| Partition {
        number,
        kind: record.os_type,
        first_lba: record.starting_lba.get(),
        sectors: record.size_in_lba.get(),
        is_active,
    })
}

/// Whether there are partitions, each on the disk and none over another or over the table.
fn is_possible(table: &Table, sectors: u64) -> bool {
    let mut by_place: Vec<_> = table.partitions.iter().collect();
    by_place.sort_by_key(|partition| partition.first_lba);
    let mut free_from = 1;
    for partition in &by_place {
        let first = u64::from(partition.first_lba);
        if first < free_from || partition.sectors == 0 {
            return false;
        }
        free_from = first + u64::from(partition.sectors);
    }
    !by_place.is_empty() && free_from <= sectors
}
