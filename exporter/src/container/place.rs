//! Where the bytes of a disk file go: a file at any offset, or a pipe in order.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Output;
use crate::error::{Error, Kind, Result};

/// Takes the bytes of a disk file. What is not written reads as zero.
pub(super) trait Place: Sync {
    /// Write all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Make the file that long: zero behind its end.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Fill `out` with what was written from `offset` on.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;

    /// Let `len` bytes at `at` be those of `file` from `offset` on, without reading them: whether that is
    /// possible here. If not, some of them may be.
    fn share(&self, _file: &File, _offset: u64, _at: u64, _len: u64) -> bool {
        false
    }
}

/// A place whose bytes stay when all is well.
pub(super) trait Lasting: Place {
    /// Let the complete file appear under its name.
    fn complete(self: Box<Self>) -> Result<()>;
}

impl<P: Place + ?Sized> Place for &P {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        (**self).write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        (**self).set_len(len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        (**self).read_at(offset, out)
    }

    fn share(&self, file: &File, offset: u64, at: u64, len: u64) -> bool {
        (**self).share(file, offset, at, len)
    }
}

impl Place for Output {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.set_len(len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read_at(offset, out)
    }

    fn share(&self, file: &File, offset: u64, at: u64, len: u64) -> bool {
        self.share(file, offset, at, len)
    }
}

impl Lasting for Output {
    fn complete(self: Box<Self>) -> Result<()> {
        self.persist()
    }
}

/// The rest of a place from an offset on, for a disk file inside another file.
pub(super) struct Window<'a> {
    place: &'a dyn Place,
    base: u64,
    len: AtomicU64,
}

impl<'a> Window<'a> {
    pub(super) fn new(place: &'a dyn Place, base: u64) -> Self {
        Self { place, base, len: AtomicU64::new(0) }
    }

    /// The length that was set.
    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }
}

impl Place for Window<'_> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.place.write_at(bytes, self.base + offset)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.len.store(len, Ordering::Relaxed);
        self.place.set_len(self.base + len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.place.read_at(self.base + offset, out)
    }
}

/// Zeroes that are sent at once.
const ZEROES: &[u8] = &[0; 64 << 10];

/// A pipe: offsets may only grow, and what is left out is sent as zeroes.
pub(super) struct Pipe<'a>(Mutex<Sent<'a>>);

struct Sent<'a> {
    to: &'a mut (dyn Write + Send),
    len: u64,
}

impl<'a> Pipe<'a> {
    pub(super) fn new(to: &'a mut (dyn Write + Send)) -> Self {
        Self(Mutex::new(Sent { to, len: 0 }))
    }

    /// Send what is still in a buffer.
    pub(super) fn finish(self) -> Result<()> {
        let sent = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        sent.to.flush().map_err(refused)
    }
}

impl Place for Pipe<'_> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.pad(offset)?;
        sent.send(bytes)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pad(len)
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
        Err(Error::new(Kind::Unsupported, "", "a pipe cannot be read again"))
    }
}

impl Sent<'_> {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(refused)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Send zeroes until `len` bytes are sent.
    fn pad(&mut self, len: u64) -> Result<()> {
        if len < self.len {
            return Err(Error::new(Kind::Unsupported, "", "a pipe cannot go back to what was sent before"));
        }
        while self.len < len {
            let zeroes = (len - self.len).min(ZEROES.len() as u64) as usize;
            self.send(&ZEROES[..zeroes])?;
        }
        Ok(())
    }
}

fn refused(error: std::io::Error) -> Error {
    Error::io("", "cannot write the disk to the pipe", error)
}
