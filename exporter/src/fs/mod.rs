//! File systems: a tree goes in, [`Contents`] come out. Nothing is written here; what others have written
//! is read as far as `inspect` shows it. Three are made by [their own tools](external); of a squashfs, the one that a
//! bundle of RAUC is is made [here](squashfs). Of ISO 9660 there is what is read and how it lies on a disc; volumes are made
//! in a [room of their own](crate::iso9660), with what starts from them.

mod budget;
pub mod erofs;
pub mod ext4;
pub mod external;
pub mod fat;
pub mod files;
pub(crate) mod iso9660;
pub mod luks;
mod mode;
mod order;
pub mod probe;
mod refusal;
pub(crate) mod squashfs;
pub mod swap;
pub mod verity;

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind, show_size};
use crate::extent::{Extent, Extents};
use crate::seed::{PartitionId, Uuid};
use crate::tree::Content;
pub use budget::DiskBudget;

/// A file system that is made for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// Linux' own.
    Ext4,
    /// FAT with long names, for firmware.
    Vfat,
    /// Linux' own that is only read.
    Erofs,
    /// Room for pages of memory, which is never mounted.
    Swap,
    /// For large files, made by its own tool.
    Xfs,
    /// With checksums and snapshots, made by its own tool.
    Btrfs,
    /// What is only read, compressed, made by its own tool.
    Squashfs,
}

impl FileSystem {
    /// Its name for mount(8), which is that of the kernel's driver.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Vfat => "vfat",
            Self::Erofs => "erofs",
            Self::Swap => "swap",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Squashfs => "squashfs",
        }
    }

    /// Whether nothing in it can be changed.
    pub fn is_read_only(self) -> bool {
        matches!(self, Self::Erofs | Self::Squashfs)
    }

    /// Whether it is made by a tool of its own, which only some builds have.
    pub fn is_external(self) -> bool {
        matches!(self, Self::Xfs | Self::Btrfs | Self::Squashfs)
    }

    /// Whether a machine can make it larger while it is mounted.
    pub fn grows(self) -> bool {
        matches!(self, Self::Ext4 | Self::Xfs | Self::Btrfs)
    }

    /// The largest one in bytes, with the blocks that it is made with: ext4, erofs and swap have 2³² of 4 KiB, and a FAT
    /// as many sectors, which are not smaller than 512 bytes. Those of others are beyond every disk.
    pub fn size_limit(self) -> u64 {
        match self {
            Self::Ext4 | Self::Erofs | Self::Swap => 1 << 44,
            Self::Vfat => 1 << 41,
            Self::Xfs | Self::Btrfs | Self::Squashfs => i64::MAX as u64,
        }
    }

    /// The module by which GRUB finds a kernel on it; `None`: no core has one. There is one for EROFS since GRUB 2.14, which
    /// no distribution has yet; those of others are not tried here.
    pub fn grub_module(self) -> Option<&'static str> {
        match self {
            Self::Ext4 => Some("ext2"),
            Self::Vfat => Some("fat"),
            Self::Erofs | Self::Swap | Self::Xfs | Self::Btrfs | Self::Squashfs => None,
        }
    }
}

/// The name that a file system has in itself, as Linux shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeId {
    /// That of all but FAT and squashfs.
    Uuid(Uuid),
    /// That of FAT.
    Serial(u32),
    /// That of its partition, for squashfs, which has none.
    Partition(PartitionId),
}

impl VolumeId {
    /// What fstab(5) and `root=` call it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Uuid(_) | Self::Serial(_) => "UUID",
            Self::Partition(_) => "PARTUUID",
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Partition(id) => id.fmt(f),
            Self::Serial(serial) => write!(f, "{:04X}-{:04X}", serial >> 16, serial & 0xffff),
        }
    }
}

/// What is in a partition, planned: its size and where every byte of it comes from.
#[derive(Debug)]
pub struct Contents {
    /// Size in bytes.
    pub size: u64,
    /// What no extent covers is zero.
    pub extents: Box<dyn Extents>,
}

impl Contents {
    /// The bytes of a file.
    pub(crate) fn of_file(content: &Content) -> Self {
        Self { size: content.len(), extents: Box::new(Extent::of_content(content, 0)) }
    }

    /// These bytes.
    pub(crate) fn of_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::of_file(&Content::Bytes(bytes.into()))
    }

    /// The bytes of files, one behind the other.
    pub(crate) fn of_files(files: &[Content]) -> Self {
        let mut size = 0;
        let extents = files.iter().flat_map(|file| {
            let extents = Extent::of_content(file, size);
            size += file.len();
            extents
        });
        let extents: Vec<_> = extents.collect();
        Self { size, extents: Box::new(extents) }
    }
}

/// The error of a tree that a partition has no room for.
fn no_space(file_system: &str, needed: u64, available: u64) -> Error {
    let message = format!(
        "the files need a file system of {}, there is room for {}",
        show_size(needed),
        show_size(available)
    );
    Error::new(Kind::NoSpace { needed, available }, file_system, message)
}
