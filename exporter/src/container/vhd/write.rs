//! Chunks → a fixed VHD.

use std::fs::File;
use std::ops::Range;

use zerocopy::IntoBytes;

use super::format::Footer;
use crate::container::place::Place;
use crate::container::raw;
use crate::engine::{Chunk, Sink, Stored};
use crate::error::Result;
use crate::seed::Uuid;

/// Azure takes only disks of whole mebibytes.
const ALIGNMENT: u64 = 1 << 20;

/// Writes a fixed VHD: a raw disk, and the footer at the end.
pub(in crate::container) struct Writer<'a> {
    size: u64,
    id: Uuid,
    disk: raw::Writer<&'a dyn Place>,
    place: &'a dyn Place,
}

impl<'a> Writer<'a> {
    /// A disk of `size` bytes, rounded up to whole mebibytes.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](crate::error::Kind::Unsupported) if no VHD can be as large.
    pub(in crate::container) fn new(size: u64, id: Uuid, place: &'a dyn Place) -> Result<Self> {
        super::check_size(size)?;
        let size = size.next_multiple_of(ALIGNMENT);
        Ok(Self { size, id, disk: raw::Writer::new(size, place), place })
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.encode(chunk, stored)
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.commit(chunk, stored)
    }

    fn share(&self, file: &File, offset: u64, at: u64, len: u64) -> Range<u64> {
        self.disk.share(file, offset, at, len)
    }

    fn finish(&self) -> Result<()> {
        self.disk.finish()?;
        let footer = Footer::new(self.size, self.id, Footer::FIXED, u64::MAX);
        self.place.write_at(footer.as_bytes(), self.size)
    }
}
