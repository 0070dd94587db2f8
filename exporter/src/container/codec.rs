//! Compressors, kept for the next chunk: their tables are dear to set up and not shared by threads.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use libdeflater::{CompressionLvl, Compressor};

use crate::error::{Error, Kind, Result};

/// The zstd level: on blocks of 64 KiB of system files a tenth slower than 1, for 3 % fewer bytes. A qcow2
/// is 1 % larger than qemu-img's, which is of level 3.
const ZSTD_LEVEL: i32 = 2;
/// The deflate level: there a fifth slower than 1, for 5 % fewer bytes, and two thirds faster than 6. A
/// VMDK is 3 % larger than qemu-img's, which is of zlib's level 6; a qcow2 is 3 % smaller.
const DEFLATE_LEVEL: i32 = 2;

/// How a block is written.
#[derive(Clone, Copy)]
pub(super) enum Coding {
    /// As it is.
    Plain,
    /// A zstd frame.
    Zstd,
    /// Raw deflate (RFC 1951).
    Deflate,
    /// Deflate with the header and checksum of zlib (RFC 1950).
    Zlib,
}

enum Codec {
    Zstd(zstd::bulk::Compressor<'static>),
    Deflate(Compressor),
    Zlib(Compressor),
}

/// As many compressors as workers use at once.
pub(super) struct Codecs {
    coding: Coding,
    spare: Mutex<Vec<Codec>>,
}

impl Codecs {
    pub(super) fn new(coding: Coding) -> Self {
        Self { coding, spare: Mutex::new(Vec::new()) }
    }

    /// A compressor for one worker to use on one chunk.
    pub(super) fn lend(&self) -> Result<Lent<'_>> {
        Ok(Lent { codec: self.take()?, home: self })
    }

    fn take(&self) -> Result<Option<Codec>> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match (spare, self.coding) {
            (Some(codec), _) => Ok(Some(codec)),
            (None, Coding::Plain) => Ok(None),
            (None, Coding::Zstd) => {
                let made = zstd::bulk::Compressor::new(ZSTD_LEVEL);
                made.map(|codec| Some(Codec::Zstd(codec)))
                    .map_err(|error| Error::io("", "can't start the zstd compressor", error))
            }
            (None, Coding::Deflate) => Ok(Some(Codec::Deflate(compressor()?))),
            (None, Coding::Zlib) => Ok(Some(Codec::Zlib(compressor()?))),
        }
    }
}

fn compressor() -> Result<Compressor> {
    let level = CompressionLvl::new(DEFLATE_LEVEL);
    level.map(Compressor::new).map_err(|_| Error::new(Kind::Unsupported, "", "no such deflate level"))
}

/// A compressor that goes back to its [`Codecs`] when dropped.
pub(super) struct Lent<'a> {
    /// `None`: nothing is compressed.
    codec: Option<Codec>,
    home: &'a Codecs,
}

impl Lent<'_> {
    /// Bytes that `len` bytes need at most.
    pub(super) fn bound(&mut self, len: usize) -> usize {
        match &mut self.codec {
            None => len,
            Some(Codec::Zstd(_)) => zstd::zstd_safe::compress_bound(len),
            Some(Codec::Deflate(codec)) => codec.deflate_compress_bound(len),
            Some(Codec::Zlib(codec)) => codec.zlib_compress_bound(len),
        }
    }

    /// Append `bytes` compressed to `packed`; where they lie there, or `None` if that takes more than
    /// `limit` bytes.
    pub(super) fn pack(&mut self, bytes: &[u8], limit: usize, packed: &mut Vec<u8>) -> Option<Range<usize>> {
        let codec = self.codec.as_mut()?;
        let start = packed.len();
        packed.resize(start + limit, 0);
        let len = codec.compress(bytes, &mut packed[start..]);
        packed.truncate(start + len.unwrap_or(0));
        len.map(|len| start..start + len)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut spare = self.home.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.extend(self.codec.take());
    }
}

impl Codec {
    /// Bytes of `out` that hold `bytes` compressed; `None` if they are too few.
    fn compress(&mut self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Zstd(codec) => codec.compress_to_buffer(bytes, out).ok(),
            Self::Deflate(codec) => codec.deflate_compress(bytes, out).ok(),
            Self::Zlib(codec) => codec.zlib_compress(bytes, out).ok(),
        }
    }
}
