//! Compressors, kept for the next chunk: their tables are dear to set up and not shared by threads.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use flate2::{Compress, FlushCompress, Status};
use libdeflater::{CompressionLvl, Compressor};

use super::Compression;
use crate::error::{Error, Kind, Result};

/// The zstd level: on blocks of 64 KiB of system files a third faster than 3, for 3 % more bytes.
const ZSTD_LEVEL: i32 = 1;
/// The deflate level: there twice as fast as 6, for 8 % more bytes.
const DEFLATE_LEVEL: i32 = 1;
/// The level of deflate with a small window: on blocks of 64 KiB of system files half as fast as 1, for
/// 18 % fewer bytes; 6 is slower by another tenth, for 1 % fewer.
const STRICT_LEVEL: u32 = 3;
/// The window of 4 KiB that QEMU itself packs with and asks its inflater for (block/qcow2-threads.c).
const STRICT_WINDOW_BITS: u8 = 12;

enum Codec {
    Zstd(zstd::bulk::Compressor<'static>),
    Deflate(Compressor),
    Gzip(Compressor),
    Strict(Compress),
}

/// As many compressors as workers use at once.
pub(super) struct Codecs {
    compression: Compression,
    /// Whether what is made stands alone.
    framed: bool,
    spare: Mutex<Vec<Codec>>,
}

impl Codecs {
    /// For parts of a disk file that says itself what they are: a zstd frame, bare deflate.
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, framed: false, spare: Mutex::new(Vec::new()) }
    }

    /// For files of their own, with a checksum: a zstd frame, a gzip member.
    pub(super) fn framed(compression: Compression) -> Self {
        Self { framed: true, ..Self::new(compression) }
    }

    /// A compressor for one worker to use on one chunk.
    pub(super) fn lend(&self) -> Result<Lent<'_>> {
        Ok(Lent { codec: self.take()?, home: self })
    }

    fn take(&self) -> Result<Option<Codec>> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match (spare, self.compression) {
            (Some(codec), _) => Ok(Some(codec)),
            (None, Compression::None) => Ok(None),
            (None, Compression::Zstd) => {
                let made = zstd::bulk::Compressor::new(ZSTD_LEVEL).and_then(|mut codec| {
                    codec.include_checksum(self.framed)?;
                    Ok(Some(Codec::Zstd(codec)))
                });
                made.map_err(|error| Error::io("", "can't start the zstd compressor", error))
            }
            (None, Compression::Zlib) => {
                let level = CompressionLvl::new(DEFLATE_LEVEL);
                let level = level.map_err(|_| Error::new(Kind::Unsupported, "", "no such deflate level"))?;
                let codec = Compressor::new(level);
                Ok(Some(if self.framed { Codec::Gzip(codec) } else { Codec::Deflate(codec) }))
            }
            (None, Compression::ZlibStrict) => {
                let level = flate2::Compression::new(STRICT_LEVEL);
                Ok(Some(Codec::Strict(Compress::new_with_window_bits(level, false, STRICT_WINDOW_BITS))))
            }
        }
    }
}

/// A compressor that goes back to its [`Codecs`] when dropped.
pub(super) struct Lent<'a> {
    /// `None`: nothing is compressed.
    codec: Option<Codec>,
    home: &'a Codecs,
}

impl Lent<'_> {
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
            // Without a time and a name, and of an unknown system: the same bytes everywhere.
            Self::Gzip(codec) => codec.gzip_compress(bytes, out).ok(),
            Self::Strict(codec) => {
                codec.reset();
                let status = codec.compress(bytes, out, FlushCompress::Finish).ok()?;
                (status == Status::StreamEnd).then_some(codec.total_out() as usize)
            }
        }
    }
}
