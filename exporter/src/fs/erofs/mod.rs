//! EROFS: a tree becomes a file system that is only read, as large as what is in it, and that kernels since 5.4 mount, since
//! 5.15 with holes in its files, since 5.13 with files that LZ4 has compressed, since 6.10 with those of zstd.
//!
//! ```text
//! ┌─────┬─────────────────────────────┬──────────────┬─────────────┬──────────────────────────┐
//! │ SB  │ inodes, each with its       │ attributes   │ directories │ files                    │
//! │     │ attributes and its small    │ that several │             │                          │
//! │     │ content or last part of it  │ inodes have  │             │                          │
//! └─────┴─────────────────────────────┴──────────────┴─────────────┴──────────────────────────┘
//!   block 0                            blocks from here on
//! ```
//!
//! Specification: `fs/erofs/erofs_fs.h` of the kernel and <https://docs.kernel.org/filesystems/erofs.html>.
//!
//! Supported: everything a [`Tree`] can hold; files of 8 EiB, of which 16 TiB are no holes; 256 KiB of extended attributes
//! for each inode. Files with holes are not compressed, and no directories. A file in a layer has blocks of its own, however small it is: only in the
//! order of the layers can they be read without being decoded again.
//!
//! Refused, with the path: attributes beyond that, of more than 65,535 bytes, or of another name than `user.…`,
//! `trusted.…`, `security.…` and ACLs; names over 255 bytes, link targets over 4095 bytes, device numbers over 12 and 20
//! bits; file systems of 16 TiB and more.

mod census;
mod chunks;
mod clusters;
mod directory;
mod extents;
mod format;
mod inode;
mod pack;
mod plan;
mod render;
mod room;
mod xattr;

pub use plan::Draft;

use crate::error::{Error, Kind, Result};
use crate::seed::Uuid;
use crate::tree::Time;

/// What a file system is to be, beside its tree.
#[derive(Clone, Debug)]
pub struct Options {
    /// Volume label, at most 15 bytes, no NUL: Linux 5.15 wants one behind it.
    pub label: String,
    /// The file system's UUID.
    pub uuid: Uuid,
    /// When it was made. Inodes of this very time take half the room.
    pub created: Time,
    /// What files are compressed by, where that makes them smaller.
    pub compression: Option<Algorithm>,
}

/// What compresses files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// LZ4, which is the fastest to read.
    Lz4,
    /// zstd, which makes the smallest file system.
    Zstd,
}

/// Bytes of a file that are compressed at once, and read at once when one of them is wanted.
const EXTENT_SIZE: usize = 128 << 10;

/// The longest label.
const LABEL_MAX: usize = 15;

impl Options {
    fn check(&self) -> Result<()> {
        if self.label.len() > LABEL_MAX || self.label.contains('\0') {
            let message =
                format!("the label {:?} is longer than {LABEL_MAX} bytes or contains NUL", self.label);
            return Err(Error::new(Kind::Input, "erofs", message));
        }
        Ok(())
    }
}
