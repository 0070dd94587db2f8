//! VHDX, the dynamic format of Hyper-V. Specification: Microsoft, [MS-VHDX].
//!
//! ```text
//! 0            1 MiB   2 MiB      3 MiB
//! ┌────────────┬───────┬──────────┬─────┬──────────────────────────────────────┐
//! │ headers,   │ log,  │ metadata │ BAT │ blocks of 1 MiB, in the order of the │
//! │ region     │ empty │          │     │ disk                                 │
//! │ tables     │       │          │     │                                      │
//! └────────────┴───────┴──────────┴─────┴──────────────────────────────────────┘
//! ```
//!
//! A strict reader wants (the specification, by section; QEMU, block/vhdx.c, `vhdx_open`; VirtualBox,
//! src/VBox/Storage/VHDX.cpp):
//!
//! - 2.2.1: the file identifier
//! - 2.2.2: two headers of 4 KiB with checksums, version 1, numbers that differ; a log of whole mebibytes, even if it
//!   is empty, with a zero GUID and version
//! - 2.2.3: two equal region tables with checksums; regions of whole mebibytes behind the first, none over another,
//!   each GUID once
//! - 2.5: in the BAT an entry for each block, and one for a bitmap after each chunk of them; no state but those of
//!   2.5.1.1; blocks at whole mebibytes, none over another or over a region, all within the file
//! - 2.6: a table of 64 KiB, the items behind it; five of them once each and required, of which the parameters of the
//!   file are not the virtual disk's
//! - 2.6.2: a block of 1 to 256 MiB, sectors of 512 or 4096 bytes, a disk of whole sectors and 64 TiB at most
//! - Hyper-V besides: a file that is neither sparse nor compressed by its file system
//!
//! Headers and region tables are there twice, each with a CRC-32C; the rest has no checksum.
//!
//! Read: what is written here, and every other image without a parent whose log is empty.

mod format;
mod read;
mod write;

pub(super) use read::{is_vhdx, open};
pub(super) use write::tables;
