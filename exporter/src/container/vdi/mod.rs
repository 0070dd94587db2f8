//! VDI, the dynamic format of VirtualBox. Source: VirtualBox, src/VBox/Storage/VDICore.h.
//!
//! ```text
//! ┌────────┬───────────┬───────────────┬────────────────────────────────────────┐
//! │ header │ block map │ up to 1 MiB   │ blocks of 1 MiB, in the order of the   │
//! │        │           │               │ disk                                   │
//! └────────┴───────────┴───────────────┴────────────────────────────────────────┘
//! ```
//!
//! The format has no checksum. Read: what is written here, and every other dynamic or fixed image
//! without a parent.

mod format;
mod read;
mod write;

pub(super) use read::{is_vdi, open};
pub(super) use write::tables;
