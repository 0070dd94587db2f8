//! ext4: a tree becomes a file system that kernels since 5.10, e2fsprogs since 1.46 and GRUB since 2.06
//! read, write, check and grow.
//!
//! ```text
//! group   0                      1            2   3            …  16           17 …
//!       ┌─┬──┬────┬──┬──┬───────┬─┬──┬────┬──┬───┬─┬──┬────┬──┬─ ─┬──┬──┬─────┬── ─
//!       │S│GD│GDR │BB│IB│inode  │S│GD│GDR │  │   │S│GD│GDR │  │   │BB│IB│inode│
//!       │ │  │    │16│16│tables │ │  │    │  │   │ │  │    │  │   │16│16│table│
//!       └─┴──┴────┴──┴──┴───────┴─┴──┴────┴──┴───┴─┴──┴────┴──┴─ ─┴──┴──┴─────┴── ─
//!         S superblock  GD group descriptors  GDR blocks they can grow into  BB, IB bitmaps of blocks, inodes
//!         the free blocks, in order: journal, lost+found, directories, files
//! ```
//!
//! Specification: <https://docs.kernel.org/filesystems/ext4/>.
//!
//! Supported: everything a [`Tree`] can hold, files up to 16 TiB, directories up to about 259,000
//! blocks, extended attributes up to an inode and one block, growth to 1024 times the size (8 TiB at
//! least from 8 GiB on) without moving anything.
//!
//! Refused, with the path: attributes beyond that, more than 65,000 hard links, names over 255 bytes,
//! link targets over 4095 bytes, device numbers over 12 and 20 bits. File systems of 16 TiB and more.
//!
//! Given the layout of an earlier build ([`Placement`]), what has the same path keeps its inode and its blocks, so that two
//! builds that differ in one file differ in few blocks.
//!
//! Read: what the superblock says; files by their paths; one number for all that is in it. Of ext2 and ext3 too, in
//! blocks of any size, with every feature that mke2fs can set but those that it names as not read. Changed in a
//! copy: its UUID, and texts in place.
//!
//! Never set, because an older reader would refuse the disk: `metadata_csum_seed`, `orphan_file`,
//! `inline_data`, `casefold`, `ea_inode`, `verity`, `encrypt`.

mod acl;
mod alloc;
mod census;
mod csum;
mod dir;
mod extent_tree;
mod extents;
mod format;
mod geometry;
mod groups;
mod hash;
mod htree;
mod inode;
mod journal;
mod keep;
mod lookup;
mod placement;
mod plan;
mod ranges;
mod read;
mod rename;
mod render;
mod resize_inode;
mod sums;
mod texts;
mod tree_digest;
mod volume;
mod walk;
mod xattr;

pub use lookup::read_text;
pub use placement::{PACKED_MAX, Placement};
pub use plan::{Draft, Planned, Stayed};
pub use read::{Found, read};
pub(crate) use rename::rename;
pub(crate) use texts::edit_texts;
pub use tree_digest::tree_digest;
pub(crate) use walk::walk;

use std::sync::Arc;

use crate::error::{Error, Kind, Result, show_size};
use crate::fs::Contents;
use crate::seed::Uuid;
use crate::tree::{Time, Tree};
use format::BLOCK_SIZE;

/// What a file system is to be, beside its tree.
#[derive(Clone, Debug)]
pub struct Options {
    /// Volume label, at most 16 bytes, no NUL.
    pub label: String,
    /// The file system's UUID.
    pub uuid: Uuid,
    /// Seed of the hashes that large directories are sorted by.
    pub hash_seed: Uuid,
    /// Size of the image in bytes, a multiple of 4096 below 16 TiB. [`minimum_size`] does not look at it.
    pub size: u64,
    /// When it was made, last written and last checked.
    pub created: Time,
    /// Share of the blocks that only root may fill, 0 to 50.
    pub reserved_percent: u8,
}

/// Plan the ext4 file system of `tree`; [`Draft`] does it in steps.
///
/// It has as many inodes as `tree` needs and some more, at least one for each 16 KiB; a journal by
/// mke2fs's table (4 MiB below 128 MiB, 64 MiB from 2 to 16 GiB).
///
/// # Errors
/// `Input` names the path that ext4 cannot hold, or the option that is wrong. `NoSpace` says the smallest
/// larger size that would do.
pub fn plan(tree: &Arc<Tree>, options: &Options) -> Result<Contents> {
    Draft::new(tree, options)?.plan(options.size)
}

/// The smallest size in bytes for which [`plan()`] succeeds.
///
/// # Errors
/// `Input` as for [`plan()`]; `NoSpace` if no size below 16 TiB does.
pub fn minimum_size(tree: &Arc<Tree>, options: &Options) -> Result<u64> {
    Draft::new(tree, options)?.minimum_size()
}

/// The largest number of blocks; beyond it block numbers no longer have 32 bits.
const BLOCKS_MAX: u32 = u32::MAX;

impl Options {
    fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(Kind::Input, "ext4", message));
        if self.label.len() > 16 || self.label.contains('\0') {
            return wrong(format!("the label {:?} is longer than 16 bytes or contains NUL", self.label));
        }
        if self.reserved_percent > 50 {
            return wrong(format!("{} % reserved blocks, ext4 allows 50 %", self.reserved_percent));
        }
        Ok(())
    }
}

fn check_size(size: u64) -> Result<()> {
    let wrong = |message: String| Err(Error::new(Kind::Input, "ext4", message));
    if !size.is_multiple_of(BLOCK_SIZE as u64) {
        return wrong(format!("a size of {size} bytes is not a multiple of {BLOCK_SIZE}"));
    }
    if size / BLOCK_SIZE as u64 > u64::from(BLOCKS_MAX) {
        return wrong(format!("a size of {} is too large, it must be below 16 TiB", show_size(size)));
    }
    Ok(())
}
