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
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn an_identity_is_written_as_the_kernel_does() {
        let unique_partition_guid =
            [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
        let entry = Entry { unique_partition_guid, ..Entry::read_from_bytes(&[0; 128]).unwrap() };
        assert_eq!(entry.id(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }

    /// A disk with these partitions (first and last block), in the order of their numbers.
    fn disk(block: u64, size: u64, partitions: &[(u64, u64)]) -> Vec<u8> {
        let mut disk = vec![0; size as usize];
        let mut entries = vec![0; 128 * 128];
        let mut name = [U16::default(); 36];
        name.iter_mut().zip("root-a".encode_utf16()).for_each(|(to, unit)| *to = unit.into());
        for (index, (first, last)) in partitions.iter().enumerate() {
            let entry = Entry {
                partition_type_guid: [1; 16],
                unique_partition_guid: [2; 16],
                starting_lba: (*first).into(),
                ending_lba: (*last).into(),
                attributes: 0.into(),
                partition_name: name,
            };
            entries[index * 128..][..128].copy_from_slice(entry.as_bytes());
        }
        let blocks = size / block;
        let entries_blocks = 128 * 128 / block;
        let header = Header {
            signature: *b"EFI PART",
            revision: 0x10000.into(),
            header_size: 92.into(),
            header_crc32: 0.into(),
            reserved: 0.into(),
            my_lba: 1.into(),
            alternate_lba: (blocks - 1).into(),
            first_usable_lba: (2 + entries_blocks).into(),
            last_usable_lba: (blocks - entries_blocks - 2).into(),
            disk_guid: [3; 16],
            partition_entry_lba: 2.into(),
            number_of_partition_entries: 128.into(),
            size_of_partition_entry: 128.into(),
            partition_entry_array_crc32: crc32fast::hash(&entries).into(),
        };
        disk[MBR_TYPE] = GPT_PROTECTIVE;
        disk[block as usize..][..92].copy_from_slice(header.seal().as_bytes());
        disk[2 * block as usize..][..entries.len()].copy_from_slice(&entries);
        disk
    }

    fn grow(block: u64, disk: &[u8], number: u32, size: u64) -> Result<Growth, Refusal> {
        let read = |at: u64, len: usize| {
            Ok(disk.get(at as usize..).and_then(|rest| rest.get(..len)).unwrap_or_default().to_vec())
        };
        Table::read(block, read).unwrap().and_then(|table| table.grow(number, size))
    }

    fn apply(disk: &mut Vec<u8>, growth: &Growth, size: u64) {
        disk.resize(size as usize, 0);
        for (at, bytes) in &growth.writes {
            disk[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }

    #[test]
    fn partitions_have_their_numbers_and_names() {
        let disk = disk(512, 8 * MIB, &[(2048, 4095), (4096, 6143)]);
        let read = |at: u64, len: usize| Ok(disk[at as usize..][..len].to_vec());
        let table = Table::read(512, read).unwrap().unwrap();
        let named: Vec<_> = table.entries().map(|(number, entry)| (number, entry.name())).collect();
        assert_eq!(named, [(1, "root-a".to_owned()), (2, "root-a".to_owned())]);
        assert!(table.entries().all(|(_, entry)| entry.partition_type_guid == [1; 16]));
    }

    #[test]
    fn the_last_partition_grows_once() {
        let mut disk = disk(512, 8 * MIB, &[(2048, 4095), (4096, 6143)]);
        let growth = grow(512, &disk, 2, 64 * MIB).unwrap();
        // The last MiB holds the backup.
        assert_eq!((growth.start, growth.len), (2 * MIB, 61 * MIB));
        apply(&mut disk, &growth, 64 * MIB);
        assert_eq!(grow(512, &disk, 2, 64 * MIB), Err(Refusal::IsWhole));
        assert_eq!(disk[MBR_SIZE_IN_LBA..][..4], (64 * 2048 - 1_u32).to_le_bytes());
        let backup = Header::read_from_bytes(&disk[(64 * MIB - 512) as usize..][..92]).unwrap();
        assert_eq!(backup.header_crc32, backup.crc32());
        assert_eq!((backup.my_lba.get(), backup.alternate_lba.get()), (64 * 2048 - 1, 1));
    }

    /// What Linux sees of a disk: where its partitions end.
    fn ends(block: u64, disk: &[u8]) -> Vec<u64> {
        let read = |at: u64, len: usize| Ok(disk[at as usize..][..len].to_vec());
        let table = Table::read(block, read).unwrap().unwrap();
        assert!(table.entries().all(|(_, entry)| table.header.first_usable_lba <= entry.starting_lba));
        assert!(
            table.header.partition_entry_lba.get() + table.entries_blocks()
                <= table.header.first_usable_lba.get()
        );
        table.entries().map(|(_, entry)| entry.ending_lba.get()).collect()
    }

    /// A sector is written or it is not; a write of many is cut between any two, whichever comes first.
    #[test]
    fn the_first_table_is_whole_wherever_its_growth_is_cut() {
        const SIZE: u64 = 6 * MIB;
        for (block, is_forward) in [(512, true), (512, false), (4096, true)] {
            let mib = MIB / block;
            let mut old = disk(block, 4 * MIB, &[(mib, 2 * mib - 1), (2 * mib, 3 * mib - 1)]);
            let mut whole = old.clone();
            apply(&mut whole, &grow(block, &old, 2, SIZE).unwrap(), SIZE);
            assert_eq!(ends(block, &whole), [2 * mib - 1, 5 * mib - 1]);
            old.resize(SIZE as usize, 0);
            let mut cut = old.clone();
            for (at, bytes) in grow(block, &old, 2, SIZE).unwrap().writes {
                let sectors = (at..).step_by(block as usize).zip(bytes.chunks(block as usize));
                let mut sectors: Vec<_> = sectors.collect();
                if !is_forward {
                    sectors.reverse();
                }
                for (at, sector) in sectors {
                    cut[at as usize..][..sector.len()].copy_from_slice(sector);
                    let end = ends(block, &cut)[1];
                    assert!([3 * mib - 1, 5 * mib - 1].contains(&end), "{at}: {end}");
                    let mut next = cut.clone();
                    match grow(block, &cut, 2, SIZE) {
                        Ok(growth) => apply(&mut next, &growth, SIZE),
                        Err(refusal) => assert_eq!(refusal, Refusal::IsWhole),
                    }
                    // What lies between the entries and the first partition is nobody's.
                    let behind = (2 * block + 128 * 128) as usize;
                    assert!(
                        next[..behind] == whole[..behind] && next[MIB as usize..] == whole[MIB as usize..]
                    );
                }
            }
            assert!(cut == whole);
        }
    }

    fn labels(disk: &[u8]) -> Vec<String> {
        let read = |at: u64, len: usize| Ok(disk[at as usize..][..len].to_vec());
        let table = Table::read(512, read).unwrap().unwrap();
        table.entries().map(|(_, entry)| entry.name()).collect()
    }

    fn relabel(disk: &[u8], number: u32, label: &str) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
        let read = |at: u64, len: usize| Ok(disk[at as usize..][..len].to_vec());
        Table::read(512, read).unwrap().unwrap().relabel(number, label)
    }

    /// Also where a growth was cut before, at any write of it.
    #[test]
    fn the_first_table_is_whole_wherever_a_new_label_is_cut() {
        let mut new = disk(512, 4 * MIB, &[(2048, 4095), (4096, 6143)]);
        let mut starts = vec![new.clone()];
        new.resize(6 * MIB as usize, 0);
        for (at, bytes) in grow(512, &new, 2, 6 * MIB).unwrap().writes {
            new[at as usize..][..bytes.len()].copy_from_slice(&bytes);
            starts.push(new.clone());
        }
        for (start, is_forward) in starts.iter().flat_map(|start| [(start, true), (start, false)]) {
            let (mut cut, before) = (start.clone(), ends(512, start));
            for (at, bytes) in relabel(start, 1, "kiosk_1.4.0").unwrap() {
                let mut sectors: Vec<_> = (at..).step_by(512).zip(bytes.chunks(512)).collect();
                if !is_forward {
                    sectors.reverse();
                }
                for (at, sector) in sectors {
                    cut[at as usize..][..sector.len()].copy_from_slice(sector);
                    let seen = labels(&cut);
                    assert!(["root-a", "kiosk_1.4.0"].contains(&&*seen[0]) && seen[1] == "root-a", "{at}");
                    assert_eq!(ends(512, &cut), before);
                    let mut again = cut.clone();
                    for (at, bytes) in relabel(&cut, 1, "_empty").unwrap() {
                        again[at as usize..][..bytes.len()].copy_from_slice(&bytes);
                    }
                    assert_eq!(labels(&again), ["_empty", "root-a"]);
                }
            }
            assert_eq!(labels(&cut), ["kiosk_1.4.0", "root-a"]);
            let header = Header::read_from_bytes(&cut[512..604]).unwrap();
            let backup = header.alternate_lba.get() as usize * 512;
            let backup = Header::read_from_bytes(&cut[backup..][..92]).unwrap();
            assert_eq!(backup.header_crc32, backup.crc32());
            assert_eq!(backup.partition_entry_array_crc32, header.partition_entry_array_crc32);
        }
    }

    #[test]
    fn a_label_that_cannot_be_written_safely_is_refused() {
        let with_room = disk(512, 8 * MIB, &[(2048, 4095)]);
        assert!(relabel(&with_room, 1, &"x".repeat(36)).is_ok());
        assert!(relabel(&with_room, 1, &"x".repeat(37)).is_err());
        assert_eq!(relabel(&with_room, 2, "x"), Err(Refusal::LeftAlone("not in the partition table")));
        assert_eq!(relabel(&with_room, 0, "x"), Err(Refusal::LeftAlone("not in the partition table")));
        assert!(relabel(&disk(512, 8 * MIB, &[(40, 4095)]), 1, "x").is_err());
    }

    /// A disk that has become larger again while its table was behind its place.
    #[test]
    fn what_was_cut_is_put_in_its_place_on_a_disk_of_any_size() {
        let mut disk = disk(512, 8 * MIB, &[(2048, 4095)]);
        let mut growth = grow(512, &disk, 1, 16 * MIB).unwrap();
        growth.writes.truncate(5);
        apply(&mut disk, &growth, 16 * MIB);
        for size in [16, 32] {
            let mut disk = disk.clone();
            let growth = grow(512, &disk, 1, size * MIB).unwrap();
            apply(&mut disk, &growth, size * MIB);
            assert_eq!(ends(512, &disk), [(size - 1) * 2048 - 1]);
            assert_eq!(grow(512, &disk, 1, size * MIB), Err(Refusal::IsWhole));
        }
        // It was larger.
        assert_eq!(grow(512, &disk, 1, 12 * MIB), Err(Refusal::IsWhole));
    }

    #[test]
    fn entries_without_room_behind_them_are_written_in_their_place() {
        let mut disk = disk(512, 8 * MIB, &[(40, 4095)]);
        let growth = grow(512, &disk, 1, 16 * MIB).unwrap();
        assert_eq!(growth.writes.len(), 5);
        apply(&mut disk, &growth, 16 * MIB);
        assert_eq!(ends(512, &disk), [15 * 2048 - 1]);
    }

    #[test]
    fn numbers_need_not_be_in_the_order_of_the_disk() {
        let disk = disk(512, 8 * MIB, &[(4096, 6143), (2048, 4095)]);
        assert!(grow(512, &disk, 1, 64 * MIB).is_ok());
        assert_eq!(
            grow(512, &disk, 2, 64 * MIB),
            Err(Refusal::LeftAlone("not the last partition of the disk"))
        );
    }

    #[test]
    fn blocks_may_be_larger() {
        let disk = disk(4096, 8 * MIB, &[(256, 511), (512, 767)]);
        let growth = grow(4096, &disk, 2, 64 * MIB).unwrap();
        assert_eq!((growth.start, growth.len), (2 * MIB, 61 * MIB));
        assert_eq!(growth.writes[1].0, 64 * MIB - 4096);
    }

    #[test]
    fn nothing_shrinks() {
        let disk = disk(512, 8 * MIB, &[(2048, 8 * 2048 - 35)]);
        assert_eq!(grow(512, &disk, 1, 8 * MIB), Err(Refusal::IsWhole));
        assert_eq!(grow(512, &disk, 1, 4 * MIB), Err(Refusal::IsWhole));
        assert!(matches!(grow(512, &disk, 1, 512), Err(Refusal::LeftAlone(_))));
    }

    #[test]
    fn a_partition_that_starts_after_its_end_is_left_alone() {
        let reason = Refusal::LeftAlone("the partition starts after its end");
        for (first, last) in [(1 << 20, 4095), (u64::MAX, 0), (200 * 2048, 4095), (4096, 4095)] {
            assert_eq!(grow(512, &disk(512, 8 * MIB, &[(first, last)]), 1, 64 * MIB), Err(reason.clone()));
        }
        for (first, last) in [(u64::MAX, u64::MAX), (0, u64::MAX), (200 * 2048, 300 * 2048)] {
            let grown = grow(512, &disk(512, 8 * MIB, &[(first, last)]), 1, 64 * MIB);
            assert_eq!(grown, Err(Refusal::IsWhole), "{first}");
        }
        assert_eq!(grow(512, &disk(512, 8 * MIB, &[(4096, 4096)]), 1, 64 * MIB).unwrap().len, 61 * MIB);
    }

    #[test]
    fn a_damaged_table_is_left_alone() {
        let whole = disk(512, 8 * MIB, &[(2048, 4095)]);
        assert!(matches!(grow(512, &[0; 4096], 1, MIB), Err(Refusal::LeftAlone("no GUID partition table"))));
        assert!(matches!(grow(512, &[], 1, MIB), Err(Refusal::LeftAlone("no GUID partition table"))));
        assert!(matches!(
            grow(512, &whole, 2, 64 * MIB),
            Err(Refusal::LeftAlone("not in the partition table"))
        ));
        assert!(matches!(
            grow(512, &whole, 0, 64 * MIB),
            Err(Refusal::LeftAlone("not in the partition table"))
        ));
        for at in (512..604).chain(1024..1024 + 48) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(matches!(grow(512, &damaged, 1, 64 * MIB), Err(Refusal::LeftAlone(_))), "byte {at}");
        }
    }
}
