//! What kernels and their modules are packed with, told by the first bytes.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};

use flate2::bufread::GzDecoder;
use xz4rust::{XzDecoder, XzNextBlockResult};

use crate::limits::WINDOWS;

/// The blocks of LZ4's old frames, as the kernel has them (lib/decompress_unlz4.c).
const LZ4_BLOCK: usize = 8 << 20;
/// What xz may ask for: the kernel itself is packed with so much at most (scripts/xz_wrap.sh).
const XZ_WINDOW: usize = 128 << 20;
/// What its decoder begins with.
const XZ_FIRST_WINDOW: usize = 1 << 20;

/// The bytes that are packed in `reader`, or its own where none are; more than `limit` of them are an error.
///
/// What follows is not looked at: behind a kernel there is its size.
pub(crate) fn unpacked<'reader>(
    reader: Box<dyn Read + 'reader>,
    limit: u64,
) -> Result<Box<dyn Read + 'reader>> {
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    let decoder: Box<dyn Read> = match reader.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(GzDecoder::new(reader)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?.single_frame();
            decoder.window_log_max(WINDOWS.ilog2())?;
            Box::new(decoder)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(Xz::new(reader)),
        [0x02, 0x21, 0x4c, 0x18, ..] => Box::new(Lz4::new(reader)?),
        [0x7f, b'E', b'L', b'F', ..] => Box::new(reader),
        [0x5d, 0, 0, ..] => return Err(unsupported("LZMA")),
        [0x89, b'L', b'Z', b'O', ..] => return Err(unsupported("LZO")),
        [b'B', b'Z', b'h', ..] => return Err(unsupported("bzip2")),
        _ => return Err(unsupported("something that is not known")),
    };
    Ok(Box::new(Limited::new(decoder, limit)))
}

fn unsupported(by: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("it is packed by {by}, which is not read"))
}

/// A reader with an end in sight.
pub(crate) struct Limited<R> {
    reader: R,
    limit: u64,
    left: u64,
}

impl<R: Read> Limited<R> {
    pub(crate) fn new(reader: R, limit: u64) -> Self {
        Self { reader, limit, left: limit }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let len = self.reader.read(buffer)?;
        match self.left.checked_sub(len as u64) {
            Some(left) => self.left = left,
            None => return Err(Error::other(format!("more than {} bytes, which is the limit", self.limit))),
        }
        Ok(len)
    }
}

/// One stream of xz.
struct Xz<R> {
    reader: R,
    decoder: Box<XzDecoder<'static>>,
    is_over: bool,
}

impl<R: BufRead> Xz<R> {
    fn new(reader: R) -> Self {
        let decoder = XzDecoder::in_heap_with_alloc_dict_size(XZ_FIRST_WINDOW, XZ_WINDOW);
        Self { reader, decoder, is_over: false }
    }
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while !self.is_over && !buffer.is_empty() {
            let packed = self.reader.fill_buf()?;
            let step = self.decoder.decode(packed, buffer);
            let (taken, made) = match step.map_err(|error| Error::new(ErrorKind::InvalidData, error))? {
                XzNextBlockResult::NeedMoreData(taken, made) => (taken, made),
                XzNextBlockResult::EndOfStream(taken, made) => {
                    self.is_over = true;
                    (taken, made)
                }
            };
            // One that neither takes nor makes anything would do so for ever.
            if taken == 0 && made == 0 && !self.is_over {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.reader.consume(taken);
            if made > 0 {
                return Ok(made);
            }
        }
        Ok(0)
    }
}

/// A frame of LZ4 before it had frames: blocks, each with its length in front.
struct Lz4<R> {
    reader: R,
    packed: Vec<u8>,
    block: Vec<u8>,
    /// Of the block, what has not been read.
    rest: std::ops::Range<usize>,
}

impl<R: BufRead> Lz4<R> {
    fn new(mut reader: R) -> Result<Self> {
        reader.read_exact(&mut [0; 4])?;
        Ok(Self { reader, packed: Vec::new(), block: vec![0; LZ4_BLOCK], rest: 0..0 })
    }

