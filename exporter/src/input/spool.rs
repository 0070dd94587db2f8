//! Files that can be read anywhere, out of what can only be read once.

use std::fs::File;
use std::io::{Read, copy};
use std::path::Path;

use crate::error::{Error, Result};
use crate::tree::{Compression, Section};

/// Keep all that `reader` gives in a file of `directory` that has no name: it is gone when it is closed.
pub(super) fn spool(reader: &mut dyn Read, shown: &str, directory: &Path) -> Result<Section> {
    let place = directory.display().to_string();
    let made = tempfile::tempfile_in(directory);
    let mut file = made.map_err(|error| Error::io(&place, "can't make a temporary file", error))?;
    copy(reader, &mut file).map_err(|error| {
        let message = format!("can't keep {shown} in a temporary file in {place}");
        Error::io(shown, message, error)
    })?;
    whole(file, shown)
}

/// Open a file; one that is no regular file, such as a pipe, is spooled.
pub(super) fn open(path: &Path, directory: &Path) -> Result<Section> {
    let shown = path.display().to_string();
    let unreadable = |error| Error::io(&shown, "can't open the archive", error);
    let mut file = File::open(path).map_err(unreadable)?;
    match file.metadata().map_err(unreadable)?.is_file() {
        true => whole(file, &shown),
        false => spool(&mut file, &shown, directory),
    }
}

/// An archive of blobs as it would be without compression: blobs are read in any order.
pub(super) fn decompressed(section: Section, shown: &str, directory: &Path) -> Result<Section> {
    let unreadable = |error| Error::io(shown, "can't read the archive", error);
    match Compression::detect(&section).map_err(unreadable)? {
        Compression::None => Ok(section),
        compression => {
            let mut decoder = compression.decoder(section.reader()).map_err(unreadable)?;
            spool(&mut decoder, shown, directory)
        }
    }
}

fn whole(file: File, shown: &str) -> Result<Section> {
    Section::whole(file).map_err(|error| Error::io(shown, "can't read the archive", error))
}
