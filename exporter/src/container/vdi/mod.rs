//! VDI, the dynamic format of VirtualBox. Source: VirtualBox, src/VBox/Storage/VDICore.h.
//!
//! ```text
//! ┌────────┬───────────┬───────────────┬────────────────────────────────────────┐
//! │ header │ block map │ up to 1 MiB   │ blocks of 1 MiB, in the order of the   │
//! │        │           │               │ disk                                   │
//! └────────┴───────────┴───────────────┴────────────────────────────────────────┘
//! ```
//!
//! A strict reader wants (VirtualBox, src/VBox/Storage/VDI.cpp, `vdiValidateHeader`; QEMU, block/vdi.c, `vdi_open`
//! and `vdi_check`):
//!
//! - a header of 384 bytes at least; if it has 400, the LCHS geometry in it names sectors of 512 bytes, as the legacy
//!   one does (VirtualBox: else *VERR_NOT_SUPPORTED*)
//! - the block map behind the header, the blocks behind the map, both at multiples of 512 bytes
//! - a block size that is a power of two (QEMU: 1 MiB), and as many entries as the disk has blocks
//! - the UUIDs of creation and modification set, those of a parent zero
//! - in the map, no place twice, none that is not below the number of blocks, and as many as the header counts
//!
//! The format has no checksum. Read: what is written here, and every other dynamic or fixed image
//! without a parent.

mod format;
mod read;
mod write;

pub(super) use read::{is_vdi, open};
pub(super) use write::tables;
