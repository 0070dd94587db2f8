//! Chunks → a fixed VHD.

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U32, U64};

use super::format::{Footer, Geometry, SECTOR};
use crate::container::place::Place;
use crate::container::raw;
use crate::engine::{Chunk, Sink, Stored};
use crate::error::{Error, Kind, Result, show_size};
use crate::seed::Uuid;

/// Azure takes only disks of whole mebibytes.
const ALIGNMENT: u64 = 1 << 20;
/// The largest disk, 2040 GiB: the specification's limit, and QEMU's.
const SIZE_MAX: u64 = 0xff00_0000 * SECTOR;

/// Writes a fixed VHD: a raw disk, and the footer at the end.
pub(in crate::container) struct Writer<'a> {
    size: u64,
    id: Uuid,
    disk: raw::Writer<'a>,
    place: &'a dyn Place,
}

impl<'a> Writer<'a> {
    /// A disk of `size` bytes, rounded up to whole mebibytes.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if no VHD can be as large.
    pub(in crate::container) fn new(size: u64, id: Uuid, place: &'a dyn Place) -> Result<Self> {
        if size > SIZE_MAX {
            let message = format!("{} is more than the 2040 GiB of the largest disk", show_size(size));
            return Err(Error::new(Kind::Unsupported, "vhd", message).with_hint("ask for vhdx"));
        }
        let size = size.next_multiple_of(ALIGNMENT);
        Ok(Self { size, id, disk: raw::Writer::new(size, place), place })
    }

    fn footer(&self) -> Footer {
        let mut footer = Footer {
            cookie: Footer::COOKIE,
            features: Footer::RESERVED_FEATURE.into(),
            file_format_version: Footer::VERSION.into(),
            data_offset: U64::MAX_VALUE,
            time_stamp: U32::ZERO,
            // QEMU takes the size from `current_size` only if it knows the creator as one that means it;
            // else it takes the geometry's, which is smaller. This name is its own for such disks.
            creator_application: *b"qem2",
            creator_version: Footer::VERSION.into(),
            creator_host_os: *b"Wi2k",
            original_size: self.size.into(),
            current_size: self.size.into(),
            disk_geometry: Geometry::of(self.size),
            disk_type: Footer::FIXED.into(),
            checksum: U32::ZERO,
            unique_id: self.id.0,
            saved_state: 0,
            reserved: [0; 427],
        };
        footer.checksum = footer.computed_checksum().into();
        footer
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.encode(chunk, stored)
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.commit(chunk, stored)
    }

    fn write(&self, chunk: &Chunk<'_>, stored: &Stored) -> Result<()> {
        self.disk.write(chunk, stored)
    }

    fn finish(&self) -> Result<()> {
        self.disk.finish()?;
        self.place.write_at(self.footer().as_bytes(), self.size)
    }
}
