//! The readers, in files by what they read.

mod archives;
mod bundle;
mod disks;
mod file_systems;
mod kernels;
mod nbd;
mod planted;
mod sealed;
mod texts;
mod tree;
mod wire;

use crate::Target;

#[cfg(test)]
pub(crate) use {
    disks::disk_files, file_systems::ext4_volumes, file_systems::partition_tables, wire::definitions,
};

/// Every target.
pub const ALL: &[&Target] = &[
    &archives::TAR,
    &archives::LAYERS,
    &archives::OCI,
    &archives::DOCKER,
    &archives::UPDATE,
    &wire::REGISTRY,
    &texts::DOCKERFILE,
    &texts::CONFIG,
    &texts::ATTRIBUTES,
    &file_systems::GPT,
    &file_systems::MBR,
    &file_systems::FAT,
    &file_systems::EXT4,
    &file_systems::EXPORT,
    &file_systems::PLACEMENT,
    &disks::DISK,
    &disks::QCOW2,
    &disks::VMDK,
    &disks::VHD,
    &disks::VHD_DYNAMIC,
    &disks::VHDX,
    &disks::VDI,
    &disks::OVA,
    &disks::CONTAINERDISK,
    &disks::BASE,
    &wire::GATEWAY,
    &wire::LLB,
    &wire::AGENT,
    &archives::AGENT_TREE,
    &wire::DHCP,
    &wire::SERVE_DHCP,
    &wire::SERVE_TFTP,
    &nbd::SERVE_NBD,
    &wire::NETLINK,
    &wire::NAMES,
    &wire::UPDATE_SERVER,
    &archives::UPDATE_LAYER,
    &file_systems::GROWTH,
    &texts::INSTALL,
    &file_systems::INSTALL_MEDIUM,
    &file_systems::VERITY,
    &kernels::KERNEL,
    &kernels::MODULE,
    &sealed::PROGRAM,
    &sealed::VARIABLES,
];

/// Faults that have to be found.
pub const PLANTED: &[&Target] = &[
    &planted::PANIC,
    &planted::THREAD,
    &planted::ALLOCATION,
    &planted::ENDLESS,
    &planted::DEEP,
    &planted::SILENT,
    &planted::REFUSES,
];

/// What is read as a text.
fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

/// The message of an error.
fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
