//! A file as a block device (linux/loop.h), with the partitions that are in it.

#![allow(unsafe_code, reason = "ioctls that rustix does not have")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, NoArg, Opcode, Setter, ioctl};

use crate::grow::device::in_file;
use crate::init::modules::Modules;

const CONTROL: &str = "/dev/loop-control";
const LOOP_CLR_FD: Opcode = 0x4c01;
/// Linux 5.8.
const LOOP_CONFIGURE: Opcode = 0x4c0a;
const LOOP_CTL_GET_FREE: Opcode = 0x4c82;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_PARTSCAN: u32 = 8;
/// Another may take a free one before.
const TRIES: usize = 8;

/// `struct loop_info64`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Info {
    lo_device: u64,
    lo_inode: u64,
    lo_rdevice: u64,
    lo_offset: u64,
    lo_sizelimit: u64,
    lo_number: u32,
    lo_encrypt_type: u32,
    lo_encrypt_key_size: u32,
    lo_flags: u32,
    lo_file_name: [u8; 64],
    lo_crypt_name: [u8; 64],
    lo_encrypt_key: [u8; 32],
    lo_init: [u64; 2],
}

/// `struct loop_config`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Info>() == 232 && size_of::<Config>() == 304);

/// Asks for the number of a device that is free.
struct GetFree;

// SAFETY: `LOOP_CTL_GET_FREE` has no argument, and its result is the number.
unsafe impl Ioctl for GetFree {
    type Output = i32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(result: IoctlOutput, _: *mut std::ffi::c_void) -> rustix::io::Result<i32> {
        Ok(result)
    }
}

/// The device with the bytes of `file`, which is only read, in sectors of so many bytes, with its partitions.
pub(super) fn attach(file: &Path, sector_size: u32, modules: &mut Modules) -> Result<PathBuf, String> {
    let opened = File::open(file).map_err(in_file(file))?;
    modules.load("loop");
    let control = Path::new(CONTROL);
    let handle = File::options().read(true).write(true).open(control).map_err(in_file(control))?;
    let config = Config::of(&opened, sector_size).map_err(in_file(file))?;
    for _ in 0..TRIES {
        // SAFETY: see `GetFree`.
        let number = unsafe { ioctl(&handle, GetFree) }.map_err(in_file(control))?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = File::open(&path).map_err(in_file(&path))?;
        // SAFETY: the argument is a `struct loop_config` that the kernel only reads.
        match unsafe { ioctl(&device, Setter::<LOOP_CONFIGURE, Config>::new(config)) } {
            Ok(()) => return Ok(path),
            Err(Errno::BUSY) => {}
            Err(error) => return Err(in_file(&path)(format!("cannot take {}: {error}", file.display()))),
        }
    }
    Err(in_file(control)("no device stays free"))
}

/// Let a device go of its file.
pub(super) fn detach(device: &Path) -> Result<(), String> {
    let handle = File::open(device).map_err(in_file(device))?;
    // SAFETY: `LOOP_CLR_FD` has no argument.
    unsafe { ioctl(&handle, NoArg::<LOOP_CLR_FD>::new()) }.map_err(in_file(device))
}

impl Config {
    fn of(file: &File, block_size: u32) -> Result<Self, std::num::TryFromIntError> {
        let info = Info {
            lo_device: 0,
            lo_inode: 0,
            lo_rdevice: 0,
            lo_offset: 0,
            lo_sizelimit: 0,
            lo_number: 0,
            lo_encrypt_type: 0,
            lo_encrypt_key_size: 0,
            lo_flags: LO_FLAGS_READ_ONLY | LO_FLAGS_PARTSCAN,
            lo_file_name: [0; 64],
            lo_crypt_name: [0; 64],
            lo_encrypt_key: [0; 32],
            lo_init: [0; 2],
        };
        Ok(Self { fd: file.as_raw_fd().try_into()?, block_size, info, reserved: [0; 8] })
    }
}
