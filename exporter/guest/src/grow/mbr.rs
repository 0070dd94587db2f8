//! Master boot records (UEFI 2.10, section 5.2): the last of the four partitions grows by one number.

use std::mem::offset_of;
use std::ops::Range;

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::table::{ALIGNMENT, Growth, Refusal};

/// The record, UEFI 2.10, table 5.1.
#[derive(Clone, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Table {
    boot_code: [u8; 440],
    unique_mbr_disk_signature: U32,
    unknown: U16,
    partition_record: [Record; 4],
    signature: U16,
}

/// Bytes of it.
pub(super) const LEN: usize = size_of::<Table>();

/// A partition, UEFI 2.10, table 5.2.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    boot_indicator: u8,
    starting_chs: [u8; 3],
    /// Zero: not in use.
    os_type: u8,
    ending_chs: [u8; 3],
    starting_lba: U32,
    size_in_lba: U32,
}

const _: () = assert!(LEN == 512);
const _: () = assert!(RECORDS == 446);
const _: () = assert!(size_of::<Record>() == 16);

const RECORDS: usize = offset_of!(Table, partition_record);
const SIGNATURE: u16 = 0xaa55;
const GPT_PROTECTIVE: u8 = 0xee;
/// An address beyond the last that cylinders can name.
const BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];
/// Blocks that partitions can reach: 2 TiB of 512 bytes.
const BLOCKS: u64 = 1 << 32;

impl Table {
    /// The table in a disk's first bytes, unless they belong to a GPT or are none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let table = Self::read_from_bytes(bytes).ok()?;
        let mut used = table.partition_record.iter().filter(|record| record.os_type != 0).peekable();
        let is_one = table.signature == SIGNATURE && used.peek().is_some();
        (is_one && used.all(Record::is_possible)).then_some(table)
    }

    /// The identity of a partition, as `PARTUUID=` has it: the disk's, and its number.
    pub(super) fn id(&self, number: u32) -> String {
        format!("{:08x}-{number:02x}", self.unique_mbr_disk_signature.get())
    }

    /// The blocks of partition `number`, from 1.
    pub(super) fn blocks(&self, number: u32) -> Option<Range<u64>> {
        let record = self.partition_record.get((number as usize).wrapping_sub(1))?;
        let start = u64::from(record.starting_lba.get());
        (record.os_type != 0).then(|| start..start + u64::from(record.size_in_lba.get()))
    }

    /// Grow partition `number` (from 1) on a disk that is now `disk_size` bytes. As behind a GPT, the last MiB stays free.
    pub(super) fn grow(self, block: u64, number: u32, disk_size: u64) -> Result<Growth, Refusal> {
        let blocks = disk_size / block;
        let alignment = (ALIGNMENT / block).max(1);
        let end = (blocks.min(BLOCKS) / alignment).saturating_sub(1) * alignment;
        let index = (number as usize).wrapping_sub(1);
        let record = self.partition_record.get(index).filter(|record| record.os_type != 0);
        let record = record.ok_or(Refusal::LeftAlone("not one of the four of the partition table"))?;
        let start = u64::from(record.starting_lba.get());
        let is_last = |other: &Record| other.os_type == 0 || u64::from(other.starting_lba.get()) <= start;
        if !self.partition_record.iter().all(is_last) {
            return Err(Refusal::LeftAlone("not the last partition of the disk"));
        }
        if start + u64::from(record.size_in_lba.get()) >= end {
            let is_at_limit = blocks > BLOCKS;
            let reason = Refusal::LeftAlone("the partition table, an MBR, reaches no further");
            return Err(if is_at_limit { reason } else { Refusal::IsWhole });
        }
        // The end is at most 2³², and the start is not zero.
        let size = (end - start) as u32;
        let grown = Record { size_in_lba: size.into(), ending_chs: BEYOND, ..*record };
        let place = (RECORDS + index * size_of::<Record>()) as u64;
        let writes = vec![(place, grown.as_bytes().to_vec())];
        Ok(Growth { start: start * block, len: u64::from(size) * block, writes })
    }
}

