//! A network block device of the kernel (linux/nbd.h), whose other side is a socket of this process.

#![allow(unsafe_code, reason = "ioctls that rustix does not have")]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::ioctl::{IntegerSetter, NoArg, Opcode, ioctl};

use crate::grow::device::in_file;

/// Nobody else has one yet.
pub(super) const DEVICE: &str = "/dev/nbd0";
const SIZE: &str = "/sys/block/nbd0/size";
const READ_AHEAD: &str = "/sys/block/nbd0/queue/read_ahead_kb";
/// What is read ahead of who reads in order, in KiB.
const AHEAD: &str = "1024";
const NBD_SET_SOCK: Opcode = 0xab00;
const NBD_SET_BLKSIZE: Opcode = 0xab01;
const NBD_DO_IT: Opcode = 0xab03;
const NBD_SET_SIZE_BLOCKS: Opcode = 0xab07;
const NBD_SET_FLAGS: Opcode = 0xab0a;
const NBD_FLAG_HAS_FLAGS: usize = 1;
const NBD_FLAG_READ_ONLY: usize = 2;
/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;
/// How long the kernel may take to know the device.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// The device, which nobody uses yet.
pub(super) fn open() -> Result<File, String> {
    let path = Path::new(DEVICE);
    File::options().read(true).write(true).open(path).map_err(in_file(path))
}

/// Make `kernel` the other side of the device with so many sectors, for as long as this process lives.
pub(super) fn connect(device: File, kernel: UnixStream, sectors: u64) -> Result<(), String> {
    let path = Path::new(DEVICE);
    let number = |value: u64| usize::try_from(value).map_err(in_file(path));
    let socket = usize::try_from(kernel.as_raw_fd()).map_err(in_file(path))?;
    // SAFETY: the arguments of these are numbers by value; of the socket the kernel takes a reference.
    unsafe {
        ioctl(&device, IntegerSetter::<NBD_SET_BLKSIZE>::new_usize(number(SECTOR)?))
            .map_err(in_file(path))?;
        ioctl(&device, IntegerSetter::<NBD_SET_SIZE_BLOCKS>::new_usize(number(sectors)?))
            .map_err(in_file(path))?;
        let flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY;
        ioctl(&device, IntegerSetter::<NBD_SET_FLAGS>::new_usize(flags)).map_err(in_file(path))?;
        ioctl(&device, IntegerSetter::<NBD_SET_SOCK>::new_usize(socket)).map_err(in_file(path))?;
    }
    // The device is there while this call lasts. A signal would end it, and goes to the first thread of a process.
    thread::spawn(move || {
        // SAFETY: `NBD_DO_IT` has no argument.
        let ended = unsafe { ioctl(&device, NoArg::<NBD_DO_IT>::new()) };
        drop((kernel, ended));
    });
    Ok(())
}

/// Until the kernel has the device with so many sectors.
pub(super) fn wait(sectors: u64) -> Result<PathBuf, String> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if fs::read_to_string(SIZE).is_ok_and(|size| size.trim() == sectors.to_string()) {
            let _ = fs::write(READ_AHEAD, AHEAD);
            return Ok(DEVICE.into());
        }
        thread::sleep(LOOK);
    }
    Err(format!("{DEVICE}: the kernel does not take it"))
}
