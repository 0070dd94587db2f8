//! Tar streams of this machine that hold the content of a tree.
//!
//! Nothing is unpacked: a file of the tree is a place in the stream. A stream that is stored as it is can
//! be read anywhere. A compressed one can only be decoded forward, so one [`Decoder`] is shared by all
//! who read: a read behind its position starts it again, which is correct and slow. So does one after a decoder of
//! another archive took its room.
//!
//! Whoever reads from several threads takes a [`Turn`] for each of the threads in the order of the
//! offsets: then the decoder goes through the stream once, straight into the buffers of the readers, and
//! no window of decoded bytes is kept.

mod compression;
mod decoders;
mod file;
mod section;
mod turns;

use std::io::{Read, Write, copy, sink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use compression::Compression;
pub(crate) use decoders::{Decoders, Room};
pub use file::{ArchiveFile, Piece};
pub(crate) use section::{Section, SectionReader};
pub(crate) use turns::Turn;

use crate::error::{Error, Kind, Result};
use decoders::Decoder;
use turns::Turns;

/// Bytes that are kept at once of a stream that is decoded into a file.
const BUFFER: usize = 1 << 20;

/// A tar stream, perhaps compressed, in a file of this machine.
#[derive(Debug)]
pub struct Archive {
    shown: String,
    order: u32,
    section: Section,
    compression: Compression,
    decoders: Arc<Decoders>,
    /// Held by the one who decodes.
    decoding: Mutex<()>,
    turns: Turns,
    restarts: AtomicU64,
}

impl Archive {
    /// The stream in `section`. `shown` names it in messages, and `order` says where it comes among the
    /// archives of a tree: their contents are laid out on a disk in this order.
    pub(crate) fn new(
        shown: String,
        order: u32,
        section: Section,
        decoders: &Arc<Decoders>,
    ) -> Result<Arc<Self>> {
        let compression = Compression::detect(&section)
            .map_err(|error| Error::io(&shown, "cannot read the archive", error))?;
        Ok(Arc::new(Self {
            shown,
            order,
            section,
            compression,
            decoders: Arc::clone(decoders),
            decoding: Mutex::new(()),
            turns: Turns::default(),
            restarts: AtomicU64::new(0),
        }))
    }

    /// Its name for messages.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// How often a reader had to decode it again from the start.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// As it is stored.
    pub(crate) fn section(&self) -> &Section {
        &self.section
    }

    /// How it is stored.
    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Fill `out` with the bytes of the stream from `offset` on.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let done = match self.compression {
            Compression::None => self.section.read_exact_at(offset, out),
            _ => self.decode_at(offset, out),
        };
        done.map_err(|error| {
            Error::io(&self.shown, "cannot read the archive", error)
                .with_hint("build again while nothing writes to it")
        })
    }

    fn decode_at(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let _one = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out: after an error nobody knows where the decoder is, and the next read starts again.
        let mut decoder = match self.decoders.take(self.order) {
            Some(decoder) if decoder.position <= offset => decoder,
            behind => {
                self.restarts.fetch_add(u64::from(behind.is_some()), Ordering::Relaxed);
                drop(behind);
                let room = self.decoders.room(self.compression.window());
                let reader = self.compression.decoder(self.section.reader())?;
                Decoder { reader, position: 0, _room: room }
            }
        };
        let ahead = offset - decoder.position;
        self.decoders.count(ahead.saturating_add(out.len() as u64))?;
        if copy(&mut decoder.reader.by_ref().take(ahead), &mut sink())? < ahead {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        decoder.reader.read_exact(out)?;
        decoder.position = offset + out.len() as u64;
        self.decoders.keep(self.order, decoder);
        Ok(())
    }

    /// The first `len` bytes of the stream in a file of `folder` without a name, where they can be read in any order.
    ///
    /// # Errors
    /// If there are not so many, or the folder takes none.
    pub(crate) fn decoded(&self, len: u64, folder: &Path) -> Result<Section> {
        let unreadable = |error| Error::io(&self.shown, "cannot read the archive", error);
        let cannot_keep = |error| {
            Error::io(
                folder.display().to_string(),
                format!("cannot keep {} in a temporary file", self.shown),
                error,
            )
        };
        let mut file = tempfile::tempfile_in(folder).map_err(cannot_keep)?;
        let _room = self.decoders.room(self.compression.window());
        self.decoders.count(len).map_err(unreadable)?;
        let mut decoder = self.compression.decoder(self.section.reader()).map_err(unreadable)?;
        let mut buffer = vec![0; BUFFER];
        let mut left = len;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
            let part = &mut buffer[..wanted];
            decoder.read_exact(part).map_err(unreadable)?;
            file.write_all(part).map_err(cannot_keep)?;
            left -= wanted as u64;
        }
        self.check_unchanged()?;
        Section::whole(file).map_err(cannot_keep)
    }

    /// That nobody has written to its file since it was opened: what was read before this was what it should be.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        let is_unchanged = self.section.is_unchanged();
        match is_unchanged.map_err(|error| Error::io(&self.shown, "cannot look at the archive", error))? {
            true => Ok(()),
            false => Err(Error::new(Kind::Input, &self.shown, "the archive changed while it was read")),
        }
    }

    /// A place in the row of those who will read; `None` if this archive can be read in any order.
    pub(crate) fn turn(self: &Arc<Self>) -> Option<Turn> {
        (self.compression != Compression::None).then(|| Turn::new(Arc::clone(self)))
    }
}

#[cfg(test)]
mod tests;
