//! A stretch of a file of this machine: a whole file, or a blob inside a tar.

use std::fs::File;
use std::io::{ErrorKind, Read, Result};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::stamp::Stamp;

/// `len` bytes of a file from `offset` on.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    file: Arc<File>,
    /// Of the file, when it was opened.
    stamp: Stamp,
    offset: u64,
    len: u64,
}

impl Section {
    /// All of a regular file.
    pub(crate) fn whole(file: File) -> Result<Self> {
        let metadata = file.metadata()?;
        let (stamp, len) = (Stamp::of(&metadata), metadata.len());
        Ok(Self { file: Arc::new(file), stamp, offset: 0, len })
    }

    /// A part of it; `None` if that does not lie inside.
    pub(crate) fn part(&self, offset: u64, len: u64) -> Option<Self> {
        let inside = offset.checked_add(len)? <= self.len;
        inside.then(|| Self { file: Arc::clone(&self.file), offset: self.offset + offset, len, ..*self })
    }

    /// Whether nobody has written to the file since it was opened.
    pub(crate) fn is_unchanged(&self) -> Result<bool> {
        Ok(Stamp::of(&self.file.metadata()?) == self.stamp)
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fill `out` from `offset` on.
    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        match offset.checked_add(out.len() as u64) {
            Some(end) if end <= self.len => self.file.read_exact_at(out, self.offset + offset),
            _ => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The bytes from the start.
    pub(crate) fn reader(&self) -> SectionReader {
        SectionReader { section: self.clone(), position: 0 }
    }
}

/// Reads a section from its start, without a position in the file that others would share.
#[derive(Debug)]
pub(crate) struct SectionReader {
    section: Section,
    position: u64,
}

impl SectionReader {
    /// Leave out the next bytes; beyond the end there is nothing more to read.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
    }
}

impl Read for SectionReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = self.section.len.saturating_sub(self.position);
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let len = self.section.file.read_at(&mut buffer[..wanted], self.section.offset + self.position)?;
        self.position += len as u64;
        Ok(len)
    }
}
