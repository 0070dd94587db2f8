//! A squashfs of a few large files in one directory, whose data somebody writes while they are made. A root is made by
//! [its own tool](super::external).
//!
//! ```text
//! ┌────────────┬──────┬─────────────┬────────┬───────────┬─────┐
//! │ superblock │ room │ data blocks │ inodes │ directory │ ids │
//! └────────────┴──────┴─────────────┴────────┴───────────┴─────┘
//!              96     4096
//! ```
//!
//! Data blocks of 64 KiB, packed by zstd where that makes them smaller; zeroes have none. No fragments, no attributes, no
//! table for NFS.

mod format;
mod metadata;
#[cfg(test)]
mod tests;

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::U32;

use crate::codec::Codecs;
use crate::error::{Error, Kind, Result};
use format::{Directory, DirectoryEntry, DirectoryHeader, RegularFile, Superblock};
use metadata::Metadata;

/// Bytes of a data block.
pub(crate) const BLOCK: usize = 64 << 10;
/// Where data may begin: nothing of it lies in the block of 4096 bytes that has the superblock.
pub(crate) const DATA_AT: u64 = 4096;

/// What a squashfs begins with.
pub(crate) const SIGNATURE: &[u8] = b"hsqs";

/// Of a block that is not packed, the bit of its length that says so.
const PLAIN: u32 = 1 << 24;

/// A file whose data blocks are written one behind the other.
///
/// It remembers 4 bytes for each block.
#[derive(Default)]
pub(crate) struct File {
    start: u64,
    len: u64,
    sparse: u64,
    blocks: Vec<U32>,
}

/// What is stored of a data block.
#[derive(Clone, Copy)]
pub(crate) enum Stored {
    /// Nothing: it is zero.
    Zero,
    /// So many bytes, packed.
    Packed(usize),
    /// Its bytes as they are.
    Plain,
}

impl File {
    /// A file whose first data block lies at this byte of the file system.
    pub(crate) fn new(start: u64) -> Self {
        Self { start, ..Self::default() }
    }

    /// Note the next block, of `len` bytes: [`BLOCK`] of them, but for the last one.
    pub(crate) fn push(&mut self, len: usize, stored: Stored) {
        self.len += len as u64;
        self.blocks.push(U32::new(match stored {
            Stored::Packed(packed) => packed as u32,
            Stored::Plain => len as u32 | PLAIN,
            Stored::Zero => {
                self.sparse += len as u64;
                0
            }
        }));
    }
}

/// What is written when all data is.
pub(crate) struct Tables {
    /// At the start of the file system.
    pub(crate) superblock: Vec<u8>,
    /// Behind the data. What follows up to a multiple of 4096 is zero.
    pub(crate) behind: Vec<u8>,
}

/// The tables of a file system with these `files` in its directory, in the order of their names. Their data ends at `end`;
/// `time` is that of all of them, in seconds since 1970.
///
/// # Errors
/// If the compressor cannot be started; [`Kind::Unsupported`] for more than a thousand files, which a directory of this kind
/// has no room for.
pub(crate) fn tables(files: &[(&str, File)], end: u64, time: u32, codecs: &Codecs) -> Result<Tables> {
    if files.len() > 1000 {
        return Err(Error::new(Kind::Unsupported, "squashfs", "has too many files"));
    }
    debug_assert!(files.is_sorted_by_key(|(name, _)| *name), "a directory is in order");
    let codec = &mut codecs.lend()?;
    let (mut inodes, mut directory) = (Metadata::default(), Metadata::default());
    let mut listed = 0;
    for (number, (name, file)) in (1..).zip(files) {
        let place = inodes.position();
        inodes.push(RegularFile::new(number, time, file).as_bytes(), codec);
        inodes.push(file.blocks.as_bytes(), codec);
        // A header for each: inodes behind one header lie in one block of metadata, and these are long.
        let (header, entry) =
            (DirectoryHeader::new(place.block, number), DirectoryEntry::new(place.offset, name));
        for part in [header.as_bytes(), entry.as_bytes(), name.as_bytes()] {
            directory.push(part, codec);
            listed += part.len();
        }
    }
    let root = inodes.position();
    let count = files.len() as u32 + 1;
    inodes.push(Directory::new(count, time, listed).as_bytes(), codec);
    // The only owner, whose number is 0.
    let mut owners = Metadata::default();
    owners.push(&[0; 4], codec);

    let (inodes, directory, owners) = (inodes.finish(codec), directory.finish(codec), owners.finish(codec));
    let directory_at = end + inodes.len() as u64;
    let owners_at = directory_at + directory.len() as u64;
    let ids_at = owners_at + owners.len() as u64;
    let behind = [&inodes[..], &directory, &owners, &owners_at.to_le_bytes()].concat();
    let used = end + behind.len() as u64;
    let superblock = Superblock::new(count, time, root, [end, directory_at, ids_at, used]);
    Ok(Tables { superblock: superblock.as_bytes().to_vec(), behind })
}