    /// Unpack the next block; whether there is one. What ends behind a length is the size of all.
    fn next(&mut self) -> Result<bool> {
        let mut len = [0; 4];
        if self.reader.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.reader.read_exact(&mut len)?;
        if self.reader.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let len = u32::from_le_bytes(len) as usize;
        if len > lz4_flex::block::get_maximum_output_size(LZ4_BLOCK) {
            return Err(Error::new(ErrorKind::InvalidData, "a block of LZ4 is too long"));
        }
        self.packed.resize(len, 0);
        self.reader.read_exact(&mut self.packed)?;
        let made = lz4_flex::block::decompress_into(&self.packed, &mut self.block)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        self.rest = 0..made;
        Ok(true)
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.rest.is_empty() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let len = self.block.get(self.rest.clone()).unwrap_or_default().read(buffer)?;
        self.rest.start += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine;

    use super::*;

    const TEXT: &[u8] = b"Linux version 6.1.0 (xz)\n";
    /// Four times the text, by `xz --check=crc32 --x86 --lzma2=dict=64KiB`, and the size as the kernel's build adds it.
    const XZ: &str = "/Td6WFoAAAFpIt42AgEEACEBCADSuXTL4ABjACFdACYaSceJVbMfRzXSHy4thdASHdTuvN+mrl/sUA7zTxgAAAAAAABLoQzfAAE5ZNCd3WSQQpkNAQAAAAABWVpkAAAA";

    fn unpack(packed: &[u8], limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        unpacked(Box::new(packed), limit)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn packings(text: &[u8]) -> [Vec<u8>; 4] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        let mut lz4 = [0x02, 0x21, 0x4c, 0x18].to_vec();
        for block in text.chunks(30) {
            let packed = lz4_flex::block::compress(block);
            lz4.extend((packed.len() as u32).to_le_bytes());
            lz4.extend(packed);
        }
        let xz = base64::engine::general_purpose::STANDARD.decode(XZ).unwrap();
        let zstd = zstd::encode_all(text, 1).unwrap();
        [gzip.finish().unwrap(), zstd, lz4, xz]
    }

    #[test]
    fn whatever_packs_it_the_same_comes_out() {
        let text = TEXT.repeat(4);
        for packed in packings(&text) {
            // The size behind it is no part of it.
            for packed in [&packed[..], &[&packed[..], &100_u32.to_le_bytes()].concat()] {
                assert_eq!(unpack(packed, 100).unwrap(), text, "{packed:02x?}");
                let error = unpack(packed, 99).unwrap_err().to_string();
                assert_eq!(error, "more than 99 bytes, which is the limit");
            }
            assert!(unpack(&packed[..20], 100).is_err(), "{packed:02x?}");
        }
        assert_eq!(unpack(b"\x7fELF", 4).unwrap(), b"\x7fELF");
    }

    #[test]
    fn what_packs_it_is_named_where_it_is_not_read() {
        for (packed, by) in [
            (&b"\x5d\0\0\x80\0"[..], "LZMA"),
            (b"\x89LZO\0", "LZO"),
            (b"BZh9", "bzip2"),
            (b"text", "something that is not known"),
            (b"", "something that is not known"),
        ] {
            let error = unpack(packed, 100).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(error.to_string(), format!("it is packed by {by}, which is not read"));
        }
    }

    #[test]
    fn a_window_that_is_too_large_is_refused() {
        let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
        zstd.window_log(28).unwrap();
        zstd.write_all(TEXT).unwrap();
        assert!(unpack(&zstd.finish().unwrap(), 100).is_err());
        let mut lz4 = [0x02, 0x21, 0x4c, 0x18].to_vec();
        lz4.extend([0xff; 8]);
        assert_eq!(unpack(&lz4, 100).unwrap_err().to_string(), "a block of LZ4 is too long");
    }
}
