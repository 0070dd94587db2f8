//! Disk files: the container formats an image is written in, and read back from.
//!
//! [`write()`] makes all files of an image in one pass over its contents.

mod archive;
mod blocks;
mod cache;
mod check;
mod codec;
pub mod containerdisk;
mod format;
mod frames;
mod gce;
mod output;
mod ovf;
mod place;
pub mod qcow2;
mod raw;
mod reflink;
pub mod sparse;
#[cfg(test)]
mod tests;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

pub use codec::{DEFLATE_LEVEL, ZSTD_LEVEL};
pub use format::{Compression, Format};
pub use output::Output;
pub use ovf::{Appliance, Firmware};

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{self, Image, Run, Sink};
use crate::error::{Error, Kind, Result, show_size};
use crate::read_at::Shared;
use crate::seed::Uuid;
use cache::Buffered;
use codec::Coding;
use frames::Around;
use place::{Lasting, Pipe, Place};

/// A disk file that is wanted.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where; of a pipe, its name in messages.
    pub path: PathBuf,
    /// In which format.
    pub format: Format,
    /// Compressed how.
    pub compression: Compression,
    /// The identity of the disk file, for formats that have one.
    pub id: Uuid,
    /// The machine it is for, for formats that tell.
    pub appliance: Appliance,
    /// Whether it is written as a [`sparse`] stream of itself, to be unpacked elsewhere. Not for formats that read
    /// again what they have written.
    pub sparse: bool,
}

impl Target {
    /// The file, or the stream of it.
    fn create(&self) -> Result<Box<dyn Lasting>> {
        let output = Output::create(&self.path)?;
        Ok(if self.sparse { Box::new(sparse::Writer::new(output)?) } else { Box::new(output) })
    }
}

/// Make every target of `image` in one pass.
///
/// # Errors
/// [`Kind::Unsupported`] for a compression that a format lacks; whatever the extents' files and the file
/// systems have to say. On an error no target appears that is not complete.
pub fn write(image: Image<'_>, targets: &[Target], run: &Run<'_>) -> Result<()> {
    let files = targets.iter().map(Target::create).collect::<Result<Vec<_>>>()?;
    let sinks: Vec<Box<dyn Sink + '_>> = targets
        .iter()
        .zip(&files)
        .map(|(target, file)| sink(image, target, &**file))
        .collect::<Result<_>>()?;
    engine::run(image, &sinks.iter().map(Box::as_ref).collect::<Vec<_>>(), run)?;
    sinks.iter().try_for_each(|sink| sink.finish())?;
    drop(sinks);
    files.into_iter().try_for_each(Lasting::complete)
}

/// Make one disk file of `image` and send it into a pipe, from front to end.
///
/// # Errors
/// As [`write()`], and [`Kind::Unsupported`] for a format whose writer has to go back.
pub fn stream(image: Image<'_>, target: &Target, to: &mut (dyn Write + Send), run: &Run<'_>) -> Result<()> {
    if !target.format.streams() {
        let message = format!("a {} disk cannot be written to a pipe", target.format);
        let can: Vec<_> =
            Format::ALL.iter().filter(|format| format.streams()).map(|format| format.name()).collect();
        return Err(Error::new(Kind::Unsupported, target.path.display().to_string(), message)
            .with_hint(format!("name a file, or ask for one of {}", can.join(", "))));
    }
    let pipe = Pipe::new(to);
    let sink = sink(image, target, &pipe)?;
    engine::run(image, &[&*sink], run)?;
    sink.finish()?;
    drop(sink);
    pipe.finish()
}

