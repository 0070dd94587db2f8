//! VMDK, subformat streamOptimized. Specification: VMware, "Virtual Disk Format 5.0", sections "Hosted
//! Sparse Extents" and "Stream-Optimized Compressed Sparse Extents".
//!
//! ```text
//! ┌────────┬────────────┬─────────────┬────────┬──────────┬────────┬─────┬───────────┬────────┬─────┐
//! │ header │ descriptor │ up to       │ grains │ M, grain │ grains │ ... │ M, grain  │ M,     │ EOS │
//! │        │ (text)     │ 64 KiB      │        │ table    │        │     │ directory │ footer │     │
//! └────────┴────────────┴─────────────┴────────┴──────────┴────────┴─────┴───────────┴────────┴─────┘
//!   M: a marker, a sector that says what follows; EOS: the marker that ends the stream
//! ```
//!
//! Written from front to end, as the specification lays a stream out: grains of 64 KiB in the order of
//! the disk, each a zlib stream behind a marker of its own; the table of 512 grains as soon as they are
//! written; the footer, a header that knows where the directory is. Zero grains are not stored, and
//! neither are tables without any. The values of the header and the descriptor are those VMware's own
//! open-vmdk writes; that tool goes back to fill in a directory in front, which neither a pipe allows
//! nor a digest that is taken on the way.
//!
//! Read: what is written here, and every other file that holds a sparse disk alone (streamOptimized and
//! monolithicSparse) without a parent.

mod format;
mod read;
mod write;

pub(super) use read::{Reader, is_vmdk};
pub(super) use write::Writer;
