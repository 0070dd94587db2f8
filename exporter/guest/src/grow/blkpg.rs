//! `BLKPG` (linux/blkpg.h): tell the kernel that a partition in use has another size, or of one that no table has yet.
//!
//! There is no other way to do it: re-reading the whole table (`BLKRRPART`) fails while a partition is
//! mounted. Of `unsafe` this program has calls like this one alone.

#![allow(unsafe_code, reason = "an ioctl that rustix does not have")]

use std::ffi::{c_int, c_longlong, c_void};
use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

const BLKPG: Opcode = opcode::none(0x12, 105);
const BLKPG_ADD_PARTITION: c_int = 1;
const BLKPG_DEL_PARTITION: c_int = 2;
const BLKPG_RESIZE_PARTITION: c_int = 3;

/// `struct blkpg_partition`.
#[repr(C)]
struct Partition {
    /// In bytes.
    start: c_longlong,
    /// In bytes.
    length: c_longlong,
    pno: c_int,
    devname: [u8; 64],
    volname: [u8; 64],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Argument {
    op: c_int,
    flags: c_int,
    datalen: c_int,
    data: *mut c_void,
}

/// The argument, and the partition it points to while the call lasts.
struct Change<'partition> {
    argument: Argument,
    partition: &'partition mut Partition,
}

// SAFETY: `as_ptr` gives the kernel a `struct blkpg_ioctl_arg` whose `data` points to a `struct
// blkpg_partition` that `self` borrows; the kernel only reads both.
unsafe impl Ioctl for Change<'_> {
    type Output = ();

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        BLKPG
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument.data = std::ptr::from_mut(self.partition).cast();
        std::ptr::from_mut(&mut self.argument).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<()> {
        Ok(())
    }
}

/// Partition `number` of `disk` has these bytes now.
pub(crate) fn resize_partition(disk: impl AsFd, number: u32, start: u64, len: u64) -> Result<()> {
    change(disk, BLKPG_RESIZE_PARTITION, number, start, len)
}

/// `disk` has a partition `number` of these bytes from now on.
pub(crate) fn add_partition(disk: impl AsFd, number: u32, start: u64, len: u64) -> Result<()> {
    change(disk, BLKPG_ADD_PARTITION, number, start, len)
}

/// `disk` has no partition `number` any more.
pub(crate) fn remove_partition(disk: impl AsFd, number: u32) -> Result<()> {
    change(disk, BLKPG_DEL_PARTITION, number, 0, 0)
}

fn change(disk: impl AsFd, op: c_int, number: u32, start: u64, len: u64) -> Result<()> {
    let too_large = |_| rustix::io::Errno::OVERFLOW;
    let mut partition = Partition {
        start: start.try_into().map_err(too_large)?,
        length: len.try_into().map_err(too_large)?,
        pno: number.try_into().map_err(too_large)?,
        devname: [0; 64],
        volname: [0; 64],
    };
    let datalen = size_of::<Partition>() as c_int;
    let argument = Argument { op, flags: 0, datalen, data: std::ptr::null_mut() };
    // SAFETY: see `Change`.
    unsafe { ioctl(disk, Change { argument, partition: &mut partition }) }
}
