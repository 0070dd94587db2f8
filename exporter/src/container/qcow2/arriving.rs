//! The bytes of a disk, as they come → a qcow2 over a base.

use super::Base;
use super::write::Writer;
use crate::container::{Compression, Output};
use crate::engine::{CHUNK, Chunk, Sink, Stored};
use crate::error::{Error, Kind, Result};

/// A disk that comes from front to end, without its zeroes and with its size last, and is written over a base: nothing of it
/// is written that is in the base.
pub struct Arriving<'a> {
    writer: Writer<&'a Output>,
    /// The chunk that is filled, and where it lies on the disk.
    bytes: Vec<u8>,
    offset: u64,
    /// Where what has come ends.
    end: u64,
    stored: Stored,
}

impl<'a> Arriving<'a> {
    /// A disk of which nothing has come.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(base: &Base, compression: Compression, output: &'a Output) -> Result<Self> {
        let writer = Writer::arriving(base.clone(), 0, compression, output)?;
        Ok(Self { writer, bytes: vec![0; CHUNK], offset: 0, end: 0, stored: Stored::default() })
    }

    /// Take the bytes from `offset` on, which is not before the end of the last ones.
    ///
    /// # Errors
    /// [`Kind::Input`] if it is, and those of the base and the output.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if offset < self.end {
            return Err(Error::new(Kind::Input, "", "the disk does not come in order"));
        }
        self.end = offset.saturating_add(bytes.len() as u64);
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let inside = (at % CHUNK as u64) as usize;
            if at - inside as u64 != self.offset {
                self.flush(CHUNK)?;
                self.offset = at - inside as u64;
            }
            let (part, behind) = rest.split_at(rest.len().min(CHUNK - inside));
            self.bytes[inside..inside + part.len()].copy_from_slice(part);
            at += part.len() as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Write what remains of a disk that has `size` bytes.
    ///
    /// # Errors
    /// [`Kind::Input`] if the base is larger or has changed, and those of the base and the output.
    pub fn finish(mut self, size: u64) -> Result<()> {
        let left = size.saturating_sub(self.offset).min(CHUNK as u64);
        self.flush(left as usize)?;
        self.writer.complete(size)
    }

    /// Write the chunk, of which `len` bytes are on the disk.
    fn flush(&mut self, len: usize) -> Result<()> {
        // Where nothing has come the writer itself looks what the base has.
        if self.end <= self.offset {
            return Ok(());
        }
        let chunk = Chunk::new(self.offset, len, &self.bytes);
        self.stored.clear();
        self.writer.encode(&chunk, &mut self.stored)?;
        self.writer.commit(&chunk, &mut self.stored)?;
        self.bytes.fill(0);
        Ok(())
    }
}
