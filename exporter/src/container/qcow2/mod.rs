//! qcow2, version 3. Specification: QEMU, docs/interop/qcow2.rst.
//!
//! ```text
//! ┌────────┬──────────┬────────────────┬─────────────────┬──────────────────────────────┬───────────┐
//! │ header │ L1 table │ refcount table │ refcount blocks │ clusters, in the order of    │ L2 tables │
//! │        │          │                │ (upper bound)   │ the image, plain or packed   │           │
//! └────────┴──────────┴────────────────┴─────────────────┴──────────────────────────────┴───────────┘
//! ```
//!
//! Written in one pass: clusters of 64 KiB in the order they are committed, tables last. Zero clusters
//! are not allocated. Compressed clusters lie byte by byte behind each other; one that does not shrink
//! is stored plain. Zlib here means raw deflate, as the format has it, but with the usual
//! window of 32 KiB, which QEMU reads; zlib-strict keeps to the 4 KiB that QEMU writes.
//!
//! Read: what is written here, and every other image without backing file, encryption, external data
//! and extended L2 entries.

mod format;
mod read;
mod write;

pub use read::{Reader, is_qcow2, virtual_size};
pub(super) use write::Writer;
