//! What is wrong with a table that can be read, as `sgdisk --verify` judges.

use zerocopy::{FromZeros, IntoBytes};

use super::format::Header;
use super::read::{Reason, Whole, read_copy};
use super::{Copy, Found, Table};
use crate::disk::mbr::{MasterBootRecord, PartitionRecord};
use crate::limits;
use crate::read_at::ReadAt;

/// A line for each problem of the table that was [found](super::read()) on `disk`; its partitions lie on the disk.
pub fn check<D: ReadAt + ?Sized>(disk: &D, found: &Found) -> Vec<String> {
    let table = &found.table;
    let last = table.sectors.saturating_sub(1);
    let [primary, backup] = [1, last].map(|lba| read_copy(disk, table.sector_size, lba));
    let mut problems = Vec::new();
    if !has_protective_mbr(disk) {
        problems.push("the protective MBR is missing: firmware sees no partition table".to_owned());
    }
    match (&primary, &backup) {
        _ if found.copy == Copy::Backup => {
            problems.push("the primary partition table is broken, the backup was read".to_owned());
        }
        (Ok(primary), Err(reason)) => problems.push(lost_backup(disk, primary, *reason)),
        (Ok(primary), Ok(backup)) => problems.extend(difference(primary, backup)),
        (Err(_), _) => {}
    }
    if let Some(Whole { header, .. }) = [primary, backup].into_iter().flatten().next() {
        problems.extend(misplaced(table, &header));
    }
    problems
}

/// UEFI 5.2.3: firmware and Linux take a disk without it for one without a table.
fn has_protective_mbr<D: ReadAt + ?Sized>(disk: &D) -> bool {
    let mut mbr = MasterBootRecord::new_zeroed();
    disk.read_at(0, mbr.as_mut_bytes()).is_ok()
        && mbr.signature.get() == MasterBootRecord::SIGNATURE
        && mbr.partition_record.iter().any(|record| record.os_type == PartitionRecord::GPT_PROTECTIVE)
}

/// Why there is no backup at the end of the disk: it may lie where the disk once ended.
fn lost_backup<D: ReadAt + ?Sized>(disk: &D, primary: &Whole, reason: Reason) -> String {
    let lba = primary.header.alternate_lba.get();
    match read_copy(disk, primary.table.sector_size, lba) {
        Ok(_) => format!("the backup partition table lies at sector {lba}, not at the end of the disk"),
        Err(_) => format!("the backup partition table is broken: {}", reason.message()),
    }
}

/// In what two copies that are whole differ.
fn difference(primary: &Whole, backup: &Whole) -> Option<String> {
    let [one, other] = [primary, backup].map(|copy| {
        let Header { first_usable_lba, last_usable_lba, .. } = copy.header;
        (&copy.table, first_usable_lba, last_usable_lba, copy.header.number_of_partition_entries)
    });
    if one != other {
        return Some("the primary partition table and its backup differ".to_owned());
    }
    let is_linked = primary.header.alternate_lba == backup.header.my_lba
        && backup.header.alternate_lba == primary.header.my_lba;
    (!is_linked).then(|| "the primary partition table and its backup do not point at each other".to_owned())
}

/// Partitions over each other, or over the table.
fn misplaced(table: &Table, header: &Header) -> Vec<String> {
    let usable = header.first_usable_lba.get()..=header.last_usable_lba.get();
    let mut partitions: Vec<_> = table.partitions.iter().collect();
    partitions.sort_by_key(|partition| partition.first_lba);
    let mut problems = Vec::new();
    if *usable.end() >= table.sectors {
        problems.push("the partition table is made for a larger disk".to_owned());
    }
    let mut reaching = None;
    for partition in partitions {
        let (number, first, last) = (partition.number, partition.first_lba, partition.last_lba);
        if !usable.contains(&first) || !usable.contains(&last) {
            problems.push(format!("partition {number} lies where the partition table is"));
        }
        match reaching {
            Some((before, end)) if first <= end => {
                problems.push(format!("partitions {before} and {number} overlap"));
            }
            _ => {}
        }
        // The one that reaches furthest may overlap several.
        if reaching.is_none_or(|(_, end)| last > end) {
            reaching = Some((number, last));
        }
    }
    problems.truncate(limits::TABLE_PROBLEMS);
    problems
}
