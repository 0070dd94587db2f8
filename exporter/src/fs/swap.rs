//! Swap areas: a header in the first page, and room.
//!
//! ```text
//! ┌────────────┬─────────────────────────────┬────────────┬───────
//! │ boot bits  │ version, last page, UUID, … │ SWAPSPACE2 │ pages
//! └────────────┴─────────────────────────────┴────────────┴───────
//! 0            1024                       4086         4096
//! ```
//!
//! Specification: `union swap_header` of the kernel's `include/linux/swap.h`. Pages are of 4 KiB, as they are on x86 and on
//! arm64 as distributions build it; a kernel with pages of 16 or 64 KiB looks for the signature elsewhere and refuses the
//! area. Numbers have the order of the machine, which is little endian on both.

use std::mem::{offset_of, size_of};

use zerocopy::little_endian::U32;
use zerocopy::{FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{Contents, no_space};
use crate::error::{Error, Kind, Result, show_size};
use crate::extent::Extent;
use crate::seed::Uuid;

/// Bytes of a page.
const PAGE_SIZE: usize = 4096;
/// The fewest pages that mkswap makes an area of.
const PAGES_MIN: u64 = 10;
/// Bytes of the smallest area.
pub const SIZE_MIN: u64 = PAGES_MIN * PAGE_SIZE as u64;

/// What an area is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// At most 16 bytes, no NUL.
    pub label: String,
    /// What it is found by.
    pub uuid: Uuid,
}

/// `info` of `union swap_header`, and the signature that ends the page (`magic`).
#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    bootbits: [u8; 1024],
    version: U32,
    last_page: U32,
    nr_badpages: U32,
    sws_uuid: [u8; 16],
    sws_volume: [u8; 16],
    padding: [u8; 3018],
    magic: [u8; 10],
}

const _: () = assert!(size_of::<Header>() == PAGE_SIZE);
const _: () = assert!(offset_of!(Header, version) == 0x400);
const _: () = assert!(offset_of!(Header, sws_uuid) == 0x40c);
const _: () = assert!(offset_of!(Header, sws_volume) == 0x41c);
const _: () = assert!(offset_of!(Header, magic) == 0xff6);

/// Plan an area of `size` bytes; what is no whole page at its end stays unused.
///
/// # Errors
/// `Input` for a label that does not fit and an area of more than 16 TiB, `NoSpace` for one of less than [`SIZE_MIN`].
pub fn plan(size: u64, options: &Options) -> Result<Contents> {
    let wrong = |message: String| Err(Error::new(Kind::Input, "swap", message));
    let label = options.label.as_bytes();
    if label.len() > size_of_val(&Header::new_zeroed().sws_volume) || label.contains(&0) {
        return wrong(format!("the label {:?} is longer than 16 bytes or contains NUL", options.label));
    }
    if size < SIZE_MIN {
        return Err(no_space("swap", SIZE_MIN, size));
    }
    let Ok(last_page) = u32::try_from(size / PAGE_SIZE as u64 - 1) else {
        return wrong(format!("a size of {} is too large, an area has 16 TiB at most", show_size(size)));
    };
    let mut header = Header::new_zeroed();
    header.version = U32::new(1);
    header.last_page = U32::new(last_page);
    header.sws_uuid = options.uuid.0;
    header.sws_volume[..label.len()].copy_from_slice(label);
    header.magic = *b"SWAPSPACE2";
    Ok(Contents { size, extents: Box::new([Extent::bytes(0, header.as_bytes())]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(label: &str) -> Options {
        Options { label: label.to_owned(), uuid: Uuid([0x11; 16]) }
    }

    #[test]
    fn an_area_has_one_page_that_is_written() {
        let contents = plan(SIZE_MIN + 4095, &options("sixteen letters!")).unwrap();
        assert_eq!(contents.size, SIZE_MIN + 4095);
        let extents: Vec<_> = contents.extents.iter().collect();
        assert_eq!((extents.len(), extents[0].offset, extents[0].len), (1, 0, 4096));
    }

    #[test]
    fn what_cannot_be_an_area_is_refused() {
        let said = |size, label| plan(size, &options(label)).unwrap_err();
        let too_small = said(SIZE_MIN - 1, "");
        assert_eq!(*too_small.kind(), Kind::NoSpace { needed: SIZE_MIN, available: SIZE_MIN - 1 });
        assert!(said(1 << 20, "seventeen letters").to_string().contains("longer than 16 bytes"));
        assert!(said(1 << 20, "a\0b").to_string().contains("NUL"));
        assert!(plan((16 << 40) - 1, &options("")).is_ok());
        assert!(said((16 << 40) + 4096, "").to_string().ends_with("an area has 16 TiB at most"));
    }
}
