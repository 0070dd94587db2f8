//! Compressors, kept for the next chunk: their tables are dear to set up and not shared by threads.
//!
//! Of containers, and of file systems.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use flate2::{Compress, FlushCompress, Status};
use libdeflater::{CompressionLvl, Compressor};

use crate::error::{Error, Kind, Result};

/// The zstd level: on blocks of 64 KiB of system files a tenth slower than 1, for 3 % fewer bytes. A qcow2
/// is 1 % larger than qemu-img's, which is of level 3.
pub const ZSTD_LEVEL: i32 = 2;
/// The deflate level: there a fifth slower than 1, for 5 % fewer bytes, and two thirds faster than 6. A
/// VMDK is 3 % larger than qemu-img's, which is of zlib's level 6; a qcow2 is 3 % smaller.
pub const DEFLATE_LEVEL: i32 = 2;
/// The level of deflate with a small window: there half as fast as 1, for 18 % fewer bytes; 6 is slower by
/// another tenth, for 1 % fewer.
const STRICT_LEVEL: u32 = 3;
/// The window of 4 KiB that QEMU itself packs with and asks its inflater for (block/qcow2-threads.c).
const STRICT_WINDOW_BITS: u8 = 12;
/// The level of deflate that is flushed: the least that stores what would become larger.
const FLUSHED_LEVEL: u32 = 3;

/// How a block is written.
#[derive(Clone, Copy)]
pub(crate) enum Coding {
    /// As it is.
    Plain,
    /// An LZ4 block, without a frame.
    Lz4,
    /// A zstd frame.
    Zstd,
    /// A zstd frame with a checksum.
    CheckedZstd,
    /// Raw deflate (RFC 1951).
    Deflate,
    /// The same without a reference further back than 4 KiB.
    StrictDeflate,
    /// Deflate without a last block, which ends at a whole byte: another one may go on from there.
    FlushedDeflate,
    /// Deflate with the header and checksum of zlib (RFC 1950).
    Zlib,
    /// A gzip member (RFC 1952).
    Gzip,
}

enum Codec {
    /// Room for whatever the block becomes: it cannot be told to stop.
    Lz4(Vec<u8>),
    Zstd(zstd::bulk::Compressor<'static>),
    Deflate(Compressor),
    Zlib(Compressor),
    Gzip(Compressor),
    /// With how it ends.
    Stream(Compress, FlushCompress),
}

/// As many compressors as workers use at once.
pub(crate) struct Codecs {
    coding: Coding,
    spare: Mutex<Vec<Codec>>,
}

impl Codecs {
    pub(crate) fn new(coding: Coding) -> Self {
        Self { coding, spare: Mutex::new(Vec::new()) }
    }

    /// A compressor for one worker to use on one chunk.
    pub(crate) fn lend(&self) -> Result<Lent<'_>> {
        Ok(Lent { codec: self.take()?, home: self })
    }

    fn take(&self) -> Result<Option<Codec>> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match (spare, self.coding) {
            (Some(codec), _) => Ok(Some(codec)),
            (None, Coding::Plain) => Ok(None),
            (None, Coding::Lz4) => Ok(Some(Codec::Lz4(Vec::new()))),
            (None, Coding::Zstd) => Ok(Some(Codec::Zstd(zstd_compressor(false)?))),
            (None, Coding::CheckedZstd) => Ok(Some(Codec::Zstd(zstd_compressor(true)?))),
            (None, Coding::Deflate) => Ok(Some(Codec::Deflate(compressor()?))),
            (None, Coding::Zlib) => Ok(Some(Codec::Zlib(compressor()?))),
            (None, Coding::Gzip) => Ok(Some(Codec::Gzip(compressor()?))),
            (None, Coding::StrictDeflate) => {
                let level = flate2::Compression::new(STRICT_LEVEL);
                let codec = Compress::new_with_window_bits(level, false, STRICT_WINDOW_BITS);
                Ok(Some(Codec::Stream(codec, FlushCompress::Finish)))
            }
            (None, Coding::FlushedDeflate) => {
                let codec = Compress::new(flate2::Compression::new(FLUSHED_LEVEL), false);
                Ok(Some(Codec::Stream(codec, FlushCompress::Sync)))
            }
        }
    }
}

fn zstd_compressor(with_checksum: bool) -> Result<zstd::bulk::Compressor<'static>> {
    let made = zstd::bulk::Compressor::new(ZSTD_LEVEL).and_then(|mut codec| {
        codec.include_checksum(with_checksum)?;
        Ok(codec)
    });
    made.map_err(|error| Error::io("", "cannot start the zstd compressor", error))
}

fn compressor() -> Result<Compressor> {
    let level = CompressionLvl::new(DEFLATE_LEVEL);
    level.map(Compressor::new).map_err(|_| Error::new(Kind::Unsupported, "", "no such deflate level"))
}

/// A compressor that goes back to its [`Codecs`] when dropped.
pub(crate) struct Lent<'a> {
    /// `None`: nothing is compressed.
    codec: Option<Codec>,
    home: &'a Codecs,
}

impl Lent<'_> {
    /// Bytes that `len` bytes need at most.
    pub(crate) fn bound(&mut self, len: usize) -> usize {
        match &mut self.codec {
            None => len,
            Some(Codec::Lz4(_)) => lz4_flex::block::get_maximum_output_size(len),
            Some(Codec::Zstd(_)) => zstd::zstd_safe::compress_bound(len),
            Some(Codec::Deflate(codec)) => codec.deflate_compress_bound(len),
            Some(Codec::Zlib(codec)) => codec.zlib_compress_bound(len),
            Some(Codec::Gzip(codec)) => codec.gzip_compress_bound(len),
            // Blocks of at most 64 KiB that are stored as they are, 5 bytes in front of each, and one that flushes.
            Some(Codec::Stream(..)) => len + 5 * (len / (16 << 10) + 4),
        }
    }

    /// Append `bytes` compressed to `packed`; where they lie there, or `None` if that takes more than
    /// `limit` bytes.
    pub(crate) fn pack(&mut self, bytes: &[u8], limit: usize, packed: &mut Vec<u8>) -> Option<Range<usize>> {
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
            Self::Lz4(room) => {
                room.resize(lz4_flex::block::get_maximum_output_size(bytes.len()), 0);
                let len = lz4_flex::block::compress_into(bytes, room).ok()?;
                out.get_mut(..len)?.copy_from_slice(&room[..len]);
                Some(len)
            }
            Self::Zstd(codec) => codec.compress_to_buffer(bytes, out).ok(),
            Self::Deflate(codec) => codec.deflate_compress(bytes, out).ok(),
            Self::Zlib(codec) => codec.zlib_compress(bytes, out).ok(),
            // Without a time and a name, and of an unknown system: the same bytes everywhere.
            Self::Gzip(codec) => codec.gzip_compress(bytes, out).ok(),
            Self::Stream(codec, flush) => {
                codec.reset();
                let status = codec.compress(bytes, out, *flush).ok()?;
                let (taken, made) = (codec.total_in() as usize, codec.total_out() as usize);
                // With no room left, something may be left to flush.
                let is_flushed = status == Status::Ok && taken == bytes.len() && made < out.len();
                (status == Status::StreamEnd || is_flushed).then_some(made)
            }
        }
    }
}
