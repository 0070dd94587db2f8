//! VHD. Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0.
//!
//! Fixed, as Azure takes it: the raw disk, whole mebibytes long, and a footer of one sector. Dynamic:
//! blocks that are zero are not stored ([`dynamic`]).
//!
//! A strict reader wants (the specification; Microsoft Learn, "Prepare a Windows VHD or VHDX to upload to Azure";
//! QEMU, block/vpc.c, `vpc_open`; VirtualBox, src/VBox/Storage/VHD.cpp):
//!
//! - the cookie, the version, the reserved bit of the features and the checksum of the footer; a type of 2 or 3
//! - Azure: a fixed disk whose current size is whole mebibytes, and nothing but the footer behind it
//! - a geometry by the rule of the specification's appendix, not larger than the current size; QEMU takes the disk's
//!   size from it unless it knows the creator
//! - fixed: a data offset of all ones; dynamic: that of a header with its cookie and checksum, whose own is all ones
//! - dynamic: the footer again at the start of the file, byte for byte (QEMU reads only that one); a table with an
//!   entry for each block, filled up to a sector with ones; blocks of a power of two, each behind its bitmap, none in
//!   the place of another, all within the file
//!
//! Read: what is written here, and every other fixed and dynamic disk; differencing ones are not.

pub(super) mod dynamic;
mod format;
mod read;
mod write;

pub(super) use read::{check, format_of, open};
pub(super) use write::Writer;

use crate::error::{Error, Kind, Result, show_size};

/// The largest disk, 2040 GiB: the specification's limit, and QEMU's.
pub(super) const SIZE_MAX: u64 = 0xff00_0000 * format::SECTOR;

fn check_size(size: u64) -> Result<()> {
    if size <= SIZE_MAX {
        return Ok(());
    }
    let message = format!("{} is more than the 2040 GiB of the largest disk", show_size(size));
    Err(Error::new(Kind::Unsupported, "vhd", message).with_hint("ask for vhdx"))
}
