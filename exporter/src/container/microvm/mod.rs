//! What a virtual machine monitor starts a microVM from, as a folder.
//!
//! ```text
//! root.raw, root.qcow2   the file system of the root, without a partition table
//! vmlinuz                the kernel as it came
//! vmlinux                the same as an ELF, for monitors that take no other
//! initramfs              what mounts the root, where the kernel does not by itself
//! vm.json                what the machine is; docs/vm.schema.json describes it
//! firecracker.json       the same for Firecracker
//! cloud-hypervisor.json  the same for Cloud Hypervisor
//! ```

mod folder;
mod monitors;
mod vm;

use std::path::Path;

pub(super) use folder::Writer as FolderWriter;
pub use monitors::firecracker_lacks;
pub use vm::{Drive, DriveFormat, Vm};

use super::members::FileName;
use crate::error::{Error, Kind};
use crate::read_at::ReadAt;
use crate::tree::Content;
use crate::uki;

/// The headers of a program for UEFI, and more.
const HEAD: u64 = 64 << 10;

/// Whether a file is a unified kernel image.
pub(super) fn is_uki<F: ReadAt>(file: &F) -> bool {
    let mut head = vec![0; file.size().min(HEAD) as usize];
    file.read_at(0, &mut head).is_ok() && uki::is_uki(&head)
}

/// What the drive of the root is called.
const ROOT: &str = "root";

const RAW: &str = "root.raw";
const QCOW2: &str = "root.qcow2";
const KERNEL: &str = "vmlinuz";
const ELF_KERNEL: &str = "vmlinux";
const INITRAMFS: &str = "initramfs";
const DESCRIPTION: &str = "vm.json";
const FIRECRACKER: &str = "firecracker.json";
const CLOUD_HYPERVISOR: &str = "cloud-hypervisor.json";

/// The files of a microVM.
pub(super) const FILES: &[FileName] = &[
    FileName::MayBe(RAW),
    FileName::MayBe(QCOW2),
    FileName::Is(KERNEL),
    FileName::MayBe(ELF_KERNEL),
    FileName::MayBe(INITRAMFS),
    FileName::Is(DESCRIPTION),
    FileName::MayBe(FIRECRACKER),
    FileName::MayBe(CLOUD_HYPERVISOR),
];

/// What comes of a build beside the root of a microVM.
#[derive(Clone, Debug)]
pub struct Microvm {
    /// What it is, but for the drive of its root: how that is written is the format's choice.
    pub vm: Vm,
    /// The kernel that monitors load.
    pub kernel: Content,
    /// The same as an ELF, where that was packed in it.
    pub vmlinux: Option<Content>,
    /// The parts of what mounts the root, one behind the other; none, where the kernel does.
    pub initramfs: Vec<Content>,
    /// Whether its root is only read.
    pub is_read_only: bool,
}

/// Whether there is the folder of a microVM.
pub fn is_microvm(path: &Path) -> bool {
    [KERNEL, DESCRIPTION].iter().all(|name| path.join(name).is_file())
}

/// Why nothing is read of it as of a disk.
pub(super) fn no_disk(path: &Path) -> Error {
    Error::new(
        Kind::NotFound,
        path.display().to_string(),
        "is a microVM, and its root is no disk with partitions",
    )
    .with_hint("name the disk of another build: profile = \"microvm\" with a format of disks makes one")
}
