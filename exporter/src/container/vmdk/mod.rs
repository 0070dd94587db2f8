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
//! A strict reader wants (the specification; VMware's open-vmdk, `vmdk/sparse.c`; VirtualBox,
//! src/VBox/Storage/VMDK.cpp, `vmdkValidateHeader` and `vmdkOpenImage`; QEMU, block/vmdk.c, `vmdk_open_vmdk4`):
//!
//! - header and footer alike but for the place of the directory: version 3 for ESXi, the flags of compression and
//!   markers together, deflate, end-of-line characters that no transfer has changed
//! - grains of 128 sectors, tables of 512 entries; no redundant directory (its flag is clear and its place 0): the
//!   specification has it for disks that are written to, not for streams
//! - each grain, table, directory and footer behind its marker at a whole sector, the marker that ends the stream
//!   last; each marker of a grain with the place in the disk that the table gives it; grains in the order of the disk
//! - a descriptor within the sectors that the header names: `version`, `CID` (not ffffffff), `parentCID` (ffffffff: no
//!   parent), `createType`, one extent of the capacity's sectors, `ddb.adapterType`, `ddb.geometry.*` and
//!   `ddb.virtualHWVersion`; vSphere besides a `ddb.longContentID` that ends in the CID, and `ddb.toolsVersion`
//! - VirtualBox: `ddb.uuid.image`, `.modification`, `.parent` and `.parentmodification`; a disk without them gets others
//!   at each look, and can be neither attached nor cloned
//!
//! Read: what is written here, and every other file that holds a sparse disk alone (streamOptimized and
//! monolithicSparse) without a parent.

mod format;
mod read;
mod write;

pub(super) use read::{Reader, is_vmdk};
pub(super) use write::Writer;
