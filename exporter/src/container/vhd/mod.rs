//! VHD. Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0.
//!
//! Fixed, as Azure takes it: the raw disk, whole mebibytes long, and a footer of one sector. Dynamic:
//! blocks that are zero are not stored ([`dynamic`]).
//!
//! Read: what is written here, and every other fixed and dynamic disk; differencing ones are not.

pub(super) mod dynamic;
mod format;
mod read;
mod write;

pub(super) use read::{format_of, open};
pub(super) use write::Writer;

use crate::error::{Error, Kind, Result, show_size};

/// The largest disk, 2040 GiB: the specification's limit, and QEMU's.
const SIZE_MAX: u64 = 0xff00_0000 * format::SECTOR;

fn check_size(size: u64) -> Result<()> {
    if size <= SIZE_MAX {
        return Ok(());
    }
    let message = format!("{} is more than the 2040 GiB of the largest disk", show_size(size));
    Err(Error::new(Kind::Unsupported, "vhd", message).with_hint("ask for vhdx"))
}
