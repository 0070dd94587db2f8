//! Blocks → a VDI file.

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::U32;

use super::format::{FREE, Header, SECTOR};
use crate::container::blocks::{self, BLOCK};
use crate::container::place::Place;
use crate::error::{Error, Kind, Result, show_size};
use crate::seed::Uuid;

/// Blocks of the largest disk QEMU reads: 512 TiB.
const BLOCKS_MAX: u64 = i32::MAX as u64 / 4;

/// Left to the machine but for the bytes of a sector.
const UNKNOWN_GEOMETRY: [U32; 4] = [U32::ZERO, U32::ZERO, U32::ZERO, U32::new(SECTOR)];

/// The header and the block map of a disk.
pub(in crate::container) struct Tables {
    size: u64,
    id: Uuid,
}

/// Tables for a disk of `size` bytes, rounded up to whole sectors.
///
/// # Errors
/// [`Kind::Unsupported`] if no VDI that QEMU reads can be as large.
pub(in crate::container) fn tables(size: u64, id: Uuid) -> Result<Tables> {
    if size.div_ceil(BLOCK) > BLOCKS_MAX {
        let message = format!("{} is more than the 512 TiB of the largest disk", show_size(size));
        return Err(Error::new(Kind::Unsupported, "vdi", message));
    }
    Ok(Tables { size: size.next_multiple_of(SECTOR.into()), id })
}

impl Tables {
    fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK)
    }

    fn header(&self, allocated: u64) -> Header {
        let mut file_info = [0; 64];
        let text = b"<<< Oracle VM VirtualBox Disk Image >>>\n";
        file_info[..text.len()].copy_from_slice(text);
        Header {
            file_info,
            signature: Header::SIGNATURE.into(),
            version: Header::VERSION.into(),
            header_size: Header::HEADER_SIZE.into(),
            image_type: Header::DYNAMIC.into(),
            flags: U32::ZERO,
            comment: [0; 256],
            offset_blocks: U32::new(Header::SIZE as u32),
            offset_data: U32::new(blocks::Tables::first_block(self) as u32),
            legacy_geometry: UNKNOWN_GEOMETRY,
            dummy: U32::ZERO,
            disk_size: self.size.into(),
            block_size: U32::new(BLOCK as u32),
            block_extra: U32::ZERO,
            blocks: U32::new(self.blocks() as u32),
            blocks_allocated: U32::new(allocated as u32),
            uuid_create: self.id.to_guid_bytes(),
            uuid_modify: self.id.to_guid_bytes(),
            uuid_linkage: [0; 16],
            uuid_parent_modify: [0; 16],
            lchs_geometry: UNKNOWN_GEOMETRY,
            padding: [0; 40],
        }
    }
}

impl blocks::Tables for Tables {
    fn first_block(&self) -> u64 {
        (Header::SIZE as u64 + 4 * self.blocks()).next_multiple_of(BLOCK)
    }

    fn write(&self, blocks: &[u64], place: &dyn Place) -> Result<()> {
        let mut map = vec![U32::new(FREE); self.blocks() as usize];
        for (place, &block) in blocks.iter().enumerate() {
            map[block as usize] = U32::new(place as u32);
        }
        place.write_at(map.as_bytes(), Header::SIZE as u64)?;
        place.write_at(self.header(blocks.len() as u64).as_bytes(), 0)
    }
}
