//! Where a file of this machine has data, and where holes.

use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// The ranges of data of a file of `len` bytes, ascending and apart.
pub(super) fn data_ranges(fd: impl AsFd, len: u64) -> std::io::Result<Box<[Range<u64>]>> {
    let mut ranges = Vec::new();
    let mut position = 0;
    while position < len {
        let start = match seek(&fd, SeekFrom::Data(position)) {
            Ok(start) => start,
            // No data from here to the end of the file.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        // Of a file that grew meanwhile only the first `len` bytes count.
        let end = seek(&fd, SeekFrom::Hole(start))?.min(len);
        if start >= end {
            break;
        }
        ranges.push(start..end);
        position = end;
    }
    Ok(ranges.into())
}
