//! Reading a finished image at any offset, whatever file it lies in.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// An image whose bytes can be read at any offset: a raw file, a qcow2, bytes in memory.
pub trait ReadAt {
    /// Size of the image in bytes.
    fn size(&self) -> u64;

    /// Fill `out` with the bytes from `offset` on; [`Kind::Corrupt`] if the image ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;

    /// Where from `offset` on the first byte may be that is not zero, as far as that is known without reading; at most
    /// the [size](Self::size). Most of a disk is holes, which nobody has to look through.
    fn data_from(&self, offset: u64) -> u64 {
        offset.min(self.size())
    }

    /// Where between `offset` and `until` the first byte is of which it is known without reading that it is zero; `until`, if
    /// none is known.
    fn hole_from(&self, _offset: u64, until: u64) -> u64 {
        until
    }
}

/// An image that many may read at once.
pub type Shared = Arc<dyn ReadAt + Send + Sync>;

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        let start = offset as usize;
        out.copy_from_slice(&self[start..start + out.len()]);
        Ok(())
    }
}

impl<I: ReadAt + ?Sized> ReadAt for &I {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        (**self).read_at(offset, out)
    }

    fn data_from(&self, offset: u64) -> u64 {
        (**self).data_from(offset)
    }

    fn hole_from(&self, offset: u64, until: u64) -> u64 {
        (**self).hole_from(offset, until)
    }
}

/// A part of an image as an image of its own.
pub(crate) struct Part<I> {
    image: I,
    range: Range<u64>,
}

impl<I: ReadAt> Part<I> {
    /// `range`, in bytes, lies inside `image`.
    pub(crate) fn new(image: I, range: Range<u64>) -> Self {
        Self { image, range }
    }
}

impl<I: ReadAt> ReadAt for Part<I> {
    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        self.image.read_at(self.range.start + offset, out)
    }

    fn data_from(&self, offset: u64) -> u64 {
        let from = self.range.start.saturating_add(offset).min(self.range.end);
        self.image.data_from(from).clamp(from, self.range.end) - self.range.start
    }

    fn hole_from(&self, offset: u64, until: u64) -> u64 {
        let of_image = |at: u64| self.range.start.saturating_add(at);
        self.image.hole_from(of_image(offset), of_image(until)).saturating_sub(self.range.start)
    }
}

/// That `len` bytes at `offset` lie inside `image`.
pub(crate) fn check_range<I: ReadAt + ?Sized>(image: &I, offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= image.size() => Ok(()),
        _ => {
            let message = format!("the image ends at {} bytes, before {len} bytes at {offset}", image.size());
            Err(Error::new(Kind::Corrupt, "", message))
        }
    }
}
