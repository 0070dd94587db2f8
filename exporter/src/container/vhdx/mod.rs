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
//! Headers and region tables are there twice, each with a CRC-32C; the rest has no checksum.
//!
//! Read: what is written here, and every other image without a parent whose log is empty.

mod format;
mod read;
mod write;

pub(super) use read::{is_vhdx, open};
pub(super) use write::tables;
