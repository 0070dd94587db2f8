//! A kernel that is unpacked once, and kept in a file without a name: monitors and loaders may take it from there, however
//! many do.

use std::fs::File;
use std::io::{Error as IoError, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::KernelImage;
use crate::error::{Error, Result};
use crate::tree::{Archive, ArchiveFile, Content, Decoders, Section};

impl KernelImage {
    /// The kernel itself: the file's own bytes if nothing packs it, else in a temporary file of `folder`, which is gone when the
    /// content is.
    ///
    /// # Errors
    /// Of kind [`Corrupt`](crate::error::Kind::Corrupt), if it cannot be unpacked, or what is in it is no kernel; others, if the folder takes none.
    pub fn kept(&self, folder: &Path) -> Result<Content> {
        if self.is_plain() {
            return Ok(self.content.clone());
        }
        let shown = folder.display().to_string();
        let cannot_keep =
            |error| Error::io(&shown, format!("cannot keep the kernel of {}", self.place), error);
        let file = tempfile::tempfile_in(folder).map_err(cannot_keep)?;
        let mut keeping = Keeping { reader: self.unpacked()?, file: &file, failed: None };
        let scanned = self.whole(&mut keeping);
        if let Some(error) = keeping.failed {
            return Err(cannot_keep(error));
        }
        let scan = scanned?;
        let len = scan.len;
        let _ = self.scan.set(scan);
        let section = Section::whole(file).map_err(cannot_keep)?;
        let archive = Archive::new(self.place.clone(), 0, section, &Arc::new(Decoders::new(0)))?;
        Ok(Content::Archive(ArchiveFile::Whole { archive, offset: 0, len }))
    }
}

/// What is read is written to a file as well.
struct Keeping<'a, R> {
    reader: R,
    file: &'a File,
    /// Why it could not be.
    failed: Option<IoError>,
}

impl<R: Read> Read for Keeping<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.reader.read(buffer)?;
        let bytes = buffer.get(..len).unwrap_or_default();
        match self.file.write_all(bytes) {
            Ok(()) => Ok(len),
            Err(error) => {
                self.failed = Some(error);
                Err(IoError::other("it cannot be kept"))
            }
        }
    }
}
