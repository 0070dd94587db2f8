//! The table of signatures at the end of a program.

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::digest::ALIGNMENT;

/// What each signature begins with. Source: UEFI specification 2.10, section 32.2.4, `WIN_CERTIFICATE`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    /// With this header, and without what is behind it up to the next.
    dw_length: U32,
    /// [`Self::REVISION`]
    w_revision: U16,
    /// [`Self::PKCS_SIGNED_DATA`]
    w_certificate_type: U16,
}

impl Header {
    const REVISION: u16 = 0x0200;
    const PKCS_SIGNED_DATA: u16 = 0x0002;
}

const _: () = assert!(size_of::<Header>() == 8);

/// A message as an entry, filled up so that another one may follow.
pub(super) fn entry(message: &[u8]) -> Vec<u8> {
    let len = size_of::<Header>() + message.len();
    let header = Header {
        dw_length: U32::new(len as u32),
        w_revision: U16::new(Header::REVISION),
        w_certificate_type: U16::new(Header::PKCS_SIGNED_DATA),
    };
    let mut entry = [header.as_bytes(), message].concat();
    entry.resize(len.next_multiple_of(ALIGNMENT as usize), 0);
    entry
}

/// The messages in a table, `None` for what is none of CMS.
///
/// # Errors
/// If the table is none.
pub(super) fn messages(mut table: &[u8]) -> Result<Vec<Option<&[u8]>>, &'static str> {
    const BROKEN: &str = "has a broken table of signatures";
    let mut messages = Vec::new();
    while !table.is_empty() {
        let (header, _) = Header::read_from_prefix(table).map_err(|_| BROKEN)?;
        let len = header.dw_length.get() as usize;
        let message = table.get(size_of::<Header>()..len).ok_or(BROKEN)?;
        let is_cms = header.w_revision.get() == Header::REVISION
            && header.w_certificate_type.get() == Header::PKCS_SIGNED_DATA;
        messages.push(is_cms.then_some(message));
        table = table.get(len.next_multiple_of(ALIGNMENT as usize)..).unwrap_or_default();
    }
    Ok(messages)
}
