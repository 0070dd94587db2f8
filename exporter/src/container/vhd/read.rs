//! A VHD → the bytes of the disk, for `inspect`. The file is not trusted.

use std::sync::Arc;

use zerocopy::{FromZeros, IntoBytes};

use super::dynamic::Dynamic;
use super::format::Footer;
use crate::container::Format;
use crate::container::blocks;
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, Shared, check_range};

/// The format of a file that ends as a VHD does.
pub(in crate::container) fn format_of<F: ReadAt>(file: &F) -> Option<Format> {
    let footer = read_footer(file).ok().filter(|footer| footer.cookie == Footer::COOKIE)?;
    Some(if footer.disk_type.get() == Footer::DYNAMIC { Format::VhdDynamic } else { Format::Vhd })
}

fn read_footer<F: ReadAt>(file: &F) -> Result<Footer> {
    let mut footer = Footer::new_zeroed();
    file.read_at(file.size().saturating_sub(Footer::SIZE), footer.as_mut_bytes())?;
    Ok(footer)
}

/// The disk in a VHD.
///
/// # Errors
/// [`Kind::Corrupt`], and [`Kind::Unsupported`] for disks that are neither fixed nor dynamic.
pub(in crate::container) fn open<F: ReadAt + Send + Sync + 'static>(file: F) -> Result<Shared> {
    let footer = read_footer(&file)?;
    if footer.cookie != Footer::COOKIE || footer.checksum.get() != footer.computed_checksum() {
        return Err(Error::new(Kind::Corrupt, "vhd", "the checksum of the footer is wrong"));
    }
    match footer.disk_type.get() {
        Footer::FIXED => Ok(Arc::new(Fixed::new(file, footer.current_size.get())?)),
        Footer::DYNAMIC => {
            let map = Dynamic::read(&file, &footer)?;
            Ok(Arc::new(blocks::Reader::new(file, map)))
        }
        _ => Err(Error::new(Kind::Unsupported, "vhd", "differencing disks can't be read")),
    }
}

/// The disk in a fixed VHD: the bytes in front of the footer.
struct Fixed<F> {
    file: F,
    size: u64,
}

impl<F: ReadAt> Fixed<F> {
    fn new(file: F, size: u64) -> Result<Self> {
        if size > file.size() - Footer::SIZE {
            return Err(Error::new(Kind::Corrupt, "vhd", "the file is shorter than its disk"));
        }
        Ok(Self { file, size })
    }
}

impl<F: ReadAt> ReadAt for Fixed<F> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        self.file.read_at(offset, out)
    }
}
