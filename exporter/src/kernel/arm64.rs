//! Images of arm64 (booting.rst of the kernel's documentation for it), and the programs for EFI that unpack one
//! (`CONFIG_EFI_ZBOOT`, drivers/firmware/efi/libstub/zboot-header.S).

use std::mem::offset_of;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::Recognised;
use crate::architecture::Architecture;

/// "Call the kernel image": the header of an Image.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    code0: U32,
    code1: U32,
    text_offset: U64,

    image_size: U64,
    flags: U64,

    res2: U64,
    res3: U64,

    res4: U64,
    magic: [u8; 4],
    res5: U32,
}

const _: () = assert!(size_of::<Header>() == 64);
const _: () = assert!(offset_of!(Header, magic) == 56);

const MAGIC: [u8; 4] = *b"ARM\x64";
/// Of `flags`: the kernel is big-endian.
const BIG_ENDIAN: u64 = 1;

/// The header of a program that unpacks a kernel, in place of what DOS had there.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Zboot {
    mz_magic: [u8; 4],
    image_type: [u8; 4],
    payload_offset: U32,
    payload_size: U32,
}

/// What a file of `len` bytes with this head is; `None`: neither of them. What a program unpacks is known once it is.
pub(super) fn read(head: &[u8], len: u64) -> Result<Option<Recognised>, String> {
    if is_image(head) {
        return Ok(Some(Recognised::plain(Architecture::Aarch64)));
    }
    let Ok((zboot, _)) = Zboot::ref_from_prefix(head) else { return Ok(None) };
    if zboot.mz_magic != *b"MZ\0\0" || zboot.image_type != *b"zimg" {
        return Ok(None);
    }
    let start = u64::from(zboot.payload_offset.get());
    let end = start + u64::from(zboot.payload_size.get());
    if end > len {
        return Err(format!("is cut off: a kernel of at least {end} bytes has only {len}"));
    }
    Ok(Some(Recognised::packed(Architecture::Aarch64, start..end)))
}

/// Whether these are the first bytes of an Image.
pub(super) fn is_image(head: &[u8]) -> bool {
    Header::ref_from_prefix(head)
        .is_ok_and(|(header, _)| header.magic == MAGIC && header.flags.get() & BIG_ENDIAN == 0)
}
