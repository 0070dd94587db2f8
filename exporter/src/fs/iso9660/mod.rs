//! ISO 9660 as it lies on a disc (ECMA-119), and as much of a reader as finds one file by its path. No byte of a disc is
//! trusted.

pub(crate) mod format;

use std::ops::Range;

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use format::{BLOCK, DirectoryRecord, FIRST_DESCRIPTOR, PrimaryDescriptor};

/// Bytes of a directory; a medium has a handful of files.
const DIRECTORY_MAX: u32 = 1 << 20;

/// Whether it is a disc, or what would be one.
pub(crate) fn is_iso9660<D: ReadAt + ?Sized>(disc: &D) -> bool {
    descriptor(disc).is_ok_and(|descriptor| descriptor.header.is_primary())
}

/// Where the file at this path of identifiers (`VMIMAGE`, `DISK.RAW;1`) lies, in bytes, if there is one.
///
/// # Errors
/// [`Kind::Corrupt`] for a directory that is broken, a file in several places, or one beyond the end of the disc.
pub(crate) fn find<D: ReadAt + ?Sized>(disc: &D, path: &[&str]) -> Result<Option<Range<u64>>> {
    let mut found = vec![Record::of(&descriptor(disc)?.root, b"")];
    for identifier in path {
        let [Record { is_directory: true, range, .. }] = &found[..] else { return Ok(None) };
        let mut records = directory(disc, range)?;
        records.retain(|record| record.identifier == identifier.as_bytes());
        found = records;
    }
    let files = found.iter().all(|record| !record.is_directory);
    let Some((first, rest)) = found.split_first().filter(|_| files) else { return Ok(None) };
    let mut range = first.range.clone();
    for section in rest {
        if section.range.start != range.end {
            return Err(corrupt("a file lies in several places"));
        }
        range.end = section.range.end;
    }
    match range.end <= disc.size() {
        true => Ok(Some(range)),
        false => Err(corrupt("a file lies beyond the end")),
    }
}

fn descriptor<D: ReadAt + ?Sized>(disc: &D) -> Result<PrimaryDescriptor> {
    let mut descriptor = PrimaryDescriptor::new_zeroed();
    disc.read_at(u64::from(FIRST_DESCRIPTOR) * BLOCK, descriptor.as_mut_bytes())?;
    Ok(descriptor)
}

/// What a directory record says.
struct Record {
    identifier: Vec<u8>,
    is_directory: bool,
    range: Range<u64>,
}

impl Record {
    fn of(head: &DirectoryRecord, identifier: &[u8]) -> Self {
        let start = u64::from(head.extent.get()) * BLOCK;
        Self {
            identifier: identifier.to_vec(),
            is_directory: head.flags & DirectoryRecord::DIRECTORY != 0,
            range: start..start + u64::from(head.data_length.get()),
        }
    }
}

fn directory<D: ReadAt + ?Sized>(disc: &D, range: &Range<u64>) -> Result<Vec<Record>> {
    if range.end - range.start > u64::from(DIRECTORY_MAX) {
        return Err(corrupt("a directory is larger than that of any medium"));
    }
    let mut bytes = vec![0; (range.end - range.start) as usize];
    disc.read_at(range.start, &mut bytes)?;
    bytes.chunks(BLOCK as usize).try_fold(Vec::new(), |mut records, block| {
        records_of(block, &mut records).ok_or_else(|| corrupt("a directory is broken"))?;
        Ok(records)
    })
}

/// The records of a block, which end at one without a length; `None` if they don't end in it.
fn records_of(mut block: &[u8], records: &mut Vec<Record>) -> Option<()> {
    while let Some(len @ 1..) = block.first().copied() {
        let (record, rest) = block.split_at_checked(len.into())?;
        let (head, behind) = DirectoryRecord::read_from_prefix(record).ok()?;
        records.push(Record::of(&head, behind.get(..head.identifier_length.into())?));
        block = rest;
    }
    Some(())
}

fn corrupt(why: &str) -> Error {
    Error::new(Kind::Corrupt, "ISO 9660", why)
}
