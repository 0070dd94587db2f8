//! A fixed VHD → the bytes of the disk, for `inspect`. The file is not trusted.

use zerocopy::{FromZeros, IntoBytes};

use super::format::Footer;
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, check_range};

/// Whether a file ends as a VHD does.
pub(in crate::container) fn is_vhd<F: ReadAt + ?Sized>(file: &F) -> bool {
    read_footer(file).is_ok_and(|footer| footer.cookie == Footer::COOKIE)
}

fn read_footer<F: ReadAt + ?Sized>(file: &F) -> Result<Footer> {
    let mut footer = Footer::new_zeroed();
    file.read_at(file.size().saturating_sub(Footer::SIZE), footer.as_mut_bytes())?;
    Ok(footer)
}

/// The disk in a fixed VHD.
pub(in crate::container) struct Reader<F> {
    file: F,
    size: u64,
}

impl<F: ReadAt> Reader<F> {
    /// Read the footer.
    ///
    /// # Errors
    /// [`Kind::Corrupt`], and [`Kind::Unsupported`] for disks that are not fixed.
    pub(in crate::container) fn new(file: F) -> Result<Self> {
        let footer = read_footer(&file)?;
        let corrupt = |message: &str| Err(Error::new(Kind::Corrupt, "vhd", message));
        if footer.cookie != Footer::COOKIE || footer.checksum.get() != footer.computed_checksum() {
            return corrupt("the checksum of the footer is wrong");
        }
        if footer.disk_type.get() != Footer::FIXED {
            let message = "dynamic and differencing disks can't be read";
            return Err(Error::new(Kind::Unsupported, "vhd", message));
        }
        let size = footer.current_size.get();
        if size > file.size() - Footer::SIZE {
            return corrupt("the file is shorter than its disk");
        }
        Ok(Self { file, size })
    }
}

impl<F: ReadAt> ReadAt for Reader<F> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        self.file.read_at(offset, out)
    }
}
