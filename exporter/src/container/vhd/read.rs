//! A VHD → the bytes of the disk, for `inspect`. The file is not trusted.

use std::sync::Arc;

use zerocopy::{FromZeros, IntoBytes};

use super::dynamic::Dynamic;
use super::format::Footer;
use crate::container::Format;
use crate::container::blocks;
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, Shared, check_range};

/// The format of a file that ends as a VHD does, or begins as a dynamic one.
pub(in crate::container) fn format_of<F: ReadAt>(file: &F) -> Option<Format> {
    let footer = Footers::read(file).any()?;
    Some(if footer.disk_type.get() == Footer::FIXED { Format::Vhd } else { Format::VhdDynamic })
}

/// The footer at the end of a file, and the copy that a dynamic disk has at its start; of those that are there.
struct Footers {
    end: Option<Footer>,
    start: Option<Footer>,
}

impl Footers {
    fn read<F: ReadAt>(file: &F) -> Self {
        let at = |offset| {
            let mut footer = Footer::new_zeroed();
            file.read_at(offset, footer.as_mut_bytes()).ok()?;
            Some(footer).filter(|footer| footer.cookie == Footer::COOKIE)
        };
        let end = file.size().checked_sub(Footer::SIZE).and_then(at);
        Self { end, start: at(0) }
    }

    fn whole(self) -> Self {
        let whole = |footer: Option<Footer>| footer.filter(|footer| footer.is_whole());
        Self { end: whole(self.end), start: whole(self.start) }
    }

    /// One of them, whole if one is.
    fn any(self) -> Option<Footer> {
        let damaged = self.end.clone().or_else(|| self.start.clone());
        let Self { end, start } = self.whole();
        end.or(start).or(damaged)
    }

    /// What is wrong with those of a dynamic disk.
    fn problem(self) -> Option<&'static str> {
        match self.whole() {
            Self { end: None, .. } => {
                Some("the footer is damaged, its copy at the start of the file was read")
            }
            Self { start: None, .. } => Some("the copy of the footer at the start of the file is damaged"),
            Self { end: Some(end), start: Some(start) } => {
                (end.as_bytes() != start.as_bytes()).then_some("the footer and its copy differ")
            }
        }
    }
}

/// The disk in a VHD.
///
/// # Errors
/// [`Kind::Corrupt`], and [`Kind::Unsupported`] for disks that are neither fixed nor dynamic.
pub(in crate::container) fn open<F: ReadAt + Send + Sync + 'static>(file: F) -> Result<Shared> {
    let footer = footer(&file)?;
    match footer.disk_type.get() {
        Footer::FIXED => Ok(Arc::new(Fixed::new(file, footer.current_size.get())?)),
        _ => Ok(Arc::new(dynamic(file, &footer)?)),
    }
}

/// What is wrong with the footers and tables of a VHD.
///
/// # Errors
/// As [`open()`].
pub(in crate::container) fn check<F: ReadAt>(file: F) -> Result<Vec<String>> {
    let footer = footer(&file)?;
    match footer.disk_type.get() {
        // The bytes as they are, and all of the footer is under its checksum.
        Footer::FIXED => Fixed::new(file, footer.current_size.get()).map(|_| Vec::new()),
        _ => dynamic(file, &footer).map(|disk| disk.check("vhd")),
    }
}

fn footer<F: ReadAt>(file: &F) -> Result<Footer> {
    let footer = Footers::read(file).any().filter(Footer::is_whole);
    footer.ok_or_else(|| Error::new(Kind::Corrupt, "vhd", "the checksum of the footer is wrong"))
}

fn dynamic<F: ReadAt>(file: F, footer: &Footer) -> Result<blocks::Reader<F, Dynamic>> {
    if footer.disk_type.get() != Footer::DYNAMIC {
        return Err(Error::new(Kind::Unsupported, "vhd", "differencing disks cannot be read"));
    }
    let map = Dynamic::read(&file, footer, Footers::read(&file).problem())?;
    Ok(blocks::Reader::new(file, map))
}

/// The disk in a fixed VHD: the bytes in front of the footer.
struct Fixed<F> {
    file: F,
    size: u64,
}

impl<F: ReadAt> Fixed<F> {
    fn new(file: F, size: u64) -> Result<Self> {
        if file.size().checked_sub(Footer::SIZE).is_none_or(|there| size > there) {
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
