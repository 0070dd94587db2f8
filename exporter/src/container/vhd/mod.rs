//! Fixed VHD, as Azure takes it: the raw disk, whole mebibytes long, and a footer of one sector.
//! Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0.
//!
//! Read: what is written here, and every other fixed disk; dynamic and differencing ones are not.

mod format;
mod read;
mod write;

pub(super) use read::{Reader, is_vhd};
pub(super) use write::Writer;
