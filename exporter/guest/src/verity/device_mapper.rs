//! The kernel's device mapper (include/uapi/linux/dm-ioctl.h): a device is created, given a table, and resumed with it.

#![allow(unsafe_code, reason = "ioctls that rustix does not have")]

use std::ffi::c_void;
use std::fs::File;
use std::path::Path;

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::grow::device::in_file;

const CONTROL: &str = "/dev/mapper/control";
const GROUP: u8 = 0xfd;
const DM_DEV_CREATE: u8 = 3;
const DM_DEV_SUSPEND: u8 = 6;
const DM_TABLE_LOAD: u8 = 9;
/// Of the interface, in which all that is used here is from the beginning.
const VERSION: [u32; 3] = [4, 0, 0];
const DM_READONLY_FLAG: u32 = 1;
const TARGET: &[u8] = b"verity";

/// `struct dm_ioctl`, in front of what a command has besides.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    version: [u32; 3],
    /// Of all, this header included.
    data_size: u32,

    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,

    event_nr: u32,
    padding: u32,
    dev: u64,

    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// `struct dm_target_spec`, in front of the target's parameters.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
struct TargetSpec {
    sector_start: u64,
    length: u64,

    status: i32,
    /// Bytes from this one to the next.
    next: u32,
    target_type: [u8; 16],
}

const _: () = assert!(size_of::<Header>() == 312 && size_of::<TargetSpec>() == 40);

/// A command with its header and what is behind that, which the kernel writes its answer over.
struct Command<'a> {
    number: u8,
    bytes: &'a mut [u8],
}

// SAFETY: all commands have the opcode of their number and the size of the header; the kernel reads and writes no more bytes than
// the header's `data_size` says, and `exchange` makes that the length of `bytes`.
unsafe impl Ioctl for Command<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Header>(GROUP, self.number)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.bytes.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Create a device without a table: its number, in the form of `st_rdev`.
pub(super) fn create(name: &str, uuid: &str) -> Result<u64, String> {
    let header = Header { uuid: padded(uuid.as_bytes()), ..header(name) };
    let answer = exchange(DM_DEV_CREATE, header, &[]);
    Ok(answer.map_err(|error| failed(name, "cannot be created", &error))?.dev)
}

/// Give it a table of one target that is only read, so many sectors of 512 bytes long.
pub(super) fn load(name: &str, sectors: u64, parameters: &str) -> Result<(), Errno> {
    let header = Header { flags: DM_READONLY_FLAG, target_count: 1, ..header(name) };
    exchange(DM_TABLE_LOAD, header, &target(sectors, parameters)).map(drop)
}

/// Have it work by the table it was given.
pub(super) fn resume(name: &str) -> Result<(), String> {
    let resumed = exchange(DM_DEV_SUSPEND, header(name), &[]);
    resumed.map(drop).map_err(|error| failed(name, "cannot be resumed", &error))
}

fn failed(name: &str, what: &str, error: &Errno) -> String {
    let hint = match *error {
        Errno::NOENT => ": the kernel has no device mapper, nor the initramfs its module (dm_mod)",
        _ => "",
    };
    in_file(Path::new(CONTROL))(format!("{name} {what}: {error}{hint}"))
}

fn header(name: &str) -> Header {
    Header {
        version: VERSION,
        data_size: 0,
        data_start: size_of::<Header>() as u32,
        target_count: 0,
        open_count: 0,
        flags: 0,
        event_nr: 0,
        padding: 0,
        dev: 0,
        name: padded(name.as_bytes()),
        uuid: [0; 129],
        data: [0; 7],
    }
}

/// With at least one zero behind it.
fn padded<const LEN: usize>(text: &[u8]) -> [u8; LEN] {
    let text = text.get(..LEN - 1).unwrap_or(text);
    std::array::from_fn(|at| text.get(at).copied().unwrap_or_default())
}

/// The target and its parameters, which end with a zero.
fn target(sectors: u64, parameters: &str) -> Vec<u8> {
    let len = (size_of::<TargetSpec>() + parameters.len() + 1).next_multiple_of(8);
    let spec = TargetSpec {
        sector_start: 0,
        length: sectors,
        status: 0,
        next: len as u32,
        target_type: padded(TARGET),
    };
    let mut bytes = [spec.as_bytes(), parameters.as_bytes()].concat();
    bytes.resize(len, 0);
    bytes
}

/// The header that comes back.
fn exchange(number: u8, header: Header, more: &[u8]) -> Result<Header, Errno> {
    let control = File::options().read(true).write(true).open(CONTROL);
    let control = control.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let header = Header { data_size: (size_of::<Header>() + more.len()) as u32, ..header };
    let mut bytes = [header.as_bytes(), more].concat();
    // SAFETY: see `Command`.
    unsafe { ioctl(&control, Command { number, bytes: &mut bytes }) }?;
    Header::read_from_prefix(&bytes).map(|(header, _)| header).map_err(|_| Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_whole_words_with_a_zero_behind() {
        for len in 0..9 {
            let parameters = "x".repeat(len);
            let bytes = target(2400, &parameters);
            assert_eq!(bytes.len() % 8, 0);
            assert_eq!(bytes[8..16], 2400_u64.to_ne_bytes());
            assert_eq!(bytes[20..24], (bytes.len() as u32).to_ne_bytes());
            assert_eq!(&bytes[24..40], b"verity\0\0\0\0\0\0\0\0\0\0");
            assert_eq!(&bytes[40..40 + len], parameters.as_bytes());
            assert!(bytes.len() > 40 + len && bytes[40 + len..].iter().all(|byte| *byte == 0));
        }
    }

    /// `_IOWR(0xfd, …, struct dm_ioctl)` of the header.
    #[test]
    fn commands_are_those_of_the_header() {
        let of = |number| Command { number, bytes: &mut [] }.opcode();
        assert_eq!(of(DM_DEV_CREATE), 0xc138_fd03);
        assert_eq!((of(DM_DEV_SUSPEND), of(DM_TABLE_LOAD)), (0xc138_fd06, 0xc138_fd09));
    }

    #[test]
    fn a_name_ends_with_a_zero() {
        assert_eq!(&padded::<6>(b"root"), b"root\0\0");
        assert_eq!(&padded::<4>(b"root"), b"roo\0");
    }

    #[test]
    fn a_kernel_without_device_mapper_is_named() {
        let said = failed("root", "cannot be created", &Errno::NOENT);
        assert!(said.starts_with("/dev/mapper/control: root cannot be created: ") && said.contains("dm_mod"));
        assert!(!failed("root", "cannot be resumed", &Errno::INVAL).contains("dm_mod"));
    }
}
