//! Chunks → the folder of a medium that is served: the image is the disk that it installs.

use sha2::{Digest, Sha256};

use super::{ABOUT, About, DIGEST, Disk, INITRAMFS, KERNEL, LiveRoot, SUMS};
use crate::container::frames;
use crate::container::hashed::Hashed;
use crate::container::update::{Index, Listed, sums};
use crate::container::{Folder, Output, raw};
use crate::engine::{self, Chunk, RawImage, Run, Sink, Stored};
use crate::error::Result;
use crate::fs::{Contents, FileSystem};

const DISK: &str = "disk.zst";
const INDEX: &str = "disk.index";
const GRUB: &str = "grub.cfg";
const IPXE: &str = "boot.ipxe";

/// What is beside the disk in the folder.
#[derive(Debug)]
pub struct Netboot {
    /// What `medium.json` says, but for files whose digests are known when they are written.
    pub about: About,
    /// The menu for iPXE, with [`DIGEST`] in it.
    pub ipxe: String,
    /// The same for GRUB.
    pub grub: String,
    /// What live mode runs, and which file system it is.
    pub root: Option<(FileSystem, Contents)>,
    /// Whether the disk is to be installed.
    pub has_disk: bool,
    /// All other files by their names: kernel, initramfs, loaders.
    pub files: Vec<(String, Contents)>,
}

/// Writes the folder.
pub(in crate::container) struct Writer<'a> {
    size: u64,
    netboot: &'a Netboot,
    disk: Option<frames::Writer<Hashed<Output>>>,
    folder: &'a Folder,
    run: &'a Run<'a>,
}

impl<'a> Writer<'a> {
    /// The one whose disk has `size` bytes. What is not of the disk is written in this `run`.
    ///
    /// # Errors
    /// Those of the folder.
    pub(in crate::container) fn new(
        size: u64,
        netboot: &'a Netboot,
        folder: &'a Folder,
        run: &'a Run<'a>,
    ) -> Result<Self> {
        let disk = || {
            let index = Index::new(folder.file(INDEX)?);
            frames::Writer::indexed(size, index, Hashed::new(folder.file(DISK)?))
        };
        let disk = netboot.has_disk.then(disk).transpose()?;
        Ok(Self { size, netboot, disk, folder, run })
    }

    /// The disk, and its index.
    fn finish_disk(&self, about: &mut About) -> Result<Vec<Listed>> {
        let Some(writer) = &self.disk else { return Ok(Vec::new()) };
        writer.finish()?;
        let index = writer.index().map(Index::digest).unwrap_or_default();
        about.disk = Some(Disk {
            file: DISK.to_owned(),
            bytes: self.size,
            packed: true,
            index: INDEX.to_owned(),
            index_sha256: Some(index.1.clone()),
            sector_size: 512,
        });
        let disk = Listed::new(DISK.to_owned(), writer.place().digest());
        Ok(vec![disk, Listed::new(INDEX.to_owned(), index)])
    }

    /// What live mode runs.
    fn write_root(&self, about: &mut About) -> Result<Option<Listed>> {
        let Some((file_system, contents)) = &self.netboot.root else { return Ok(None) };
        let kind = file_system.name();
        let listed = self.write(&format!("root.{kind}"), contents)?;
        about.root = Some(LiveRoot::File {
            file: listed.file.clone(),
            bytes: listed.bytes,
            sha256: listed.sha256.clone(),
            kind,
        });
        Ok(Some(listed))
    }

    fn write(&self, name: &str, contents: &Contents) -> Result<Listed> {
        let place = Hashed::new(self.folder.file(name)?);
        let image = RawImage { size: contents.size, extents: &*contents.extents };
        let writer = raw::Writer::new(image.size, &place);
        // How far the disk is, is told of the disk alone.
        engine::run(image, &[&writer], &Run { progress: &|_| {}, ..*self.run })?;
        writer.finish()?;
        Ok(Listed::new(name.to_owned(), place.digest()))
    }

    fn write_text(&self, name: &str, text: &str) -> Result<Listed> {
        let place = Hashed::new(self.folder.file(name)?);
        place.append(text.as_bytes())?;
        Ok(Listed::new(name.to_owned(), place.digest()))
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.encode(chunk, stored))
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.commit(chunk, stored))
    }

    fn finish(&self) -> Result<()> {
        let Netboot { about, ipxe, grub, files, .. } = self.netboot;
        let mut about = about.clone();
        let mut listed = self.finish_disk(&mut about)?;
        listed.extend(self.write_root(&mut about)?);
        for (name, contents) in files {
            listed.push(self.write(name, contents)?);
        }
        let text = about.text()?;
        let digest = format!("{:x}", Sha256::digest(text.as_bytes()));
        listed.push(self.write_text(ABOUT, &text)?);
        listed.push(self.write_text(IPXE, &ipxe.replace(DIGEST, &digest))?);
        listed.push(self.write_text(GRUB, &grub.replace(DIGEST, &digest))?);
        self.write_text(SUMS, &sums(&listed)).map(drop)
    }
}

impl Netboot {
    /// Its kernel and initramfs as files.
    pub(crate) fn started(kernel: Contents, initramfs: Contents) -> Vec<(String, Contents)> {
        vec![(KERNEL.to_owned(), kernel), (INITRAMFS.to_owned(), initramfs)]
    }
}
