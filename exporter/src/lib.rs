//! Turn a file tree into a bootable disk: no root, no mounts, no loop devices, no external programs.
//!
//! ```text
//! directory ─scan──────────┐
//! tar, image layers ─input─┴▶ Tree ─machine edits─▶ root Tree ─┐
//! boot loader files ───────────────────────────────▶ ESP Tree ─┴─plan─▶ file-system layouts ─▶ disk layout
//! all layouts ─▶ extents in the order of the disk ─engine─▶ container files (raw, qcow2, vmdk, …)
//! ```
//!
//! [`clone`] makes another disk of one that is there. [`assemble`] is this pipeline. Planning knows every size, and compresses what file systems
//! compress to know it; writing decides nothing. The
//! library never prints, never reads the environment and never asks a clock: identity comes from a
//! [`seed::Seed`], time from the [`spec::Spec`] or else from the tree.

// What reads the texts of an image ends with an error, never by a panic, which would be the end of the process.
#[cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice))]
mod architecture;
#[cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice))]
pub mod assemble;
pub mod authenticode;
#[cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice))]
pub mod boot;
pub mod choice;
pub mod clone;
mod codec;
pub mod container;
mod date;
pub mod delta;
pub mod disk;
pub mod engine;
pub mod error;
pub mod export;
pub mod extent;
pub mod fs;
pub mod hint;
pub mod image;
#[cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice))]
pub mod initramfs;
pub mod input;
pub mod iso9660;
#[cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice))]
pub mod kernel;
pub mod limits;
#[cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice))]
pub mod machine;
pub mod nbd;
mod patches;
pub mod pki;
pub mod read_at;
pub mod report;
pub mod secure_boot;
pub mod seed;
pub mod sign;
#[cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice))]
pub mod spec;
mod stamp;
pub mod terminal;
#[cfg(test)]
mod testing;
pub mod tree;
pub mod uki;

pub use error::{Error, Kind, Result};
