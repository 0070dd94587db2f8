//! Compressors, kept for the next chunk: their tables are dear to set up and not shared by threads.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use libdeflater::{CompressionLvl, Compressor};

use super::Compression;
use crate::error::{Error, Kind, Result};

/// The zstd level: twice as fast as 3 for a twentieth more bytes.
const ZSTD_LEVEL: i32 = 1;
/// The deflate level: twice as fast as 6 for a tenth more bytes.
const DEFLATE_LEVEL: i32 = 1;

enum Codec {
    Zstd(zstd::bulk::Compressor<'static>),
    Deflate(Compressor),
}

/// As many compressors as workers use at once.
pub(super) struct Codecs {
    compression: Compression,
    spare: Mutex<Vec<Codec>>,
}

impl Codecs {
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, spare: Mutex::new(Vec::new()) }
    }

    /// Append the compressed form of each of `blocks` of `bytes` to `packed`; where it lies, or `None`
    /// if it has not at most `limit` bytes.
    pub(super) fn compress(
        &self,
        bytes: &[u8],
        blocks: impl Iterator<Item = Range<usize>>,
        limit: usize,
        packed: &mut Vec<u8>,
        mut each: impl FnMut(Range<usize>, Option<Range<usize>>),
    ) -> Result<()> {
        let Some(mut codec) = self.take()? else {
            blocks.for_each(|block| each(block, None));
            return Ok(());
        };
        for block in blocks {
            let start = packed.len();
            packed.resize(start + limit, 0);
            let len = codec.compress(&bytes[block.clone()], &mut packed[start..]);
            packed.truncate(start + len.unwrap_or(0));
            each(block, len.map(|len| start..start + len));
        }
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(codec);
        Ok(())
    }

    fn take(&self) -> Result<Option<Codec>> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match (spare, self.compression) {
            (Some(codec), _) => Ok(Some(codec)),
            (None, Compression::None) => Ok(None),
            (None, Compression::Zstd) => {
                let made = zstd::bulk::Compressor::new(ZSTD_LEVEL);
                made.map(|codec| Some(Codec::Zstd(codec)))
                    .map_err(|error| Error::io("", "can't start the zstd compressor", error))
            }
            (None, Compression::Zlib) => {
                let level = CompressionLvl::new(DEFLATE_LEVEL);
                let level = level.map_err(|_| Error::new(Kind::Unsupported, "", "no such deflate level"))?;
                Ok(Some(Codec::Deflate(Compressor::new(level))))
            }
        }
    }
}

impl Codec {
    /// Bytes of `out` that hold `bytes` compressed; `None` if they are too few.
    fn compress(&mut self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Zstd(codec) => codec.compress_to_buffer(bytes, out).ok(),
            Self::Deflate(codec) => codec.deflate_compress(bytes, out).ok(),
        }
    }
}
