//! GUID partition tables (UEFI 2.10, section 5.3), as far as the last partition can grow with the disk, and a partition get
//! another label.
//!
//! ```text
//! block 0        protective MBR
//! block 1        header       ┐ each has the address of the other
//! block 2 …      entries      │
//!                partitions   │
//! last blocks    entries      │
//! last block     backup header┘
//! ```
//!
//! The first table is whole at every moment: Linux takes the backup only where its command line says `gpt`, and no firmware of
//! a BIOS repairs the first. So the backup comes first, and entries are written where no header says that they are:
//!
//! ```text
//! entries behind the entries ▶ header: they are there ▶ entries in their place ▶ header: they are here
//! ```
//!
//! A header is in one sector, which is written or is not. What was cut before the last one is done again at the next boot, or
//! by the next update.

use std::mem::{offset_of, size_of};
use std::ops::Range;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::table::{ALIGNMENT, Growth, Refusal};

/// More than any table has: the usual 128 entries are 16 KiB.
const MAX_ENTRIES_LEN: u64 = 1 << 20;

/// The GPT header (UEFI 2.10, table 5.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    /// `EFI PART`.
    signature: [u8; 8],
    revision: U32,
    header_size: U32,

    /// Of the first `header_size` bytes, with this field zero.
    header_crc32: U32,
    reserved: U32,
    my_lba: U64,

    alternate_lba: U64,
    first_usable_lba: U64,

    last_usable_lba: U64,
    disk_guid: [u8; 16],
    partition_entry_lba: U64,

    number_of_partition_entries: U32,
    size_of_partition_entry: U32,
    partition_entry_array_crc32: U32,
}

const _: () = assert!(size_of::<Header>() == 92);
const _: () = assert!(offset_of!(Header, my_lba) == 24);
const _: () = assert!(offset_of!(Header, partition_entry_lba) == 72);

/// A partition entry (UEFI 2.10, table 5.6).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Entry {
    /// Zero: not in use.
    pub(crate) partition_type_guid: [u8; 16],
    pub(crate) unique_partition_guid: [u8; 16],
    starting_lba: U64,
    /// The last block of the partition itself.
    ending_lba: U64,

    attributes: U64,
    /// UTF-16, up to a zero.
    partition_name: [U16; LABEL_MAX],
}

const _: () = assert!(size_of::<Entry>() == 128);

/// How many units of UTF-16 a label has.
pub(crate) const LABEL_MAX: usize = 36;

/// Where the first table's entries are: behind its header.
const ENTRIES: u64 = 2;

/// The protective partition of the MBR (UEFI 2.10, table 5.4): its type, and its size in blocks.
const MBR_TYPE: usize = 446 + 4;
const MBR_SIZE_IN_LBA: usize = 446 + 12;
const GPT_PROTECTIVE: u8 = 0xee;

/// The blocks a table is read from, in order: the MBR, the header, the entries.
#[derive(Debug)]
pub(crate) struct Table {
    mbr: Vec<u8>,
    header: Header,
    entries: Vec<u8>,
    block: u64,
}

impl Table {
    /// Read the table of a disk with blocks of `block` bytes; `read` yields so many bytes at an offset.
    pub(crate) fn read(
        block: u64,
        mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, String>,
    ) -> Result<Result<Self, Refusal>, String> {
        let (mbr, bytes) = (read(0, 512)?, read(block, size_of::<Header>())?);
        let header = match Header::read_from_bytes(&bytes) {
            Ok(header) if &header.signature == b"EFI PART" => header,
            _ => return Ok(Err(Refusal::LeftAlone("no GUID partition table"))),
        };
        let entries_len =
            u64::from(header.number_of_partition_entries) * u64::from(header.size_of_partition_entry);
        let entry_fits = header.size_of_partition_entry.get() as usize >= size_of::<Entry>();
        if header.header_size != 92
            || header.header_crc32 != header.crc32()
            || !entry_fits
            || entries_len > MAX_ENTRIES_LEN
        {
            return Ok(Err(Refusal::LeftAlone("the partition table's header is damaged")));
        }
        let Some(entries_at) = header.partition_entry_lba.get().checked_mul(block) else {
            return Ok(Err(Refusal::LeftAlone("the partition table's header is damaged")));
        };
        let entries = read(entries_at, entries_len as usize)?;
        if header.partition_entry_array_crc32 != crc32fast::hash(&entries) {
            return Ok(Err(Refusal::LeftAlone("the partition table's entries are damaged")));
        }
        Ok(Ok(Self { mbr, header, entries, block }))
    }

