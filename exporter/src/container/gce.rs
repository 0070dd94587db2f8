//! What Google Compute Engine imports: a gzipped tar archive whose one member is the raw disk.
//! Source: Google Cloud, "Manually import boot disks": the file is named `disk.raw`, its size is a
//! multiple of 1 GiB, and the archive is made by `tar --format=oldgnu`, then gzip.
//!
//! A strict reader wants (that page, and "Image management best practices"):
//! - one member, `disk.raw`, with no folder before its name;
//! - a header of the old GNU form, in which sizes from 8 GiB are binary, and no extended header before it;
//! - a disk of whole GiB, since disks are made from it in that unit;
//! - an MBR or a GPT in it, with a partition that boots.

use std::io::Read;

use flate2::read::GzDecoder;
use tar::{EntryType, Header};

use super::archive::{self, Access, END, RECORD};
use super::frames::{self, Around};
use super::place::Place;
use crate::codec::Coding;
use crate::error::Result;
use crate::read_at::ReadAt;

const NAME: &str = "disk.raw";

/// Writes the archive of a disk of `size` bytes, a multiple of 1 GiB.
pub(super) fn writer(size: u64, place: &dyn Place) -> Result<frames::Writer<&dyn Place>> {
    let header = archive::file(NAME, Access { mode: 0o644, owner: 0 }, size);
    let around = Around { before: header.as_bytes().to_vec(), behind: vec![0; END as usize] };
    frames::Writer::new(size, Coding::Gzip, around, place)
}

/// The size of the disk in such an archive; `None` if the file is something else.
pub(super) fn disk_size<F: ReadAt>(file: &F) -> Option<u64> {
    // The first member of the archive begins in the first bytes, whoever packed it.
    let mut packed = vec![0; file.size().min(64 << 10) as usize];
    file.read_at(0, &mut packed).ok()?;
    let mut header = Header::new_old();
    GzDecoder::new(&packed[..]).take(RECORD).read_exact(header.as_mut_bytes()).ok()?;
    let gnu = header.as_gnu().filter(|_| *header.path_bytes() == *NAME.as_bytes())?;
    // `tar -S` leaves holes out and keeps the size in another field.
    if header.entry_type() == EntryType::GNUSparse { gnu.real_size().ok() } else { header.size().ok() }
}
