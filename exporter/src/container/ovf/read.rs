//! An OVA → the bytes of its first disk, for `inspect`. The file is not trusted.

use std::ops::Range;

use crate::container::archive::members;
use crate::container::vmdk;
use crate::error::{Error, Kind, Result};
use crate::read_at::{Part, ReadAt};

/// Whether a file is an archive that begins with a descriptor, as every OVA does.
pub(in crate::container) fn is_ova<F: ReadAt>(file: &F) -> bool {
    members(file).next().is_some_and(|first| first.is_ok_and(|member| member.ends_in(".ovf")))
}

/// The first disk of an OVA.
///
/// # Errors
/// [`Kind::Corrupt`], [`Kind::NotFound`] if there is no VMDK, and those of the VMDK.
pub(in crate::container) fn open<F: ReadAt>(file: F) -> Result<vmdk::Reader<Part<F>>> {
    let disk = find_disk(&file)?;
    vmdk::Reader::new(Part::new(file, disk))
}

/// Where in the archive the disk lies.
fn find_disk<F: ReadAt>(file: &F) -> Result<Range<u64>> {
    for member in members(file) {
        let member = member?;
        if member.is_file && member.ends_in(".vmdk") {
            return Ok(member.content);
        }
    }
    Err(Error::new(Kind::NotFound, "ova", "there is no .vmdk in it"))
}
