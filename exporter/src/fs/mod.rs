//! File systems: a tree goes in, a [`Layout`] comes out. Nothing is written here; what others have written
//! is read as far as `inspect` shows it.

mod budget;
pub mod ext4;
pub mod fat;

use crate::extent::Extents;
pub use budget::DiskBudget;

/// A planned file system: its size and where every byte of it comes from.
#[derive(Debug)]
pub struct Layout {
    /// Size of the file system in bytes.
    pub size: u64,
    /// What no extent covers is zero.
    pub extents: Box<dyn Extents>,
}
