//! Digests that are needed once all are known, out of memory: 32 bytes for each 4 KiB.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// A file without a name, which is written to its end and then read from its start.
pub(super) struct Spill {
    file: BufWriter<File>,
    shown: String,
}

impl Spill {
    /// In this folder.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let shown = folder.display().to_string();
        let made = tempfile::tempfile_in(folder);
        let file = made.map_err(|error| Error::io(&shown, "cannot make a temporary file", error))?;
        Ok(Self { file: BufWriter::with_capacity(64 << 10, file), shown })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| Error::io(&self.shown, "cannot write the temporary file", error))
    }

    /// All that was written, in parts of `size` bytes, the last of which may be shorter.
    pub(super) fn read(self, size: usize, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let unreadable = |error| Error::io(&self.shown, "cannot read the temporary file again", error);
        let mut file = self.file.into_inner().map_err(|error| unreadable(error.into_error()))?;
        file.rewind().map_err(unreadable)?;
        let mut part = Vec::with_capacity(size);
        loop {
            part.clear();
            (&mut file).take(size as u64).read_to_end(&mut part).map_err(unreadable)?;
            if part.is_empty() {
                return Ok(());
            }
            take(&part)?;
        }
    }
}
