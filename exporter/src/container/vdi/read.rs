//! A VDI file → the bytes of the disk, for `inspect`. The file is not trusted.

use std::mem::offset_of;

use zerocopy::{FromZeros, IntoBytes};

use super::format::{FREE, Header, ZERO};
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
    ];
    if let Some((_, what)) = unsupported.iter().find(|(is_so, _)| *is_so) {
        return Err(Error::new(Kind::Unsupported, "vdi", format!("{what} can't be read")));
    }
    let mapped = u64::from(header.blocks.get()) * u64::from(header.block_size.get());
    if header.block_size.get() == 0 || header.disk_size.get() > mapped {
        return Err(Error::new(Kind::Corrupt, "vdi", "the block map does not fit the size of the disk"));
    }
    Ok(Reader::new(file, Map(header)))
}

/// The header of a disk that can be read.
pub(in crate::container) struct Map(Header);

impl blocks::Map for Map {
    fn size(&self) -> u64 {
        self.0.disk_size.get()
    }

    fn block_size(&self) -> u64 {
        self.0.block_size.get().into()
    }

    fn locate<F: ReadAt>(&self, file: &F, block: u64) -> Result<Option<u64>> {
        let mut entry = [0; 4];
        file.read_at(u64::from(self.0.offset_blocks.get()) + 4 * block, &mut entry)?;
        Ok(match u32::from_le_bytes(entry) {
            FREE | ZERO => None,
            place => Some(u64::from(self.0.offset_data.get()) + u64::from(place) * self.block_size()),
        })
    }
}
