//! The size of a btrfs on one device, and its growth while mounted (`include/uapi/linux/btrfs.h` of the kernel).

#![allow(unsafe_code, reason = "an ioctl that rustix does not have")]

use std::fs::File;
use std::path::Path;

use rustix::fs::statvfs;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

use super::device::in_file;

/// `BTRFS_SUPER_MAGIC`, from statfs.
pub(crate) const MAGIC: i64 = 0x9123_683e;

const BTRFS_IOC_RESIZE: Opcode = opcode::write::<Arguments>(0x94, 3);

/// `struct btrfs_ioctl_vol_args`, with the size in digits as its name.
#[repr(C)]
struct Arguments {
    fd: i64,
    name: [u8; 4088],
}

/// In bytes.
pub(crate) fn size(mount_point: &Path) -> Result<u64, String> {
    let status = statvfs(mount_point).map_err(in_file(mount_point))?;
    Ok(status.f_blocks.saturating_mul(status.f_frsize))
}

/// Grow what is mounted at `mount_point` to `len` bytes, which its device has.
pub(crate) fn grow(mount_point: &Path, len: u64) -> Result<(), String> {
    if len <= size(mount_point)? {
        return Ok(());
    }
    let directory = File::open(mount_point).map_err(in_file(mount_point))?;
    let mut arguments = Arguments { fd: 0, name: [0; 4088] };
    let digits = len.to_string();
    arguments.name[..digits.len()].copy_from_slice(digits.as_bytes());
    // SAFETY: the kernel reads a `struct btrfs_ioctl_vol_args` whose name ends with a NUL.
    let grown = unsafe { ioctl(&directory, Setter::<BTRFS_IOC_RESIZE, Arguments>::new(arguments)) };
    grown.map_err(|error| format!("{}: cannot grow btrfs: {error}", mount_point.display()))
}
