//! Chunks → a folder with an OVF package.

use super::Appliance;
use super::package::Package;
use crate::container::hashed::Hashed;
use crate::container::{Folder, Output, vmdk};
use crate::engine::{Chunk, Sink, Stored};
use crate::error::Result;
use crate::seed::Uuid;

/// Writes a package as files.
pub(in crate::container) struct Writer<'a> {
    package: Package<'a>,
    disk: vmdk::Writer<Hashed<Output>>,
    folder: &'a Folder,
}

impl<'a> Writer<'a> {
    /// A disk of `size` bytes for `appliance`.
    ///
    /// # Errors
    /// Those of the VMDK, and of the folder.
    pub(in crate::container) fn new(
        size: u64,
        id: Uuid,
        appliance: &'a Appliance,
        folder: &'a Folder,
    ) -> Result<Self> {
        let package = Package::new(size, appliance);
        let disk = package.disk(size, id, folder.file(&package.disk_name())?)?;
        Ok(Self { package, disk, folder })
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.encode(chunk, stored)
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.commit(chunk, stored)
    }

    fn finish(&self) -> Result<()> {
        self.disk.finish()?;
        let texts = self.package.texts(&self.disk);
        texts.iter().try_for_each(|text| self.folder.file(&text.name)?.write_at(text.content.as_bytes(), 0))
    }
}