impl Record {
    fn is_possible(&self) -> bool {
        self.os_type != GPT_PROTECTIVE
            && matches!(self.boot_indicator, 0 | 0x80)
            && self.starting_lba != 0
            && self.size_in_lba != 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    const MIB: u64 = 1 << 20;
    const TIB: u64 = 1 << 40;

    /// A disk with these partitions: first block, blocks.
    fn disk(partitions: &[(u32, u32)]) -> Vec<u8> {
        let mut disk = vec![0; 4096];
        for (at, (first, blocks)) in partitions.iter().enumerate() {
            let record = &mut disk[RECORDS + at * 16..][..16];
            record[4] = 0x83;
            record[8..12].copy_from_slice(&first.to_le_bytes());
            record[12..16].copy_from_slice(&blocks.to_le_bytes());
        }
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk
    }

    fn grow(disk: &[u8], number: u32, size: u64) -> Result<Growth, Refusal> {
        let read = |at: u64, len: usize| {
            Ok(disk.get(at as usize..).and_then(|rest| rest.get(..len)).unwrap_or_default().to_vec())
        };
        table::grow(512, number, size, read).unwrap()
    }

    #[test]
    fn an_identity_is_the_disks_with_a_number() {
        let mut disk = disk(&[(2048, 2048), (4096, 2048)]);
        disk[440..444].copy_from_slice(&[0x01, 0xef, 0xcd, 0xab]);
        let id = |disk: &[u8], number| {
            let read = |at: u64, len: usize| {
                Ok(disk.get(at as usize..at as usize + len).unwrap_or_default().to_vec())
            };
            table::partition_id(512, number, read).unwrap()
        };
        assert_eq!(id(&disk, 2).as_deref(), Some("abcdef01-02"));
        assert_eq!(id(&vec![0; 4096], 1), None);
    }

    #[test]
    fn the_last_partition_grows_once() {
        let mut disk = disk(&[(2048, 2048), (4096, 2048)]);
        let growth = grow(&disk, 2, 64 * MIB).unwrap();
        assert_eq!((growth.start, growth.len), (2 * MIB, 61 * MIB));
        let [(at, bytes)] = &growth.writes[..] else { panic!("{growth:?}") };
        let before = disk.clone();
        disk[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        let changed = disk.iter().zip(&before).enumerate().filter(|(_, (new, old))| new != old);
        assert!(changed.map(|(at, _)| at).all(|at| (446 + 16..446 + 32).contains(&at)));
        assert_eq!(grow(&disk, 2, 64 * MIB), Err(Refusal::IsWhole));
    }

    #[test]
    fn no_partition_reaches_beyond_what_32_bits_count() {
        let mut disk = disk(&[(2048, 2048)]);
        let growth = grow(&disk, 1, 16 * TIB).unwrap();
        assert_eq!(growth.start + growth.len, 2 * TIB - MIB);
        let (at, bytes) = &growth.writes[0];
        disk[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        assert!(matches!(grow(&disk, 1, 16 * TIB), Err(Refusal::LeftAlone(_))));
        assert_eq!(grow(&disk, 1, 2 * TIB), Err(Refusal::IsWhole));
    }

    #[test]
    fn what_is_not_the_last_one_is_left_alone() {
        let disk = disk(&[(4096, 2048), (2048, 2048)]);
        assert!(grow(&disk, 1, 64 * MIB).is_ok());
        let alone = |number| match grow(&disk, number, 64 * MIB) {
            Err(Refusal::LeftAlone(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(alone(2), "not the last partition of the disk");
        // A logical one lies in another table.
        assert_eq!([3, 5, 0].map(alone), ["not one of the four of the partition table"; 3]);
    }

    #[test]
    fn nothing_shrinks() {
        let disk = disk(&[(2048, 8192)]);
        for size in [4 * MIB, 6 * MIB, 512, 0] {
            assert_eq!(grow(&disk, 1, size), Err(Refusal::IsWhole), "{size}");
        }
    }

    #[test]
    fn what_is_no_table_or_a_gpt_s_is_not_taken_for_one() {
        let whole = disk(&[(2048, 2048)]);
        assert!(Table::parse(&whole[..512]).is_some());
        for (at, value) in [(510, 0), (450, 0xee), (450, 0), (446, 7), (455, 0), (459, 0)] {
            let mut other = whole.clone();
            other[at] = value;
            // Both of these are the second byte of a number.
            assert!(Table::parse(&other[..512]).is_none(), "{at}");
        }
        assert!(Table::parse(&[]).is_none());
    }
}
