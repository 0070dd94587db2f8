//! What a build hands out: the formats an image is written in, files and folders, and read back from.
//!
//! [`write()`] makes all that is wanted of an image in one pass over its contents.

mod archive;
mod blocks;
mod cache;
mod check;
pub mod containerdisk;
mod folder;
mod format;
mod frames;
mod gce;
mod hashed;
pub mod image;
mod iso;
pub mod medium;
mod members;
pub mod microvm;
mod output;
mod ovf;
mod place;
mod placement;
pub mod qcow2;
pub mod rauc;
mod raw;
mod reflink;
pub mod sparse;
mod spill;
mod temporary;
#[cfg(test)]
mod tests;
pub mod update;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;
mod watched;
mod write;

pub use crate::codec::{DEFLATE_LEVEL, ZSTD_LEVEL};
pub use folder::Folder;
pub use format::{Compression, Format, Shape};
pub use medium::Medium;
pub use members::{FileName, Members};
pub use microvm::Microvm;
pub use output::Output;
pub use ovf::{Appliance, OvfFirmware};
pub use qcow2::Base;
pub use update::Update;
pub use watched::open_watched;
pub use write::{Target, stream, write};

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::fs::iso9660;
use crate::read_at::Shared;
use cache::Buffered;

/// The file that a disk lies in: the one that is named, or the one in a folder.
///
/// # Errors
/// [`Kind::NotFound`] for a folder that holds no disk.
pub fn disk_file(path: &Path) -> Result<PathBuf> {
    if update::is_update(path) {
        return Err(update::no_disk(path));
    }
    if microvm::is_microvm(path) {
        return Err(microvm::no_disk(path));
    }
    if medium::is_netboot(path) {
        return Err(medium::no_disk(path));
    }
    if path.is_dir() { ovf::disk_of(path) } else { Ok(path.to_owned()) }
}

/// What the system says of the files of an artifact: of the one that is named, or of those in a folder.
///
/// # Errors
/// If it is neither, or cannot be looked at.
pub fn files(path: &Path) -> Result<Vec<Metadata>> {
    let shown = path.display().to_string();
    let unreadable = |error| Error::io(&shown, "cannot be read", error);
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_file() {
        return Ok(vec![metadata]);
    }
    if !metadata.is_dir() {
        return Err(Error::new(Kind::Input, shown, "is not a regular file"));
    }
    let entries = fs::read_dir(path).map_err(unreadable)?;
    let metadata = entries.map(|entry| entry?.metadata()).collect::<io::Result<Vec<_>>>();
    Ok(metadata.map_err(unreadable)?.into_iter().filter(Metadata::is_file).collect())
}

/// Open a disk to read the image in it, whatever its format: told by the magic bytes of its file, not by its name.
///
/// # Errors
/// [`Kind::Unsupported`] for a compressed stream, which can only be read from front to end; those of [`disk_file()`].
pub fn open(path: &Path) -> Result<(Format, Shared)> {
    if path.is_dir() {
        return Ok((Format::Ovf, Arc::new(vmdk::Reader::new(open_raw(&disk_file(path)?)?)?)));
    }
    let raw = open_raw(path)?;
    let format = detect(&raw);
    let image: Shared = match format {
        Format::Raw => Arc::new(raw),
        Format::Qcow2 => Arc::new(qcow2::Reader::new(raw)?),
        Format::Vdi => Arc::new(vdi::open(raw)?),
        Format::Vhd | Format::VhdDynamic => vhd::open(raw)?,
        Format::ContainerDisk => Arc::new(containerdisk::open(raw)?),
        Format::Vhdx => Arc::new(vhdx::open(raw)?),
        Format::Vmdk => Arc::new(vmdk::Reader::new(raw)?),
        // No single file is told to be one.
        Format::Ova | Format::Ovf => Arc::new(ovf::open(raw)?),
        Format::RawZst | Format::RawGz | Format::Gce => return Err(frames::unreadable(format, path)),
        Format::Update => return Err(update::no_disk(path)),
        Format::Rauc => return Err(rauc::no_disk(path)),
        Format::Placement => return Err(placement::no_disk(path.display().to_string())),
        Format::Microvm | Format::Uki => return Err(microvm::no_disk(path)),
        Format::Iso => Arc::new(iso::open(raw, path)?),
        Format::Netboot => return Err(medium::no_disk(path)),
    };
    Ok((format, image))
}