fn sink<'a>(image: Image<'_>, target: &'a Target, place: &'a dyn Place) -> Result<Box<dyn Sink + 'a>> {
    let Target { format, compression, id, .. } = *target;
    if !format.compressions().contains(&compression) {
        let message = match compression {
            Compression::None => format!("a {format} disk is always compressed"),
            _ => format!("a {format} disk cannot be compressed with {compression}"),
        };
        let can: Vec<_> = format.compressions().iter().map(|known| known.name()).collect();
        return Err(Error::new(Kind::Unsupported, target.path.display().to_string(), message)
            .with_hint(format!("leave the compression out, or ask for {}", can.join(", "))));
    }
    let unit = format.size_unit();
    if !image.size.is_multiple_of(unit) {
        let message = format!("a {format} disk is a multiple of {} large", show_size(unit));
        return Err(Error::new(Kind::Unsupported, target.path.display().to_string(), message).with_hint(
            format!("make the disk {} bytes large", image.size.saturating_add(unit) / unit * unit),
        ));
    }
    Ok(match format {
        Format::Raw => Box::new(raw::Writer::new(image.size, place)),
        Format::Qcow2 => Box::new(qcow2::Writer::new(image, compression, place)?),
        Format::Vdi => Box::new(blocks::Writer::new(vdi::tables(image.size, id)?, place)),
        Format::Vhd => Box::new(vhd::Writer::new(image.size, id, place)?),
        Format::VhdDynamic => Box::new(vhd::dynamic::Writer::new(image.size, id, place)?),
        Format::Vhdx => Box::new(blocks::Writer::new(vhdx::tables(image.size, id)?, place)),
        Format::Vmdk => Box::new(vmdk::Writer::new(image.size, id, place)?),
        Format::Ova => Box::new(ovf::Writer::new(image.size, id, &target.appliance, place)?),
        Format::RawZst => {
            Box::new(frames::Writer::new(image.size, Coding::CheckedZstd, Around::default(), place)?)
        }
        Format::RawGz => Box::new(frames::Writer::new(image.size, Coding::Gzip, Around::default(), place)?),
        Format::Gce => Box::new(gce::writer(image.size, place)?),
        Format::ContainerDisk => {
            Box::new(containerdisk::Writer::new(image, compression, &target.appliance, place)?)
        }
    })
}

/// Open a disk file to read the image in it, whatever its format: told by its magic bytes, not its name.
///
/// # Errors
/// [`Kind::Unsupported`] for a compressed stream, which can only be read from front to end.
pub fn open(path: &Path) -> Result<(Format, Shared)> {
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
        Format::Ova => Arc::new(ovf::open(raw)?),
        Format::RawZst | Format::RawGz | Format::Gce => return Err(frames::unreadable(format, path)),
    };
    Ok((format, image))
}

/// What is wrong with the tables of a disk file, a line each: what a reader of all of the disk would meet, and what
/// lets a machine that writes to one block change another.
///
/// # Errors
/// As [`open()`].
pub fn check(path: &Path) -> Result<Vec<String>> {
    let raw = open_raw(path)?;
    let format = detect(&raw);
    let file = Buffered::new(raw);
    Ok(match format {
        Format::Raw => Vec::new(),
        Format::Qcow2 => qcow2::Reader::new(file)?.check(),
        Format::ContainerDisk => containerdisk::open(file)?.check(),
        Format::Vdi => vdi::open(file)?.check("vdi"),
        Format::Vhd | Format::VhdDynamic => vhd::check(file)?,
        Format::Vhdx => vhdx::open(file)?.check("vhdx"),
        Format::Vmdk => vmdk::Reader::new(file)?.check(),
        Format::Ova => ovf::open(file)?.check(),
        Format::RawZst | Format::RawGz | Format::Gce => return Err(frames::unreadable(format, path)),
    })
}

/// The format of a disk file and the size of the image in it, in bytes; less is needed than to read it.
///
/// The size is `None` where nothing but unpacking everything would tell it.
///
/// # Errors
/// If the file cannot be read, or begins as one of the formats and goes on otherwise.
pub fn identify(path: &Path) -> Result<(Format, Option<u64>)> {
    let raw = open_raw(path)?;
    match detect(&raw) {
        // Even one whose contents cannot be read here, as with a backing file.
        Format::Qcow2 => Ok((Format::Qcow2, qcow2::virtual_size(&raw))),
        format @ (Format::RawZst | Format::RawGz) => Ok((format, None)),
        Format::Gce => Ok((Format::Gce, gce::disk_size(&raw))),
        _ => open(path).map(|(format, image)| (format, Some(image.size()))),
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
        (Format::RawZst, frames::is_zstd(file)),
        (Format::Gce, gce::disk_size(file).is_some()),
        (Format::RawGz, frames::is_gzip(file)),
    ];
    let told = known.iter().find(|(_, is_so)| *is_so).map(|(format, _)| *format);
    // A VHD last, since the end of another format's file may be the end of a VHD inside it.
    told.or_else(|| vhd::format_of(file)).unwrap_or(Format::Raw)
}
