//! How a stream is compressed, told by its first bytes, and how it is decoded.

use std::io::{BufReader, Error, ErrorKind, Read, Result};

use flate2::bufread::MultiGzDecoder;

use super::Section;

/// Stored bytes that are read at once.
const BUFFER: usize = 256 << 10;

/// How a stream is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// As it is.
    None,
    /// RFC 1952, of any number of members.
    Gzip,
    /// RFC 8878, of any number of frames.
    Zstd,
}

impl Compression {
    /// What the first bytes say; media types and names of files are often wrong.
    pub(crate) fn detect(section: &Section) -> Result<Self> {
        let mut magic = [0; 6];
        let len = section.len().min(magic.len() as u64) as usize;
        section.read_exact_at(0, &mut magic[..len])?;
        match magic {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            // A skippable frame, which some put first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(unsupported("xz")),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => Err(unsupported("bzip2")),
            _ => Ok(Self::None),
        }
    }

    /// The stream itself, out of what is stored.
    pub(crate) fn decoder<'a>(self, stored: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::None => Box::new(BufReader::with_capacity(BUFFER, stored)),
            Self::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, stored))),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER, stored))?),
        })
    }
}

fn unsupported(name: &str) -> Error {
    let message = format!("it is compressed with {name}, only gzip and zstd can be read");
    Error::new(ErrorKind::Unsupported, message)
}
