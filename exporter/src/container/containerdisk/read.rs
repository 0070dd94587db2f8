//! An archive of a container image → the qcow2 disk in it. The file is not trusted.

use tar::Header;

use super::{BLOBS, DIRECTORY};
use crate::container::archive::RECORD;
use crate::container::qcow2;
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, check_range};

/// Members that are looked at: many more than such an archive has.
const MEMBERS_MAX: usize = 1024;

/// A part of a file: from where on, and how many bytes.
#[derive(Clone, Copy)]
pub(in crate::container) struct Part {
    at: u64,
    size: u64,
}

/// The qcow2 file in the first layer that holds one in `disk/`; `None` if the file is something else.
pub(in crate::container) fn find<F: ReadAt>(file: &F) -> Option<Part> {
    let archive = Part { at: 0, size: file.size() };
    let layers = members(file, archive).filter(|(name, _)| name.starts_with(BLOBS.as_bytes()));
    let mut files = layers.flat_map(|(_, layer)| members(file, layer));
    let is_disk = |name: &[u8], part: Part| {
        name.starts_with(DIRECTORY.as_bytes()) && qcow2::is_qcow2(&Disk { file, part })
    };
    files.find(|(name, part)| is_disk(name, *part)).map(|(_, part)| part)
}

/// The disk in an archive that has one.
///
/// # Errors
/// As for a qcow2 file.
pub(in crate::container) fn open<F: ReadAt>(file: F) -> Result<qcow2::Reader<impl ReadAt>> {
    let missing = || Error::new(Kind::Corrupt, "containerdisk", "no layer holds a qcow2 disk");
    let part = find(&file).ok_or_else(missing)?;
    qcow2::Reader::new(Disk { file, part })
}

/// The members of a tar archive, with their names; none if it is something else.
fn members<F: ReadAt>(file: &F, archive: Part) -> impl Iterator<Item = (Vec<u8>, Part)> {
    let end = archive.at + archive.size;
    let mut next = archive.at;
    let members = std::iter::from_fn(move || {
        let mut header = Header::new_old();
        file.read_at(next, header.as_mut_bytes()).ok()?;
        let is_tar = header.as_ustar().is_some() || header.as_gnu().is_some();
        let part = Part { at: next + RECORD, size: header.entry_size().ok().filter(|_| is_tar)? };
        let part_end = part.at.checked_add(part.size).filter(|part_end| *part_end <= end)?;
        next = part_end.checked_next_multiple_of(RECORD)?;
        Some((header.path_bytes().into_owned(), part))
    });
    members.take(MEMBERS_MAX)
}

/// A part of a file, read as a file.
struct Disk<F> {
    file: F,
    part: Part,
}

impl<F: ReadAt> ReadAt for Disk<F> {
    fn size(&self) -> u64 {
        self.part.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        self.file.read_at(self.part.at + offset, out)
    }
}
