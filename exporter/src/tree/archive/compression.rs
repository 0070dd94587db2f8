//! How a stream is compressed, told by its first bytes, and how it is decoded.

use std::io::{BufReader, Error, ErrorKind, Read, Result};

use flate2::bufread::MultiGzDecoder;

use super::Section;
use crate::error::show_size;
use crate::limits::{USUAL_WINDOW, WINDOWS};

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
    Zstd {
        /// The binary logarithm of the largest window that a frame may have.
        window_log: u32,
    },
}

impl Compression {
    /// What the first bytes say; media types and names of files are often wrong.
    pub(crate) fn detect(section: &Section) -> Result<Self> {
        let mut magic = [0; 6];
        let len = section.len().min(magic.len() as u64) as usize;
        section.read_exact_at(0, &mut magic[..len])?;
        match magic {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A skippable frame is what some put first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => zstd_of(section),
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
            Self::Zstd { window_log } => {
                let mut decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER, stored))?;
                decoder.window_log_max(window_log)?;
                Box::new(decoder)
            }
        })
    }

    /// Bytes of memory that a decoder takes.
    pub(crate) fn window(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Gzip => 2 * BUFFER as u64,
            Self::Zstd { window_log } => 1 << window_log,
        }
    }
}

/// A stream of zstd whose frames have the window of the first one, or a usual one.
fn zstd_of(section: &Section) -> Result<Compression> {
    let window = first_window(section)?;
    if window > WINDOWS {
        let message = format!(
            "it is compressed with a window of {}, {} can be read: compress it again, without --long",
            show_size(window),
            show_size(WINDOWS)
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let allowed = if window > USUAL_WINDOW { WINDOWS } else { USUAL_WINDOW };
    Ok(Compression::Zstd { window_log: allowed.ilog2() })
}

/// The window of the first frame that holds something; 0 if there is none.
fn first_window(section: &Section) -> Result<u64> {
    let mut at = 0;
    loop {
        let mut header = [0; 14];
        let len = section.len().saturating_sub(at).min(header.len() as u64) as usize;
        section.read_exact_at(at, &mut header[..len])?;
        match header {
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, ..] => {
                at += 8 + u64::from(u32::from_le_bytes([a, b, c, d]))
            }
            [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] => return Ok(window(descriptor, rest)),
            _ => return Ok(0),
        }
    }
}

/// The window in a frame header (RFC 8878, 3.1.1.1): it is told, or is all that the frame holds.
fn window(descriptor: u8, rest: [u8; 9]) -> u64 {
    if descriptor & 0x20 == 0 {
        let base = 1 << (10 + (rest[0] >> 3));
        return base + base / 8 * u64::from(rest[0] & 7);
    }
    let start = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = |len: usize| {
        let mut bytes = [0; 8];
        let field = rest.iter().skip(start).take(len);
        bytes.iter_mut().zip(field).for_each(|(byte, read)| *byte = *read);
        u64::from_le_bytes(bytes)
    };
    match descriptor >> 6 {
        0 => size(1),
        1 => size(2) + 256,
        2 => size(4),
        _ => size(8),
    }
}

fn unsupported(name: &str) -> Error {
    let message = format!("it is compressed with {name}, only gzip and zstd can be read");
    Error::new(ErrorKind::Unsupported, message)
}
