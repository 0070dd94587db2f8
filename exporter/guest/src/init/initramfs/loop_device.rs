//! A file as a block device (linux/loop.h): the root of an image that is all in its initramfs.

#![allow(unsafe_code, reason = "ioctls that rustix does not have")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, ioctl};

use crate::grow::device::in_file;
use crate::init::modules::Modules;

const CONTROL: &str = "/dev/loop-control";
/// Nobody else has one yet.
const DEVICE: &str = "/dev/loop0";
const NUMBER: usize = 0;

const LOOP_SET_FD: Opcode = 0x4c00;
const LOOP_CTL_ADD: Opcode = 0x4c80;

/// The device with the bytes of `file`, which is only read.
pub(super) fn attach(file: &Path, modules: &mut Modules) -> Result<PathBuf, String> {
    let opened = File::open(file).map_err(in_file(file))?;
    modules.load("loop");
    let (control, device) = (Path::new(CONTROL), Path::new(DEVICE));
    let handle = File::options().read(true).write(true).open(control).map_err(in_file(control))?;
    // SAFETY: the argument of `LOOP_CTL_ADD` is a number by value.
    match unsafe { ioctl(&handle, IntegerSetter::<LOOP_CTL_ADD>::new_usize(NUMBER)) } {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(in_file(control)(error)),
    }
    let handle = File::open(device).map_err(in_file(device))?;
    let number = usize::try_from(opened.as_raw_fd()).map_err(in_file(file))?;
    // SAFETY: the argument of `LOOP_SET_FD` is the number of an open file by value, of which the kernel takes a reference.
    unsafe { ioctl(&handle, IntegerSetter::<LOOP_SET_FD>::new_usize(number)) }.map_err(in_file(file))?;
    Ok(device.to_owned())
}
