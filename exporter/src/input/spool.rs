//! Files that can be read anywhere, out of what can only be read once.

use std::fs::File;
use std::io::{Read, copy};
use std::path::Path;

use super::cost::Meter;
use super::digest::Hashing;
use super::{Options, Progress};
use crate::error::{Error, Result};
use crate::limits::unpacked_bytes;
use crate::tree::{Compression, Section};

/// Keep all that `reader` gives in a file that has no name: it is gone when it is closed.
pub(super) fn spool(reader: &mut dyn Read, shown: &str, options: &Options<'_>) -> Result<Section> {
    let place = options.spool.display().to_string();
    let made = tempfile::tempfile_in(options.spool);
    let mut file = made.map_err(|error| Error::io(&place, "cannot make a temporary file", error))?;
    let mut done = 0;
    let mut counted = Hashing::new(reader, false, |bytes| {
        done += bytes;
        (options.progress)(Progress { done, total: 0 });
    });
    copy(&mut counted, &mut file).map_err(|error| {
        let message = format!("cannot keep {shown} in a temporary file in {place}");
        Error::io(shown, message, error)
    })?;
    whole(file, shown)
}

/// Open a file; one that is no regular file, such as a pipe, is spooled.
pub(super) fn open(path: &Path, options: &Options<'_>) -> Result<Section> {
    let shown = path.display().to_string();
    let unreadable = |error| Error::io(&shown, "cannot open the archive", error);
    let mut file = File::open(path).map_err(unreadable)?;
    match file.metadata().map_err(unreadable)?.is_file() {
        true => whole(file, &shown),
        false => spool(&mut file, &shown, options),
    }
}

/// An archive of blobs as it would be without compression: blobs are read in any order.
pub(super) fn decompressed(section: Section, shown: &str, options: &Options<'_>) -> Result<Section> {
    let unreadable = |error| Error::io(shown, "cannot read the archive", error);
    match Compression::detect(&section).map_err(unreadable)? {
        Compression::None => Ok(section),
        compression => {
            let decoder = compression.decoder(section.reader()).map_err(unreadable)?;
            let unpacked = Meter::new("bytes without its compression", unpacked_bytes(section.len()));
            let spooled = spool(&mut unpacked.on(decoder), shown, options);
            spooled.map_err(|error| error.with_hint("decompress it first: gzip -d, zstd -d"))
        }
    }
}

fn whole(file: File, shown: &str) -> Result<Section> {
    Section::whole(file).map_err(|error| Error::io(shown, "cannot read the archive", error))
}
