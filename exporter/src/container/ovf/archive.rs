//! Chunks → an OVA.

use super::Appliance;
use super::package::{Package, Text};
use crate::container::archive::{self, Access, END, RECORD};
use crate::container::hashed::Hashed;
use crate::container::place::{Place, Window};
use crate::container::vmdk;
use crate::engine::{Chunk, Sink, Stored};
use crate::error::Result;
use crate::seed::Uuid;

const ACCESS: Access = Access { mode: 0o644, owner: 0 };

/// Writes a package as one archive.
pub(in crate::container) struct Writer<'a> {
    package: Package<'a>,
    /// Where in the archive the disk lies.
    disk_at: u64,
    disk: vmdk::Writer<Hashed<Window<'a>>>,
    place: &'a dyn Place,
}

impl<'a> Writer<'a> {
    /// A disk of `size` bytes for `appliance`.
    ///
    /// # Errors
    /// Those of the VMDK.
    pub(in crate::container) fn new(
        size: u64,
        id: Uuid,
        appliance: &'a Appliance,
        place: &'a dyn Place,
    ) -> Result<Self> {
        let package = Package::new(size, appliance);
        let disk_at = RECORD + package.descriptor_len().next_multiple_of(RECORD) + RECORD;
        let disk = package.disk(size, id, Window::new(place, disk_at))?;
        Ok(Self { package, disk_at, disk, place })
    }

    fn write_text(&self, text: &Text, at: u64) -> Result<()> {
        self.write_header(&text.name, text.content.len() as u64, at)?;
        self.place.write_at(text.content.as_bytes(), at + RECORD)
    }

    fn write_header(&self, name: &str, size: u64, at: u64) -> Result<()> {
        self.place.write_at(archive::ustar_file(name, ACCESS, size).as_bytes(), at)
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
        let (size, _) = self.disk.place().digest();
        let [descriptor, manifest] = self.package.texts(&self.disk);
        let manifest_at = self.disk_at + size.next_multiple_of(RECORD);
        let manifest_end = manifest_at + RECORD + (manifest.content.len() as u64).next_multiple_of(RECORD);
        self.write_text(&descriptor, 0)?;
        self.write_header(&self.package.disk_name(), size, self.disk_at - RECORD)?;
        self.write_text(&manifest, manifest_at)?;
        self.place.set_len(manifest_end + END)
    }
}
