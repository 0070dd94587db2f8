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
//! A strict reader wants (the specification; QEMU, block/qcow2.c, `qcow2_do_open`, and block/qcow2-refcount.c, which
//! is `qemu-img check`):
//!
//! - clusters of 512 bytes to 2 MiB; tables that begin at clusters, an L1 table of 32 MiB and a refcount table of 8 MiB
//!   at most, counts of 1 to 64 bits
//! - no bit set that has no meaning; L2 tables and plain clusters at multiples of a cluster and within the file
//! - one thing in each cluster, or as many as its reference count says; the bit in the entry set if the count is 1
//! - compressed clusters as raw deflate, or a zstd frame, that unpacks to a cluster
//!
//! Over a [`Base`] it has the clusters alone that differ from that disk: those that are zero here and not there are
//! marked as zero, all others that are alike are not allocated, and the tables lie behind the clusters, since nobody
//! knows before how many there will be. The header names the base as QEMU's does: by a path relative to the new file,
//! and with its format.
//!
//! Read: what is written here, and every other image without encryption, external data and extended L2 entries; one
//! with a backing file only as a base that was named.

mod arriving;
mod base;
mod check;
mod clusters;
mod format;
pub mod overlay;
mod read;
mod write;

pub use arriving::Arriving;
pub use base::Base;
pub(super) use base::open_layers;

pub use read::{Reader, is_qcow2, virtual_size};
pub(super) use write::Writer;