    /// The partitions, each with its number.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, Entry)> {
        let entries = self.entries.chunks_exact(self.header.size_of_partition_entry.get() as usize);
        let entries = (1..).zip(entries.filter_map(|bytes| Entry::read_from_prefix(bytes).ok()));
        entries.map(|(number, (entry, _))| (number, entry)).filter(|(_, entry)| entry.is_used())
    }

    /// Grow partition `number` (from 1) on a disk that is now `disk_size` bytes.
    pub(crate) fn grow(mut self, number: u32, disk_size: u64) -> Result<Growth, Refusal> {
        let blocks = self.entries_blocks();
        let last_block = (disk_size / self.block).checked_sub(1);
        // The backup header is the last block, its entries are before it.
        let last_usable = last_block.and_then(|last| last.checked_sub(blocks + 1));
        let (Some(last_block), Some(last_usable)) = (last_block, last_usable) else {
            return Err(Refusal::LeftAlone("the disk is too small for its partition table"));
        };
        let alignment = (ALIGNMENT / self.block).max(1);
        let end = (last_usable + 1) / alignment * alignment;
        let start = self.extend_entry(number, end)?;

        // It ended before `end`, or there, and starts before that.
        let len = end.saturating_sub(start) * self.block;
        Ok(Growth { start: start * self.block, len, writes: self.changes(last_block, last_usable) })
    }

    /// The same table on a disk of `disk_size` bytes that has none yet: what to write, its backup first.
    pub(crate) fn at_the_end_of(mut self, disk_size: u64) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
        let blocks = self.entries_blocks();
        let last_block = (disk_size / self.block).checked_sub(1);
        let last_usable = last_block.and_then(|last| last.checked_sub(blocks + 1));
        let (Some(last_block), Some(last_usable)) = (last_block, last_usable) else {
            return Err(Refusal::LeftAlone("the disk is too small for its partition table"));
        };
        if self.entries().any(|(_, entry)| entry.ending_lba.get() > last_usable) {
            return Err(Refusal::LeftAlone("a partition ends behind the end of the disk"));
        }
        let [first, backup] = self.headers(last_block, last_usable);
        let mut writes = self.writes(backup).to_vec();
        writes.extend(self.protective(last_block));
        writes.extend(self.writes(first));
        Ok(writes)
    }

    /// Give partition `number` (from 1) another label: what to write, in this order.
    pub(crate) fn relabel(mut self, number: u32, label: &str) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
        let units: Vec<_> = label.encode_utf16().map(U16::new).collect();
        let mut name = [U16::default(); LABEL_MAX];
        let place =
            name.get_mut(..units.len()).ok_or(Refusal::LeftAlone("a label has 36 characters at most"))?;
        place.copy_from_slice(&units);
        let (last_block, last_usable) = (self.header.alternate_lba.get(), self.header.last_usable_lba.get());
        if last_block.checked_sub(self.entries_blocks()).is_none_or(|entries| entries <= last_usable) {
            return Err(Refusal::LeftAlone("the partition table has no room for its backup"));
        }
        // Where it was cut, its entries lie behind their place, which is free.
        if !self.is_cut() && !self.has_room() {
            return Err(Refusal::LeftAlone(
                "a power cut could tear the partition table, which has no room behind it",
            ));
        }
        let entry_len = self.header.size_of_partition_entry.get() as usize;
        let bytes = self.entries.chunks_exact_mut(entry_len).nth((number as usize).wrapping_sub(1));
        let entry = bytes.and_then(|bytes| Entry::mut_from_prefix(bytes).ok());
        let entry = entry.map(|(entry, _)| entry).filter(|entry| entry.is_used());
        entry.ok_or(Refusal::LeftAlone("not in the partition table"))?.partition_name = name;
        Ok(self.changes(last_block, last_usable))
    }

    /// What to write of a disk with these last blocks, in this order.
    fn changes(mut self, last_block: u64, last_usable: u64) -> Vec<(u64, Vec<u8>)> {
        let (blocks, behind) = (self.entries_blocks(), ENTRIES + self.entries_blocks());
        let has_room = self.has_room();
        if self.is_cut() {
            self.header.partition_entry_lba = ENTRIES.into();
            self.header.first_usable_lba = behind.into();
        }
        let [first, backup] = self.headers(last_block, last_usable);
        let mut writes = self.writes(backup).to_vec();
        writes.extend(self.protective(last_block));
        if has_room {
            let beside = Header {
                first_usable_lba: (behind + blocks).into(),
                partition_entry_lba: behind.into(),
                ..first
            };
            writes.extend(self.writes(beside));
        }
        writes.extend(self.writes(first));
        writes
    }

    /// Its header and that of its backup, on a disk with these last blocks.
    fn headers(&mut self, last_block: u64, last_usable: u64) -> [Header; 2] {
        self.header.partition_entry_array_crc32 = crc32fast::hash(&self.entries).into();
        self.header.last_usable_lba = last_usable.into();
        let first = Header { my_lba: 1.into(), alternate_lba: last_block.into(), ..self.header };
        let entries = last_block - self.entries_blocks();
        let backup = Header {
            my_lba: last_block.into(),
            alternate_lba: 1.into(),
            partition_entry_lba: entries.into(),
            ..self.header
        };
        [first, backup]
    }

    /// The size of the protective partition, where it is another one.
    fn protective(&self, last_block: u64) -> Option<(u64, Vec<u8>)> {
        let size = u32::try_from(last_block).unwrap_or(u32::MAX).to_le_bytes();
        let is_same = self.mbr.get(MBR_SIZE_IN_LBA..MBR_SIZE_IN_LBA + size.len()) == Some(&size);
        let is_there = self.mbr.get(MBR_TYPE) == Some(&GPT_PROTECTIVE);
        (is_there && !is_same).then(|| (MBR_SIZE_IN_LBA as u64, size.to_vec()))
    }

    /// The entries where a header says that they are, and then the header.
    fn writes(&self, header: Header) -> [(u64, Vec<u8>); 2] {
        [
            (header.partition_entry_lba.get() * self.block, self.entries.clone()),
            (header.my_lba.get() * self.block, header.seal().as_bytes().to_vec()),
        ]
    }

    /// Whether the entries are in their place, and as many blocks behind them are nobody's.
    fn has_room(&self) -> bool {
        let end = ENTRIES + 2 * self.entries_blocks();
        self.header.partition_entry_lba == ENTRIES
            && self.entries().all(|(_, entry)| entry.starting_lba.get() >= end)
    }

    /// Blocks that the entries take.
    fn entries_blocks(&self) -> u64 {
        (self.entries.len() as u64).div_ceil(self.block)
    }

    /// Whether its growth was cut while its entries were behind their place.
    fn is_cut(&self) -> bool {
        self.header.partition_entry_lba == ENTRIES + self.entries_blocks()
    }

    /// Let entry `number` end before block `end`. Returns the block where it starts.
    fn extend_entry(&mut self, number: u32, end: u64) -> Result<u64, Refusal> {
        let is_cut = self.is_cut();
        let entry_len = self.header.size_of_partition_entry.get() as usize;
        let index = (number as usize).wrapping_sub(1);
        let mut grown = None;
        let mut last_start = 0;
        for (at, bytes) in self.entries.chunks_exact_mut(entry_len).enumerate() {
            let Ok((entry, _)) = Entry::mut_from_prefix(bytes) else { continue };
            if !entry.is_used() {
                continue;
            }
            last_start = last_start.max(entry.starting_lba.get());
            if at == index {
                grown = Some(entry);
            }
        }
        let entry = grown.ok_or(Refusal::LeftAlone("not in the partition table"))?;
        if entry.starting_lba != last_start {
            return Err(Refusal::LeftAlone("not the last partition of the disk"));
        }
        if entry.starting_lba > entry.ending_lba {
            return Err(Refusal::LeftAlone("the partition starts after its end"));
        }
        let old_end = entry.ending_lba.get().saturating_add(1);
        if old_end > end || old_end == end && !is_cut {
            return Err(Refusal::IsWhole);
        }
        entry.ending_lba = (end - 1).into();
        Ok(last_start)
    }
}

