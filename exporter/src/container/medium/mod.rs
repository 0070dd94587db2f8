//! What a machine is started from to run or to install the system: an ISO, or a folder that is served over the network.
//!
//! ```text
//! ISO:      volume, menu, kernel, initramfs │ the disk as it is │ its index │ the backup of the table
//! netboot:  vmlinuz  initramfs               kernel, and what finds the rest
//!           root.erofs                       what live mode runs
//!           disk.zst  disk.index             what install mode writes, a frame of zstd for each block
//!           install.toml                     what the installer is told
//!           medium.json                      what all of these are
//!           boot.ipxe  grub.cfg              menus, for iPXE and for GRUB
//!           netboot.efi                      kernel, initramfs and root as one program, for the HTTP boot of UEFI
//!           shimx64.efi  grubx64.efi         what UEFI starts over the network
//!           grub.pxe                         what a BIOS starts over the network
//!           SHA256SUMS                       of all the others
//! ```

mod about;
mod index;
mod iso;
mod netboot;

use std::path::Path;

pub use about::{About, Disk, LiveRoot, PartitionOf, Target};
pub use iso::Disc;
pub(super) use iso::Writer as DiscWriter;
pub use netboot::Netboot;
pub(super) use netboot::Writer as FolderWriter;

use super::members::FileName;
use crate::error::{Error, Kind};

/// The kernel, in the folder of a disc or of a server.
pub const KERNEL: &str = "vmlinuz";
/// What is started by it.
pub const INITRAMFS: &str = "initramfs";
/// What stands in a script for the digest of `medium.json`, which nobody knows before that is written.
pub const DIGEST: &str = "SHA256-OF-MEDIUM.JSON";
const ABOUT: &str = "medium.json";
const SUMS: &str = "SHA256SUMS";

/// The files of the folder.
pub(super) const FILES: &[FileName] = &[
    FileName::Is(KERNEL),
    FileName::Is(INITRAMFS),
    FileName::MayBe("root.erofs"),
    FileName::MayBe("root.squashfs"),
    FileName::MayBe("disk.zst"),
    FileName::MayBe("disk.index"),
    FileName::MayBe("install.toml"),
    FileName::Is(ABOUT),
    FileName::Is("boot.ipxe"),
    FileName::Is("grub.cfg"),
    FileName::MayBe("netboot.efi"),
    FileName::MayBe("shimx64.efi"),
    FileName::MayBe("grubx64.efi"),
    FileName::MayBe("mmx64.efi"),
    FileName::MayBe("shimaa64.efi"),
    FileName::MayBe("grubaa64.efi"),
    FileName::MayBe("mmaa64.efi"),
    FileName::MayBe("grub.efi"),
    FileName::MayBe("grub.pxe"),
    FileName::Is(SUMS),
];

/// What comes of a build around its disk.
#[derive(Debug, Default)]
pub struct Medium {
    /// As a disc.
    pub disc: Option<Disc>,
    /// As a folder that is served.
    pub netboot: Option<Netboot>,
}

/// Whether there is the folder of one that is served.
pub fn is_netboot(path: &Path) -> bool {
    [KERNEL, INITRAMFS, ABOUT].iter().all(|name| path.join(name).is_file())
}

/// Why nothing is read of it as of a disk.
pub(super) fn no_disk(path: &Path) -> Error {
    Error::new(
        Kind::NotFound,
        path.display().to_string(),
        "is a medium that installs a disk, and is none with a root",
    )
    .with_hint("name the disk of the same build, in another format")
}

/// Bytes of the index of a disk of so many bytes.
pub(crate) fn index_len(disk: u64) -> u64 {
    index::Index::len(disk)
}
