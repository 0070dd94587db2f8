//! The size of an XFS, and its growth while mounted (`fs/xfs/libxfs/xfs_fs.h` of the kernel).

#![allow(unsafe_code, reason = "ioctls that rustix does not have")]

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

use super::device::in_file;
use super::file_system::once_free;

/// `XFS_SUPER_MAGIC`, from statfs.
pub(crate) const MAGIC: i64 = 0x5846_5342;

const XFS_IOC_FSGEOMETRY_V1: Opcode = opcode::read::<Geometry>(b'X', 100);
const XFS_IOC_FSGROWFSDATA: Opcode = opcode::write::<Growth>(b'X', 110);

/// `struct xfs_fsop_geom_v1`.
#[repr(C)]
struct Geometry {
    blocksize: u32,
    before_imaxpct: [u32; 6],
    imaxpct: u32,
    datablocks: u64,
    behind_datablocks: [u64; 9],
}

const _: () = assert!(size_of::<Geometry>() == 112);

/// `struct xfs_growfs_data`.
#[repr(C)]
struct Growth {
    newblocks: u64,
    imaxpct: u32,
}

const _: () = assert!(size_of::<Growth>() == 16);

/// In bytes, its log among them.
pub(crate) fn size(mount_point: &Path) -> Result<u64, String> {
    let directory = File::open(mount_point).map_err(in_file(mount_point))?;
    let Geometry { blocksize, datablocks, .. } = geometry(&directory).map_err(in_file(mount_point))?;
    Ok(datablocks.saturating_mul(blocksize.into()))
}

/// Grow what is mounted at `mount_point` to `len` bytes, which its device has.
pub(crate) fn grow(mount_point: &Path, len: u64, patience: Duration) -> Result<(), String> {
    let directory = File::open(mount_point).map_err(in_file(mount_point))?;
    let failed = |why: &str| format!("{}: cannot grow xfs: {why}", mount_point.display());
    once_free(patience, || {
        let now = geometry(&directory).map_err(in_file(mount_point))?;
        let newblocks = len / u64::from(now.blocksize.max(1));
        if newblocks <= now.datablocks {
            return Ok(Some(()));
        }
        match set_growth(&directory, Growth { newblocks, imaxpct: now.imaxpct }) {
            Ok(()) => Ok(Some(())),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(failed(&error.to_string())),
        }
    })?
    .ok_or_else(|| failed("somebody else is at it"))
}

fn geometry(directory: impl AsFd) -> rustix::io::Result<Geometry> {
    // SAFETY: the kernel fills a `struct xfs_fsop_geom_v1`, for which all bytes are right.
    unsafe { ioctl(directory, Getter::<XFS_IOC_FSGEOMETRY_V1, Geometry>::new()) }
}

fn set_growth(directory: impl AsFd, growth: Growth) -> rustix::io::Result<()> {
    // SAFETY: the kernel reads a `struct xfs_growfs_data`.
    unsafe { ioctl(directory, Setter::<XFS_IOC_FSGROWFSDATA, Growth>::new(growth)) }
}
