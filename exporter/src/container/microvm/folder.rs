//! Chunks → the folder of a microVM: the image is its root.

use std::io::Read;

use serde_json::Value;

use super::monitors::{cloud_hypervisor, firecracker};
use super::vm::{Drive, DriveFormat, Vm};
use super::{
    CLOUD_HYPERVISOR, DESCRIPTION, ELF_KERNEL, FIRECRACKER, INITRAMFS, KERNEL, Microvm, QCOW2, RAW, ROOT,
};
use crate::container::{Compression, Folder, qcow2, raw};
use crate::engine::{CHUNK, Chunk, RawImage, Sink, Stored};
use crate::error::{Error, Kind, Result};
use crate::tree::Content;

/// Writes a microVM.
pub(in crate::container) struct Writer<'a> {
    microvm: &'a Microvm,
    /// What takes the bytes of the root.
    root: Box<dyn Sink>,
    drive: Drive,
    folder: &'a Folder,
}

impl<'a> Writer<'a> {
    /// The one whose root is `image`.
    ///
    /// # Errors
    /// Those of the folder and of a qcow2.
    pub(in crate::container) fn new(
        image: RawImage<'_>,
        compression: Compression,
        microvm: &'a Microvm,
        folder: &'a Folder,
    ) -> Result<Self> {
        let (file, format) = match compression {
            Compression::None => (RAW, DriveFormat::Raw),
            _ => (QCOW2, DriveFormat::Qcow2),
        };
        let output = folder.file(file)?;
        let root: Box<dyn Sink> = match format {
            DriveFormat::Raw => Box::new(raw::Writer::new(image.size, output)),
            DriveFormat::Qcow2 => Box::new(qcow2::Writer::new(image, compression, output)?),
        };
        let drive = Drive { id: ROOT.into(), file: file.into(), format, read_only: microvm.is_read_only };
        Ok(Self { microvm, root, drive, folder })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.folder.file(name)?.write_at(bytes, 0)
    }

    /// Write what these readers give, one behind the other.
    fn copy<'r>(
        &self,
        name: &str,
        parts: impl IntoIterator<Item = Result<Box<dyn Read + 'r>>>,
    ) -> Result<()> {
        let output = self.folder.file(name)?;
        let empty: Box<dyn Read + 'r> = Box::new(std::io::empty());
        let mut reader = parts
            .into_iter()
            .try_fold(empty, |all, part| Ok::<_, Error>(Box::new(all.chain(part?)) as Box<dyn Read + 'r>))?;
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        loop {
            let read = reader.read(&mut buffer);
            let len = read.map_err(|error| Error::io(name, "cannot be read", error))?;
            if len == 0 {
                return Ok(());
            }
            output.write_at(&buffer[..len], at)?;
            at += len as u64;
        }
    }

    fn describe(&self, name: &str, description: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(description);
        let text = text.map_err(|error| Error::new(Kind::Input, name, error.to_string()))?;
        self.write(name, format!("{text}\n").as_bytes())
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.root.encode(chunk, stored)
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.root.commit(chunk, stored)
    }

    fn finish(&self) -> Result<()> {
        self.root.finish()?;
        let Microvm { vm, kernel, vmlinux, initramfs, .. } = self.microvm;
        self.copy(KERNEL, [kernel.reader()])?;
        if let Some(vmlinux) = vmlinux {
            self.copy(ELF_KERNEL, [vmlinux.reader()])?;
        }
        if !initramfs.is_empty() {
            self.copy(INITRAMFS, initramfs.iter().map(Content::reader))?;
        }
        let vm = Vm { drives: vec![self.drive.clone()], ..vm.clone() };
        self.describe(DESCRIPTION, &vm)?;
        firecracker(&vm).map_or(Ok(()), |told: Value| self.describe(FIRECRACKER, &told))?;
        if vm.machines.is_empty() {
            return Ok(());
        }
        self.describe(CLOUD_HYPERVISOR, &cloud_hypervisor(&vm))
    }
}
