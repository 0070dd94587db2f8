//! A unified kernel image: a program for UEFI that has a kernel and all that belongs to it as sections.
//!
//! ```text
//! stub: headers │ its own sections ││ .osrel │ .cmdline │ .uname │ .initrd │ .sbat │ .linux ││ .profile │ .profile │ .osrel │ .cmdline
//!                                     what every profile has                               normal     rescue
//! ```
//!
//! Nothing of the stub changes but its headers. Where an image has an `.sbat`, which says what the kernel says, too, the stub's own
//! is called [`OLD_SBAT`] and is read by nobody. The kernel is the last section of an image without profiles: there is
//! nothing behind it that it could unpack itself over; with profiles it is not, and stubs that know those leave it the
//! room that it asks for.
//!
//! Source: Unified Kernel Image specification (UAPI.5), "UKI Components", "Multi-Profile UKIs", "PE Addons"; systemd-stub(7),
//! which finds sections by their names and measures them in an order of its own, whatever that in the file is.

mod addon;
mod format;
mod image;
mod sbat;
mod section;
mod stub;

use std::sync::Arc;

use zerocopy::IntoBytes;

use crate::architecture::Architecture;
use crate::error::{Error, Kind, Result};
use format::SectionHeader;
use stub::Stub;

pub use addon::{addon, addon_stub_path};
pub use image::{Profile, UnifiedImage};
pub use section::{Part, Section};

/// The largest address in the memory of such a program.
const LIMIT: u64 = u32::MAX as u64;
/// What a stub's own `.sbat` is called where the image has one of all its components.
const OLD_SBAT: &str = ".oldsbat";
/// The first stub that knows several profiles.
const PROFILES_SINCE: u32 = 257;

/// Where an image has the stub, which systemd calls by the suffix of EFI programs.
pub fn stub_path(architecture: Architecture) -> String {
    format!("/usr/lib/systemd/boot/efi/linux{}.efi.stub", architecture.efi_suffix())
}

/// Whether `head`, the first bytes of a file, are those of a unified kernel image.
pub(crate) fn is_uki(head: &[u8]) -> bool {
    Stub::parse(head).is_ok_and(|stub| stub.has(".linux"))
}

/// Whether a stub starts the profile that it is told; one of an earlier systemd would take the sections of the last one.
pub fn knows_profiles(stub: &[u8]) -> bool {
    release(stub, "systemd-stub").is_some_and(|release| release >= PROFILES_SINCE)
}

/// Of which systemd a program of this name is, by what it tells of itself (the section `.sdmagic`); `None`: it tells nothing.
pub(crate) fn release(program: &[u8], name: &str) -> Option<u32> {
    let magic = format!("#### LoaderInfo: {name} ").into_bytes();
    let at = program.windows(magic.len()).position(|window| window == magic)?;
    let text = program.iter().skip(at + magic.len());
    let digits: String =
        text.take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
    digits.parse().ok()
}

/// The program of `stub`, whose file `place` names in messages, with these sections behind its own.
///
/// # Errors
/// If the stub is none, or has no room for them.
pub fn plan<P: Part>(
    stub: &[u8],
    place: &str,
    architecture: Architecture,
    sections: Vec<Section<P>>,
) -> Result<P> {
    let refused = |why: String| {
        Error::new(Kind::Input, place, why)
            .with_hint("take systemd's stub as the distribution's package has it, unsigned")
    };
    let mut parsed = Stub::parse(stub).map_err(|why| refused(why.to_owned()))?;
    if !parsed.is_for(architecture) {
        return Err(refused(format!("is no program for UEFI on {architecture}")));
    }
    if sections.iter().any(|section| section.name == sbat::SECTION) {
        parsed.rename(sbat::SECTION, OLD_SBAT);
    }
    if sections.iter().any(|section| !section.is_nx) {
        parsed.clear_nx();
    }
    let names: Vec<_> = sections.iter().map(|section| section.name).collect();
    parsed.check(&names, stub.len() as u64).map_err(refused)?;
    let stub = parsed.without_symbols(stub);
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
        parsed.add(section_header(&section, [in_memory, address, raw, file]));
        let mut at = file;
        for part in section.parts {
            let size = part.size();
            parts.push((at, part));
            at += size;
        }
        file += raw;
    }
    let head = Arc::from(parsed.head(stub));
    Ok(P::program(head, parts, file))
}

/// Each of these numbers fits: that was looked at.
fn section_header<P>(section: &Section<P>, [in_memory, address, raw, file]: [u64; 4]) -> SectionHeader {
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
        characteristics: section.characteristics.into(),
    };
    let name = section.name.bytes();
    header.name.as_mut_bytes().iter_mut().zip(name).for_each(|(to, byte)| *to = byte);
    header
}

#[cfg(test)]
mod tests;