/// What is wrong with the tables of a disk file, a line each: what a reader of all of the disk would meet, and what
/// lets a machine that writes to one block change another.
///
/// # Errors
/// As [`open()`].
pub fn check(path: &Path) -> Result<Vec<String>> {
    let raw = open_raw(&disk_file(path)?)?;
    let format = detect(&raw);
    let file = Buffered::new(raw);
    Ok(match format {
        Format::Raw => Vec::new(),
        Format::Iso => iso::open(file, path).map(|_| Vec::new())?,
        // Whatever lies below it.
        Format::Qcow2 => qcow2::Reader::tables(file)?.check(),
        Format::ContainerDisk => containerdisk::open(file)?.check(),
        Format::Vdi => vdi::open(file)?.check("vdi"),
        Format::Vhd | Format::VhdDynamic => vhd::check(file)?,
        Format::Vhdx => vhdx::open(file)?.check("vhdx"),
        Format::Vmdk => vmdk::Reader::new(file)?.check(),
        Format::Ova | Format::Ovf => ovf::open(file)?.check(),
        Format::RawZst | Format::RawGz | Format::Gce => return Err(frames::unreadable(format, path)),
        Format::Update => return Err(update::no_disk(path)),
        Format::Rauc => return Err(rauc::no_disk(path)),
        Format::Placement => return Err(placement::no_disk(path.display().to_string())),
        Format::Microvm | Format::Uki => return Err(microvm::no_disk(path)),
        Format::Netboot => return Err(medium::no_disk(path)),
    })
}

/// The format of a disk file and the size of the image in it, in bytes; less is needed than to read it.
///
/// The size is `None` where nothing but unpacking everything would tell it, and where there is no disk.
///
/// # Errors
/// If the file cannot be read, or begins as one of the formats and goes on otherwise.
pub fn identify(path: &Path) -> Result<(Format, Option<u64>)> {
    let told = || open(path).map(|(format, image)| (format, Some(image.size())));
    if update::is_update(path) {
        return Ok((Format::Update, None));
    }
    if microvm::is_microvm(path) {
        return Ok((Format::Microvm, None));
    }
    if medium::is_netboot(path) {
        return Ok((Format::Netboot, None));
    }
    if path.is_dir() {
        return told();
    }
    let raw = open_raw(path)?;
    match detect(&raw) {
        // Even one whose contents cannot be read here, as with a backing file.
        Format::Qcow2 => Ok((Format::Qcow2, qcow2::virtual_size(&raw))),
        format @ (Format::RawZst | Format::RawGz | Format::Rauc | Format::Placement | Format::Uki) => {
            Ok((format, None))
        }
        Format::Gce => Ok((Format::Gce, gce::disk_size(&raw))),
        Format::Iso => Ok((Format::Iso, iso::disk(&raw)?.map(|range| range.end - range.start))),
        _ => told(),
    }
}

fn open_raw(path: &Path) -> Result<raw::Reader> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|error| Error::io(&shown, "cannot open the disk file", error))?;
    raw::Reader::new(file, shown)
}

fn detect(file: &raw::Reader) -> Format {
    let known = [
        (Format::Qcow2, qcow2::is_qcow2(file)),
        (Format::Vdi, vdi::is_vdi(file)),
        (Format::Vhdx, vhdx::is_vhdx(file)),
        (Format::Vmdk, vmdk::is_vmdk(file)),
        (Format::Ova, ovf::is_ova(file)),
        (Format::ContainerDisk, containerdisk::find(file).is_some()),
        (Format::Placement, placement::is_placement(file)),
        (Format::RawZst, frames::is_zstd(file)),
        (Format::Gce, gce::disk_size(file).is_some()),
        (Format::RawGz, frames::is_gzip(file)),
        (Format::Rauc, rauc::is_bundle(file)),
        (Format::Uki, microvm::is_uki(file)),
        (Format::Iso, iso9660::is_iso9660(file)),
    ];
    let told = known.iter().find(|(_, is_so)| *is_so).map(|(format, _)| *format);
    // A VHD last, since the end of another format's file may be the end of a VHD inside it.
    told.or_else(|| vhd::format_of(file)).unwrap_or(Format::Raw)
}
