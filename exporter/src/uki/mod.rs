//! A unified kernel image: a program for UEFI that has a kernel and all that belongs to it as sections.
//!
//! ```text
//! stub: headers │ its own sections ││ .osrel │ .cmdline │ .uname │ .initrd │ .linux
//! ```
//!
//! Nothing of the stub changes but its headers; its `.sbat` is left as it is. The kernel is the last section: there is
//! nothing behind it that it could unpack itself over.
//!
//! Source: Unified Kernel Image specification (UAPI.5), "UKI Components"; systemd-stub(7), which finds sections by their names.

mod format;
mod stub;

use std::io::Read;
use std::sync::Arc;

use zerocopy::IntoBytes;

use crate::architecture::Architecture;
use crate::error::{Error, Kind, Result};
use crate::extent::{Extent, Extents};
use crate::fs::Contents;
use crate::tree::Content;
use format::{DATA, SectionHeader};
use stub::Stub;

/// What is read of a kernel to find its headers.
const HEAD: u64 = 64 << 10;
/// The largest address in the memory of such a program.
const LIMIT: u64 = u32::MAX as u64;

/// Where an image has the stub, which systemd calls by the suffix of EFI programs.
pub fn stub_path(architecture: Architecture) -> String {
    format!("/usr/lib/systemd/boot/efi/linux{}.efi.stub", architecture.efi_suffix())
}

/// Whether `head`, the first bytes of a file, are those of a unified kernel image.
pub(crate) fn is_uki(head: &[u8]) -> bool {
    Stub::parse(head).is_ok_and(|stub| stub.has(".linux"))
}

/// A section that the stub looks for.
pub struct Section {
    /// Its name, at most eight bytes.
    name: &'static str,
    /// Bytes in memory, where those are more than it has.
    in_memory: u64,
    /// What it has, one behind the other.
    parts: Vec<Contents>,
}

impl Section {
    /// One of these bytes.
    pub fn of_bytes(name: &'static str, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::of_parts(name, vec![Contents::of_file(&Content::Bytes(bytes.into()))])
    }

    /// One of these parts, one behind the other.
    pub fn of_parts(name: &'static str, parts: Vec<Contents>) -> Self {
        Self { name, in_memory: 0, parts }
    }

    /// That of the kernel in a file, which `place` names in messages.
    ///
    /// # Errors
    /// If it is no program for UEFI on this architecture.
    pub fn of_kernel(kernel: &Content, place: &str, architecture: Architecture) -> Result<Self> {
        let mut head = Vec::new();
        let read = kernel.reader()?.take(HEAD).read_to_end(&mut head);
        read.map_err(|error| Error::io(place, "cannot be read", error))?;
        let program = Stub::parse(&head).ok().filter(|program| program.is_for(architecture));
        let Some(program) = program else {
            let message = format!("is no program for UEFI on {architecture}, which a uki starts");
            return Err(Error::new(Kind::Unsupported, place, message)
                .with_hint("build it with CONFIG_EFI_STUB, or take a distribution's kernel"));
        };
        let parts = vec![Contents::of_file(kernel)];
        // Where the stub has the kernel run in place, it needs the room behind its bytes, too.
        Ok(Self { name: ".linux", in_memory: program.size_in_memory(), parts })
    }

    fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }
}

/// The program of `stub`, whose file `place` names in messages, with these sections behind its own.
///
/// # Errors
/// If the stub is none, or has no room for them.
pub fn plan(
    stub: &[u8],
    place: &str,
    architecture: Architecture,
    sections: Vec<Section>,
) -> Result<Contents> {
    let refused = |why: String| {
        Error::new(Kind::Input, place, why)
            .with_hint("take systemd's stub as the distribution's package has it, unsigned")
    };
    let mut parsed = Stub::parse(stub).map_err(|why| refused(why.to_owned()))?;
    if !parsed.is_for(architecture) {
        return Err(refused(format!("is no program for UEFI on {architecture}")));
    }
    let names: Vec<_> = sections.iter().map(|section| section.name).collect();
    parsed.check(&names, stub.len() as u64).map_err(refused)?;
    let mut file = (stub.len() as u64).next_multiple_of(parsed.file_alignment());
    let mut parts = Vec::new();
    for section in sections {
        let (len, address) = (section.len(), parsed.end_in_memory());
        let in_memory = len.max(section.in_memory);
        let raw = len.next_multiple_of(parsed.file_alignment());
        if address + in_memory > LIMIT || file + raw > LIMIT {
            return Err(refused("would have more than 4 GiB, which no program for UEFI may have".into())
                .with_hint("ask for microvm, or for a disk, whose root may be larger"));
        }
        parsed.add(section_header(section.name, [in_memory, address, raw, file]));
        let mut at = file;
        for part in section.parts {
            let size = part.size;
            parts.push((at, part));
            at += size;
        }
        file += raw;
    }
    let head = Arc::from(parsed.head(stub));
    Ok(Contents { size: file, extents: Box::new(Program { head, parts }) })
}

/// Each of these numbers fits: that was looked at.
fn section_header(name: &str, [in_memory, address, raw, file]: [u64; 4]) -> SectionHeader {
    let mut header = SectionHeader {
        name: [0; 8],
        virtual_size: (in_memory as u32).into(),
        virtual_address: (address as u32).into(),
        size_of_raw_data: (raw as u32).into(),
        pointer_to_raw_data: (file as u32).into(),
        pointer_to_relocations: 0.into(),
        pointer_to_linenumbers: 0.into(),
        number_of_relocations: 0.into(),
        number_of_linenumbers: 0.into(),
        characteristics: DATA.into(),
    };
    header.name.as_mut_bytes().iter_mut().zip(name.bytes()).for_each(|(to, byte)| *to = byte);
    header
}

/// The bytes of the program.
struct Program {
    /// The stub, with other headers.
    head: Arc<[u8]>,
    /// What is behind it, and where.
    parts: Vec<(u64, Contents)>,
}

impl Extents for Program {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let parts = self.parts.iter();
        let parts = parts.flat_map(|(at, part)| part.extents.iter().map(|extent| extent.shifted(*at)));
        Box::new(std::iter::once(Extent::bytes(0, Arc::clone(&self.head))).chain(parts))
    }
}

#[cfg(test)]
mod tests;
