//! A disk that may be written to while somebody reads it: that is an error, and never bytes of now and of then.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Format, disk_file, open, qcow2};
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, Shared};
use crate::stamp::Stamp;

/// The image in files that are looked at again after every read.
struct Watched {
    image: Shared,
    files: Vec<(PathBuf, Stamp)>,
}

/// Open a disk as [`open`] does, and a qcow2 over others of its folder too: what its readers get is what it was when it was
/// opened, or an error.
///
/// # Errors
/// Those of [`open`], and of a file that is none.
pub fn open_watched(path: &Path) -> Result<(Format, Shared)> {
    let path = &disk_file(path)?;
    let paths = files(path)?;
    let stamps = paths.iter().map(|path| Ok((path.clone(), stamp(path)?)));
    let stamps = stamps.collect::<Result<Vec<_>>>()?;
    let (format, image) = match qcow2::open_layers(path)? {
        Some((image, _)) => (Format::Qcow2, image),
        None => open(path)?,
    };
    let watched = Watched { image, files: stamps };
    // Between the two looks at them it was opened.
    if files(path)? != paths {
        return Err(changed(path));
    }
    watched.check()?;
    Ok((format, Arc::new(watched)))
}

/// The file of a disk, and what it lies over.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    // A pipe would be waited for.
    stamp(path)?;
    Ok(qcow2::open_layers(path)?.map_or_else(|| vec![path.to_owned()], |(_, files)| files))
}

fn stamp(path: &Path) -> Result<Stamp> {
    let shown = || path.display().to_string();
    let metadata =
        fs::metadata(path).map_err(|error| Error::io(shown(), "cannot look at the disk file", error))?;
    match metadata.is_file() {
        true => Ok(Stamp::of(&metadata)),
        false => Err(Error::new(Kind::Input, shown(), "is not a regular file")),
    }
}

fn changed(path: &Path) -> Error {
    Error::new(Kind::Input, path.display().to_string(), "the disk changed while it was read")
        .with_hint("stop who writes to it, or take a copy of it")
}

impl Watched {
    fn check(&self) -> Result<()> {
        match self.files.iter().find(|(path, then)| !stamp(path).is_ok_and(|now| now == *then)) {
            None => Ok(()),
            Some((path, _)) => Err(changed(path)),
        }
    }
}

impl ReadAt for Watched {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let read = self.image.read_at(offset, out);
        // What cannot be read any more is the less to be told.
        self.check()?;
        read
    }

    /// A hole of now may be no hole of then: who reads there is told.
    fn data_from(&self, offset: u64) -> u64 {
        let data = self.image.data_from(offset);
        if self.check().is_ok() { data } else { offset.min(self.size()) }
    }

    fn hole_from(&self, offset: u64, until: u64) -> u64 {
        let hole = self.image.hole_from(offset, until);
        if self.check().is_ok() { hole } else { until }
    }
}
