//! Chunks → the folder of an update: of the disk, the root of the first slot.

use super::index::{BLOCK, Index};
use super::manifest::{Listed, Part, manifest, sums};
use super::{Archive, INDEX, KERNELS, MANIFEST, PLACEMENT, ROOT, SUMS, Update};
use crate::codec::Coding;
use crate::container::frames::{self, Around};
use crate::container::hashed::Hashed;
use crate::container::{Folder, Output};
use crate::engine::{self, Chunk, Run, Sink, Stored};
use crate::error::Result;

/// Writes an update.
pub(in crate::container) struct Writer<'a> {
    update: &'a Update,
    root: frames::Writer<Hashed<Output>>,
    folder: &'a Folder,
    run: &'a Run<'a>,
}

impl<'a> Writer<'a> {
    /// An update whose root is on a disk of `disk_size` bytes. What is not of the disk is written in the same way as it,
    /// in this `run`.
    ///
    /// # Errors
    /// If the root is not on the disk, and those of the folder.
    pub(in crate::container) fn new(
        disk_size: u64,
        update: &'a Update,
        folder: &'a Folder,
        run: &'a Run<'a>,
    ) -> Result<Self> {
        update.check(disk_size)?;
        let index = Index::new(folder.file(&update.file(INDEX))?);
        let place = Hashed::new(folder.file(&update.file(ROOT))?);
        let root = frames::Writer::indexed(update.root.end - update.root.start, index, place)?;
        Ok(Self { update, root, folder, run })
    }

    /// What the root became.
    fn root(&self) -> Part {
        let Update { root, .. } = self.update;
        let index = self.root.index().map(|index| Listed::new(self.update.file(INDEX), index.digest()));
        Part {
            name: "root",
            file: Listed::new(self.update.file(ROOT), self.root.place().digest()),
            plain_bytes: root.end - root.start,
            block_size: Some(BLOCK),
            index,
        }
    }

    /// Write the kernels.
    fn kernels(&self, archive: &Archive) -> Result<Part> {
        let name = self.update.file(KERNELS);
        let image = archive.image();
        let place = Hashed::new(self.folder.file(&name)?);
        let writer = frames::Writer::new(image.size, Coding::CheckedZstd, Around::default(), place)?;
        // How far the disk is has been told to the end.
        engine::run(image, &[&writer], &Run { progress: &|_| {}, ..*self.run })?;
        writer.finish()?;
        let file = Listed::new(name, writer.place().digest());
        Ok(Part { name: "boot", file, plain_bytes: image.size, block_size: None, index: None })
    }

    /// Sign the list of all other files.
    fn sign(&self, sums: &str) -> Result<()> {
        let Update { id, version, signers, .. } = self.update;
        let what = format!("{id} {version}");
        signers.iter().try_for_each(|signer| self.write(signer.file(), &signer.sign(sums, &what)).map(drop))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<Listed> {
        let place = Hashed::new(self.folder.file(name)?);
        place.append(bytes)?;
        Ok(Listed::new(name.to_owned(), place.digest()))
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let root = chunk.within(&self.update.root);
        root.map_or(Ok(()), |chunk| self.root.encode(&chunk, stored))
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let root = chunk.within(&self.update.root);
        root.map_or(Ok(()), |chunk| self.root.commit(&chunk, stored))
    }

    fn finish(&self) -> Result<()> {
        self.root.finish()?;
        let kernels = self.update.kernels.as_ref().map(|archive| self.kernels(archive)).transpose()?;
        let parts: Vec<_> = [self.root()].into_iter().chain(kernels).collect();
        let placement = self.update.placement.as_ref();
        let placement = placement.map(|bytes| self.write(&self.update.file(PLACEMENT), bytes)).transpose()?;
        let manifest = self.write(MANIFEST, manifest(self.update, &parts)?.as_bytes())?;
        let packed = parts.iter().flat_map(|part| [Some(&part.file), part.index.as_ref()]).flatten();
        let sums = sums(packed.chain(&placement).chain([&manifest]));
        self.write(SUMS, sums.as_bytes())?;
        self.sign(&sums)
    }
}
