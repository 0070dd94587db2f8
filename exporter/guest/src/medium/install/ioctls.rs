//! What the kernel does with a disk as a whole (linux/fs.h).

#![allow(unsafe_code, reason = "ioctls that rustix does not have")]

use std::ops::Range;
use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{NoArg, Opcode, Setter, ioctl, opcode};

const BLKRRPART: Opcode = opcode::none(0x12, 95);
const BLKZEROOUT: Opcode = opcode::none(0x12, 127);

/// Look for partitions anew: what the kernel knew before is gone.
pub(super) fn read_table(disk: impl AsFd) -> Result<()> {
    // SAFETY: `BLKRRPART` takes no argument.
    unsafe { ioctl(disk, NoArg::<BLKRRPART>::new()) }
}

/// These bytes are zeroes, by whatever the disk does fastest.
pub(super) fn clear(disk: impl AsFd, place: Range<u64>) -> Result<()> {
    let range = [place.start, place.end.saturating_sub(place.start)];
    // SAFETY: `BLKZEROOUT` reads two numbers of 64 bits, the first byte and how many.
    unsafe { ioctl(disk, Setter::<BLKZEROOUT, [u64; 2]>::new(range)) }
}
