//! Partition tables, as far as the last partition can grow with the disk.
//!
//! No I/O: a table is read from bytes, and a change is a list of bytes to write.

use std::ops::Range;

use super::{gpt, mbr};

/// Partitions end at a multiple of this, in bytes, as all tools have it.
pub(super) const ALIGNMENT: u64 = 1 << 20;

/// A partition in bytes, and what to write to make it so: (byte of the disk, bytes), in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) writes: Vec<(u64, Vec<u8>)>,
}

/// Why a partition does not grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It ends where it would after growing.
    IsWhole,
    /// A reason to leave the table alone.
    LeftAlone(&'static str),
}

impl Refusal {
    /// For a person.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::IsWhole => "it is as it would be",
            Self::LeftAlone(reason) => reason,
        }
    }
}

/// Where a partition lies in bytes, and its identity as a GPT has it.
pub(crate) type Place = (Range<u64>, Option<[u8; 16]>);

/// Where partition `number` (from 1) lies; `None`: the table has no such partition, or is none.
pub(crate) fn place(
    block: u64,
    number: u32,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, String>,
) -> Result<Option<Place>, String> {
    let bytes = |blocks: Range<u64>| Some(blocks.start.checked_mul(block)?..blocks.end.checked_mul(block)?);
    if let Some(table) = mbr::Table::parse(&read(0, mbr::LEN)?) {
        return Ok(table.blocks(number).and_then(bytes).map(|place| (place, None)));
    }
    let Ok(table) = gpt::Table::read(block, read)? else { return Ok(None) };
    let found = table.entries().find(|(this, _)| *this == number);
    Ok(found.and_then(|(_, entry)| Some((bytes(entry.blocks()?)?, Some(entry.unique_partition_guid)))))
}

/// Grow partition `number` (from 1) on a disk that is now `disk_size` bytes, in blocks of `block`; `read` yields so many
/// bytes of it at an offset.
pub(crate) fn grow(
    block: u64,
    number: u32,
    disk_size: u64,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, String>,
) -> Result<Result<Growth, Refusal>, String> {
    match mbr::Table::parse(&read(0, mbr::LEN)?) {
        Some(table) => Ok(table.grow(block, number, disk_size)),
        None => Ok(gpt::Table::read(block, read)?.and_then(|table| table.grow(number, disk_size))),
    }
}

/// The identity of partition `number` (from 1), as `PARTUUID=` has it; `None`: the table has no such partition, or is none.
pub(crate) fn partition_id(
    block: u64,
    number: u32,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, String>,
) -> Result<Option<String>, String> {
    if let Some(table) = mbr::Table::parse(&read(0, mbr::LEN)?) {
        return Ok(Some(table.id(number)));
    }
    let Ok(table) = gpt::Table::read(block, read)? else { return Ok(None) };
    Ok(table.entries().find(|(this, _)| *this == number).map(|(_, entry)| entry.id()))
}
