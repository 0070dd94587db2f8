//! A VDI file → the bytes of the disk, for `inspect`. The file is not trusted.

use std::mem::offset_of;
use std::ops::Range;

use zerocopy::{FromZeros, IntoBytes};

use super::format::{FREE, Header, SECTOR, ZERO};
use crate::container::blocks::{self, Reader};
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;

/// Whether a file begins as a VDI does.
pub(in crate::container) fn is_vdi<F: ReadAt + ?Sized>(file: &F) -> bool {
    let mut signature = [0; 4];
    let is_read = file.read_at(offset_of!(Header, signature) as u64, &mut signature).is_ok();
    is_read && u32::from_le_bytes(signature) == Header::SIGNATURE
}

/// The disk in a VDI file.
///
/// # Errors
/// [`Kind::Corrupt`], and [`Kind::Unsupported`] for what is not read here.
pub(in crate::container) fn open<F: ReadAt>(file: F) -> Result<Reader<F, Map>> {
    let mut header = Header::new_zeroed();
    file.read_at(0, header.as_mut_bytes())?;
    let unsupported = [
        (header.version.get() != Header::VERSION, "versions other than 1.1"),
        (!matches!(header.image_type.get(), Header::DYNAMIC | Header::FIXED), "differencing images"),
        (header.uuid_linkage != [0; 16], "images with a parent"),
        (header.block_extra.get() != 0, "blocks with extra bytes"),
        (header.legacy_geometry[3].get() != SECTOR, "sectors of other than 512 bytes"),
    ];
    if let Some((_, what)) = unsupported.iter().find(|(is_so, _)| *is_so) {
        return Err(Error::new(Kind::Unsupported, "vdi", format!("{what} cannot be read")));
    }
    let map = Map(header);
    let [map_end, data] = [map.block_map().end, map.0.offset_data.get().into()];
    let mapped = u64::from(map.0.blocks.get()) * u64::from(map.0.block_size.get());
    let impossible = [
        (!map.0.block_size.get().is_power_of_two(), "the block size is impossible"),
        (map.0.disk_size.get() > mapped, "the block map does not fit the size of the disk"),
        (map_end > file.size(), "the file ends before its block map"),
        (data < map_end, "the blocks begin inside the block map"),
        (
            ![map.0.offset_blocks, map.0.offset_data].iter().all(|at| at.get().is_multiple_of(SECTOR)),
            "the block map or the blocks begin inside a sector",
        ),
    ];
    match impossible.iter().find(|(is_so, _)| *is_so) {
        Some((_, what)) => Err(corrupt(*what)),
        None => Ok(Reader::new(file, map)),
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "vdi", message)
}

/// The header of a disk that can be read.
pub(in crate::container) struct Map(Header);

impl Map {
    /// Where the block map lies in the file.
    fn block_map(&self) -> Range<u64> {
        let start = u64::from(self.0.offset_blocks.get());
        start..start + 4 * u64::from(self.0.blocks.get())
    }
}

impl blocks::Map for Map {
    fn size(&self) -> u64 {
        self.0.disk_size.get()
    }

    fn block_size(&self) -> u64 {
        self.0.block_size.get().into()
    }

    fn locate<F: ReadAt>(&self, file: &F, block: u64) -> Result<Option<u64>> {
        let mut entry = [0; 4];
        file.read_at(self.block_map().start + 4 * block, &mut entry)?;
        match u32::from_le_bytes(entry) {
            FREE | ZERO => Ok(None),
            place if place >= self.0.blocks.get() => {
                Err(corrupt(format!("block {block} is said to be number {place} in the file, of fewer")))
            }
            place => Ok(Some(u64::from(self.0.offset_data.get()) + u64::from(place) * self.block_size())),
        }
    }

    const UNIT: u64 = SECTOR as u64;

    fn tables(&self, _: u64) -> Vec<(&'static str, Range<u64>)> {
        vec![("the header", 0..Header::SIZE as u64), ("the block map", self.block_map())]
    }

    fn problem(&self, stored: u64) -> Option<String> {
        let told = self.0.blocks_allocated.get();
        (u64::from(told) != stored)
            .then(|| format!("{stored} blocks are in the file, and {told} by its header"))
    }
}