impl Entry {
    fn is_used(&self) -> bool {
        self.partition_type_guid != [0; 16]
    }

    /// Its first block, and the one behind its last; `None`: it has none.
    pub(crate) fn blocks(&self) -> Option<Range<u64>> {
        let (first, last) = (self.starting_lba.get(), self.ending_lba.get());
        Some(first..last.checked_add(1)?).filter(|blocks| !blocks.is_empty())
    }

    /// What the partition is called.
    pub(crate) fn name(&self) -> String {
        let units: Vec<_> =
            self.partition_name.iter().map(|unit| unit.get()).take_while(|unit| *unit != 0).collect();
        String::from_utf16_lossy(&units)
    }

    /// Its identity, as `PARTUUID=` has it (UEFI 2.10, appendix A: the first three fields are little-endian).
    pub(crate) fn id(&self) -> String {
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        let digit = |(at, byte): (usize, usize)| {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            format!("{dash}{:02x}", self.unique_partition_guid[byte])
        };
        order.into_iter().enumerate().map(digit).collect()
    }
}

impl Header {
    fn crc32(&self) -> u32 {
        crc32fast::hash(Self { header_crc32: 0.into(), ..*self }.as_bytes())
    }

    /// The header with the checksum of what it holds.
    fn seal(self) -> Self {
        Self { header_crc32: self.crc32().into(), ..self }
    }
}

#[cfg(test)]
mod tests;
