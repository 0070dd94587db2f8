//! Disk files: the container formats an image is written in, and read back from.
//!
//! [`write()`] makes all files of an image in one pass over its contents.

mod blocks;
mod codec;
mod output;
pub mod qcow2;
mod raw;
#[cfg(test)]
mod tests;
mod vdi;
mod vhd;
mod vhdx;

pub use output::Output;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::{self, Image, Run, Sink};
use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;
use crate::seed::Uuid;

/// A container format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// The bytes as they are; zeroes are holes.
    Raw,
    /// QEMU's format, version 3.
    Qcow2,
    /// VirtualBox's format, growing; zero blocks are not stored.
    Vdi,
    /// The fixed disk of Virtual PC and Azure: raw, whole mebibytes long, with a footer.
    Vhd,
    /// Hyper-V's format, growing; zero blocks are not stored.
    Vhdx,
}

impl Format {
    /// Every format.
    pub const ALL: &[Self] = &[Self::Raw, Self::Qcow2, Self::Vdi, Self::Vhd, Self::Vhdx];

    /// Its name: `raw`, `qcow2`, `vdi`, `vhd`, `vhdx`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vdi => "vdi",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
        }
    }

    /// The usual ending of its files, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vdi => "vdi",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
        }
    }

    /// What it is compressed with unless something else is asked.
    pub fn default_compression(self) -> Compression {
        match self {
            Self::Raw | Self::Vdi | Self::Vhd | Self::Vhdx => Compression::None,
            Self::Qcow2 => Compression::Zstd,
        }
    }

    /// The format that the ending of a file name stands for; `img` is raw too.
    pub fn from_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        let known = Self::ALL.iter().copied().find(|format| format.extension() == extension);
        known.or((extension == "img").then_some(Self::Raw))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    /// By its name, or `vpc`, QEMU's for VHD. The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        if name == "vpc" {
            return Ok(Self::Vhd);
        }
        by_name(Self::ALL, Self::name, name)
    }
}

/// How the contents of a container are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// Zstandard: the fast one.
    Zstd,
    /// Deflate: the one that old readers know.
    Zlib,
}

impl Compression {
    /// Every compression.
    pub const ALL: &[Self] = &[Self::None, Self::Zstd, Self::Zlib];

    /// Its name: `none`, `zstd`, `zlib`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
            Self::Zlib => "zlib",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(Self::ALL, Self::name, name)
    }
}

fn by_name<T: Copy>(all: &[T], name_of: fn(T) -> &'static str, name: &str) -> Result<T, String> {
    let names = all.iter().map(|&known| name_of(known));
    let place = names.clone().position(|known| known == name);
    place.map(|place| all[place]).ok_or_else(|| format!("one of {}", names.collect::<Vec<_>>().join(", ")))
}

/// A disk file that is wanted.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub path: PathBuf,
    /// In which format.
    pub format: Format,
    /// Compressed how.
    pub compression: Compression,
    /// The identity of the disk file, for formats that have one.
    pub id: Uuid,
    /// Whether to wait until the disk has it.
    pub sync: bool,
}

/// Write `image` to every target in one pass. A file appears under its name only when it is complete.
///
/// # Errors
/// [`Kind::Unsupported`] for a compression the format has not; whatever the contents and the file
/// systems have to say. On an error no target appears that is not complete.
pub fn write(image: Image<'_>, targets: &[Target], run: &Run<'_>) -> Result<()> {
    let outputs = targets.iter().map(|target| Output::create(&target.path)).collect::<Result<Vec<_>>>()?;
    let sinks: Vec<Box<dyn Sink + '_>> = targets
        .iter()
        .zip(&outputs)
        .map(|(target, output)| sink(image, target, output))
        .collect::<Result<_>>()?;
    engine::run(image, &sinks.iter().map(Box::as_ref).collect::<Vec<_>>(), run)?;
    sinks.iter().try_for_each(|sink| sink.finish())?;
    drop(sinks);
    targets.iter().zip(outputs).try_for_each(|(target, output)| output.persist(target.sync))
}

fn sink<'a>(image: Image<'_>, target: &Target, output: &'a Output) -> Result<Box<dyn Sink + 'a>> {
    if target.format != Format::Qcow2 && target.compression != Compression::None {
        let message = format!("a {} disk can't be compressed with {}", target.format, target.compression);
        return Err(Error::new(Kind::Unsupported, target.path.display().to_string(), message)
            .with_hint("ask for qcow2, or for compression none"));
    }
    Ok(match target.format {
        Format::Raw => Box::new(raw::Writer::new(image.size, output)),
        Format::Qcow2 => Box::new(qcow2::Writer::new(image, target.compression, output)?),
        Format::Vdi => Box::new(blocks::Writer::new(vdi::tables(image.size, target.id)?, output)),
        Format::Vhd => Box::new(vhd::Writer::new(image.size, target.id, output)?),
        Format::Vhdx => Box::new(blocks::Writer::new(vhdx::tables(image.size, target.id)?, output)),
    })
}

/// Open a disk file to read the image in it, whatever its format: told by its magic bytes, not its name.
pub fn open(path: &Path) -> Result<(Format, Box<dyn ReadAt>)> {
    let raw = open_raw(path)?;
    let format = detect(&raw);
    let image: Box<dyn ReadAt> = match format {
        Format::Raw => Box::new(raw),
        Format::Qcow2 => Box::new(qcow2::Reader::new(raw)?),
        Format::Vdi => Box::new(vdi::open(raw)?),
        Format::Vhd => Box::new(vhd::Reader::new(raw)?),
        Format::Vhdx => Box::new(vhdx::open(raw)?),
    };
    Ok((format, image))
}

/// The format of a disk file and the size of the image in it, in bytes; less is needed than to read it.
///
/// # Errors
/// If the file can't be read, or begins as one of the formats and goes on otherwise.
pub fn identify(path: &Path) -> Result<(Format, u64)> {
    let raw = open_raw(path)?;
    match qcow2::virtual_size(&raw) {
        // Even one whose contents can't be read here, as with a backing file.
        Some(size) => Ok((Format::Qcow2, size)),
        None => open(path).map(|(format, image)| (format, image.size())),
    }
}

fn open_raw(path: &Path) -> Result<raw::Reader> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|error| Error::io(&shown, "can't open the disk file", error))?;
    raw::Reader::new(file, shown)
}

fn detect(file: &raw::Reader) -> Format {
    let known = [
        (Format::Qcow2, qcow2::is_qcow2(file)),
        (Format::Vdi, vdi::is_vdi(file)),
        (Format::Vhdx, vhdx::is_vhdx(file)),
        // Last, since the end of another format's file may be the end of a VHD inside it.
        (Format::Vhd, vhd::is_vhd(file)),
    ];
    known.iter().find(|(_, is_so)| *is_so).map_or(Format::Raw, |(format, _)| *format)
}
