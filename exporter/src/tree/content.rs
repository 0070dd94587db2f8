//! The bytes of a regular file of the tree.

use std::io::{Error, ErrorKind, Read};
use std::ops::Range;

use super::{ArchiveFile, Content};
use crate::error::Result;

impl Content {
    /// Where it comes in the order in which contents are best read: an archive that is compressed is decoded from its
    /// start for whatever lies behind. `None`: anywhere.
    pub(crate) fn order(&self) -> Option<(u32, u64)> {
        match self {
            Self::Bytes(_) | Self::Host(_) => None,
            Self::Archive(file) => Some(file.order()),
            Self::Joined(files) => files.order(),
        }
    }

    /// The blocks of `size` bytes that hold data: its data ranges rounded outwards, those that then touch as one.
    pub(crate) fn data_blocks(&self, size: usize) -> Vec<Range<u64>> {
        let mut blocks: Vec<Range<u64>> = Vec::new();
        for range in self.data_ranges() {
            let end = range.end.min(self.len()).div_ceil(size as u64);
            let start = range.start / size as u64;
            match blocks.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ if start < end => blocks.push(start..end),
                _ => {}
            }
        }
        blocks
    }

    /// The bytes from the start, holes as zeros. There are exactly [`Content::len`] of them: a file that
    /// became shorter since it was scanned is a read error, one that grew is read to its old end.
    pub fn reader(&self) -> Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(&bytes[..]),
            Self::Host(file) => Box::new(Exactly { reader: file.open()?, left: file.len() }),
            Self::Archive(file) => Box::new(Archived { file, position: 0 }),
            Self::Joined(files) => files.reader()?,
        })
    }
}

/// Reads a file of an archive.
struct Archived<'a> {
    file: &'a ArchiveFile,
    position: u64,
}

impl Read for Archived<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.file.len() - self.position;
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.file.read_at(self.position, &mut buffer[..len]).map_err(Error::other)?;
        self.position += len as u64;
        Ok(len)
    }
}

/// A reader of `left` more bytes, not fewer.
struct Exactly<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let len = self.reader.read(&mut buffer[..wanted])?;
        if len == 0 && wanted > 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        self.left -= len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_as_long_as_it_was() {
        let read = |left| {
            let mut text = String::new();
            Exactly { reader: &b"text"[..], left }.read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read(4).unwrap(), "text");
        assert_eq!(read(2).unwrap(), "te");
        assert_eq!(read(5).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
