//! Turn a file tree into a bootable disk: no root, no mounts, no loop devices, no external programs.
//!
//! ```text
//! directory ─scan─▶ Tree ─machine edits─▶ root Tree + ESP Tree
//! each Tree ─plan─▶ file-system layout (every byte has a place) ─▶ disk layout
//! all layouts ─▶ one sorted list of extents ─engine─▶ container file (raw, qcow2)
//! ```
//!
//! Planning is pure and knows every size; writing decides nothing. The library never prints, never
//! reads the environment and never asks a clock: identity and time come from [`seed::Seed`].

pub mod container;
pub mod disk;
pub mod engine;
pub mod error;
pub mod extent;
pub mod fs;
pub mod read_at;
pub mod seed;
#[cfg(test)]
mod testing;
pub mod tree;

pub use error::{Error, Kind, Result};
