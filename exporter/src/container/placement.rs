//! Where the files of a root lie, as a file of its own: nothing of the disk is in it.

use super::place::Place;
use crate::engine::{Chunk, Sink, Stored};
use crate::error::{Error, Kind, Result};
use crate::fs::ext4::Placement;
use crate::read_at::ReadAt;

/// Writes a placement.
pub(super) struct Writer<'a> {
    bytes: &'a [u8],
    place: &'a dyn Place,
}

impl<'a> Writer<'a> {
    /// # Errors
    /// [`Kind::Unsupported`] if there is none.
    pub(super) fn new(placement: Option<&'a [u8]>, shown: &str, place: &'a dyn Place) -> Result<Self> {
        match placement {
            Some(bytes) => Ok(Self { bytes, place }),
            None => {
                let message =
                    "a placement comes of the build of a machine with a root of ext4, and this is none";
                Err(Error::new(Kind::Unsupported, shown, message).with_hint("ask for another format"))
            }
        }
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, _: &Chunk<'_>, _: &mut Stored) -> Result<()> {
        Ok(())
    }

    fn commit(&self, _: &Chunk<'_>, _: &mut Stored) -> Result<()> {
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        self.place.write_at(self.bytes, 0)
    }
}

/// Whether a file begins as one.
pub(super) fn is_placement<F: ReadAt>(file: &F) -> bool {
    let mut begin = [0; 8];
    file.size() >= begin.len() as u64 && file.read_at(0, &mut begin).is_ok() && Placement::is_one(&begin)
}

/// Why nothing is read of it as of a disk.
pub(super) fn no_disk(shown: String) -> Error {
    Error::new(Kind::NotFound, shown, "is the placement of a build, and no disk is in it")
        .with_hint("name the disk that was built with it")
}
