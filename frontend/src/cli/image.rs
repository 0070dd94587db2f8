//! A disk image file from the outside: which container format, how large inside and outside.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Error, Result};

/// The container formats this program makes and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// QEMU's format: sparse and compressed.
    Qcow2,
    /// The plain bytes of the disk.
    Raw,
}

impl Format {
    /// The format a file name's ending asks for.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "qcow2" => Some(Self::Qcow2),
            "raw" | "img" => Some(Self::Raw),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        })
    }
}

/// What can be told of an image file without reading the disk inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Image {
    /// The container format, by its magic bytes.
    pub(crate) format: Format,
    /// What a machine sees, in bytes.
    pub(crate) virtual_size: u64,
    /// What the file takes on its file system (holes are free), in bytes.
    pub(crate) actual_size: u64,
}

/// The first fields of a qcow2 header (QEMU docs/interop/qcow2.rst, "Header").
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Qcow2Header {
    magic: U32,
    version: U32,
    backing_file_offset: U64,

    backing_file_size: U32,
    cluster_bits: U32,
    size: U64,
}
const _: () = assert!(size_of::<Qcow2Header>() == 32);
const _: () = assert!(std::mem::offset_of!(Qcow2Header, size) == 24);

const QCOW2_MAGIC: u32 = u32::from_be_bytes(*b"QFI\xfb");

impl Image {
    /// Looks at the file's metadata and its first bytes.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let place = path.display();
        let refused = |error| Error::user(format!("{place}: cannot be read")).because(error);
        let mut file = File::open(path).map_err(refused)?;
        let metadata = file.metadata().map_err(refused)?;
        if !metadata.is_file() {
            return Err(Error::user(format!("{place}: is not a regular file")));
        }
        let actual_size = metadata.blocks() * 512;
        let raw = Self { format: Format::Raw, virtual_size: metadata.len(), actual_size };
        let mut bytes = [0; size_of::<Qcow2Header>()];
        match file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(raw),
            Err(error) => return Err(refused(error)),
        }
        let header: Qcow2Header = zerocopy::transmute!(bytes);
        if header.magic.get() != QCOW2_MAGIC {
            return Ok(raw);
        }
        Ok(Self { format: Format::Qcow2, virtual_size: header.size.get(), actual_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn formats_are_told_by_magic_not_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.raw");
        let made =
            Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&path).arg("3G").status();
        assert!(made.unwrap().success());
        let image = Image::read(&path).unwrap();
        assert_eq!((image.format, image.virtual_size), (Format::Qcow2, 3 << 30));
        assert!(image.actual_size > 0 && image.actual_size < 1 << 20);

        std::fs::write(&path, b"short").unwrap();
        assert_eq!(Image::read(&path).unwrap().format, Format::Raw);
        assert!(Image::read(dir.path()).unwrap_err().to_string().ends_with("is not a regular file"));
    }

    #[test]
    fn endings_pick_formats() {
        let format = |name: &str| Format::of_name(Path::new(name));
        assert_eq!(format("a.qcow2"), Some(Format::Qcow2));
        assert_eq!(format("a.IMG"), Some(Format::Raw));
        assert_eq!(format("a.raw"), Some(Format::Raw));
        assert_eq!(format("qcow2"), None);
        assert_eq!(format("a.vmdk"), None);
    }
}
