//! An OVA → the bytes of its first disk, for `inspect`. The file is not trusted.

use zerocopy::{FromZeros, IntoBytes};

use super::tar::{BLOCK, Header};
use crate::container::vmdk;
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, check_range};

/// Whether a file is an archive that begins with a descriptor, as every OVA does.
pub(in crate::container) fn is_ova<F: ReadAt + ?Sized>(file: &F) -> bool {
    let mut header = Header::new_zeroed();
    let is_read = file.read_at(0, header.as_mut_bytes()).is_ok();
    is_read && header.is_valid() && header.name_ends_in(".ovf")
}

/// The first disk of an OVA.
///
/// # Errors
/// [`Kind::Corrupt`], [`Kind::NotFound`] if there is no VMDK, and those of the VMDK.
pub(in crate::container) fn open<F: ReadAt>(file: F) -> Result<vmdk::Reader<Part<F>>> {
    let (start, len) = find_disk(&file)?;
    vmdk::Reader::new(Part { file, start, len })
}

/// Where in the archive the disk lies, and its length.
fn find_disk<F: ReadAt>(file: &F) -> Result<(u64, u64)> {
    let mut at = 0;
    while file.size().saturating_sub(at) >= BLOCK {
        let mut header = Header::new_zeroed();
        file.read_at(at, header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|&byte| byte == 0) {
            break;
        }
        let size = header.size().filter(|_| header.is_valid());
        let size = size.ok_or_else(|| corrupt(format!("the archive's header at {at} is damaged")))?;
        let start = at + BLOCK;
        let end = start.checked_add(size).filter(|&end| end <= file.size());
        let end = end.ok_or_else(|| corrupt("the archive is cut off"))?;
        if header.is_regular() && header.name_ends_in(".vmdk") {
            return Ok((start, size));
        }
        at = end.next_multiple_of(BLOCK);
    }
    Err(Error::new(Kind::NotFound, "ova", "there is no .vmdk in it"))
}

/// A file inside another.
pub(in crate::container) struct Part<F> {
    file: F,
    start: u64,
    len: u64,
}

impl<F: ReadAt> ReadAt for Part<F> {
    fn size(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        self.file.read_at(self.start + offset, out)
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "ova", message)
}
