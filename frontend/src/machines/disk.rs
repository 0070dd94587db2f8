//! The disks of a machine: what it writes lies over a base that stays as it is, and is read with it.

use std::path::{Path, PathBuf};

use exporter::container::{self, Format, qcow2::overlay};
use exporter::read_at::Shared;

use super::record::Stamp;
use super::{Drive, Machine};
use crate::base::{Error, Result};

impl Drive {
    /// Lies over the disk at `base`, by this name.
    ///
    /// # Errors
    /// If the disk cannot be read, or not by QEMU.
    pub(crate) fn over(base: &Path, overlay: &str) -> Result<Self> {
        let (format, _) = container::identify(base)?;
        let driver = format
            .qemu_driver()
            .ok_or_else(|| Error::user(format!("{}: QEMU cannot read a {format} disk", base.display())))?;
        let (_, image) = container::open(base)?;
        let base = absolute(&container::disk_file(base)?)?;
        Ok(Self {
            overlay: overlay.to_owned(),
            stamp: Stamp::of(&base)?,
            base: (&base).into(),
            driver: driver.to_owned(),
            // QEMU's drives have whole sectors.
            size: image.size().next_multiple_of(512),
        })
    }

    /// Makes it, with nothing of its own.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn create(&self, machine: &Machine) -> Result<()> {
        Ok(overlay::create(&machine.path(&self.overlay), self.base(), &self.driver, self.size)?)
    }

    /// What a machine sees of it that does not run.
    ///
    /// # Errors
    /// If it or its base cannot be read, or its base has changed.
    pub(crate) fn open(&self, machine: &Machine) -> Result<Shared> {
        if Stamp::of(self.base())? != self.stamp {
            return Err(Error::user(format!(
                "{}: has changed since {} was made of it",
                self.base().display(),
                machine.name()
            )));
        }
        let (_, below) = container::open(self.base())?;
        Ok(overlay::open_over(&machine.path(&self.overlay), below)?)
    }

    /// The path of its base.
    pub(crate) fn base(&self) -> &Path {
        Path::new(&self.base.0)
    }
}

/// The image in a disk file, with what lies below it in its folder.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn open(path: &Path) -> Result<Shared> {
    match container::identify(path)? {
        (Format::Qcow2, _) => Ok(overlay::open_with_base(path)?),
        _ => Ok(container::open(path)?.1),
    }
}

/// A path without links, since its file is named from elsewhere.
///
/// # Errors
/// If there is nothing.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .map_err(|error| Error::user(format!("{}: cannot be found", path.display())).because(error))
}
