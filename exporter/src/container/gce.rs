//! What Google Compute Engine imports: a gzipped tar archive whose one member is the raw disk.
//! Source: Google Cloud, "Manually import boot disks": the file is named `disk.raw`, its size is a
//! multiple of 1 GiB, and the archive is made by `tar --format=oldgnu`, then gzip.

use std::io::Read;

use flate2::read::GzDecoder;
use tar::{EntryType, Header};

use super::codec::Coding;
use super::frames::{self, Around};
use super::place::Place;
use crate::error::Result;
use crate::read_at::ReadAt;

const NAME: &[u8] = b"disk.raw";
/// Bytes of a header, and what members are padded to.
const RECORD: usize = size_of::<Header>();
/// Two records of zeroes end an archive.
const END: usize = 2 * RECORD;

/// Writes the archive of a disk of `size` bytes, a multiple of 1 GiB.
pub(super) fn writer(size: u64, place: &dyn Place) -> Result<frames::Writer<'_>> {
    let around = Around { before: header(size).as_bytes().to_vec(), behind: vec![0; END] };
    frames::Writer::new(size, Coding::Gzip, around, place)
}

/// A size above 8 GiB, which the octal digits have no room for, is written in binary, as GNU tar does.
fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..NAME.len()].copy_from_slice(NAME);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_cksum();
    header
}

/// The size of the disk in such an archive; `None` if the file is something else.
pub(super) fn disk_size<F: ReadAt>(file: &F) -> Option<u64> {
    // The first member of the archive begins in the first bytes, whoever packed it.
    let mut packed = vec![0; file.size().min(64 << 10) as usize];
    file.read_at(0, &mut packed).ok()?;
    let mut header = Header::new_old();
    GzDecoder::new(&packed[..]).take(RECORD as u64).read_exact(header.as_mut_bytes()).ok()?;
    let gnu = header.as_gnu().filter(|gnu| gnu.name.starts_with(NAME) && gnu.name[NAME.len()] == 0)?;
    // `tar -S` leaves holes out and keeps the size in another field.
    if header.entry_type() == EntryType::GNUSparse { gnu.real_size().ok() } else { header.size().ok() }
}
