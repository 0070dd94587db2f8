//! A disk image file from the outside: which container format, how large inside and outside.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use exporter::container::Format;
use serde::{Serialize, Serializer};
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Error, Result};

/// What can be told of an image file without reading the disk inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Image {
    /// The container format, by its magic bytes.
    #[serde(serialize_with = "serialize_format")]
    pub(crate) format: Format,
    /// What a machine sees, in bytes.
    pub(crate) virtual_size: u64,
    /// What the file takes on its file system (holes are free), in bytes.
    pub(crate) actual_size: u64,
}

fn serialize_format<S: Serializer>(format: &Format, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(format.name())
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
}
