//! The size of an ext4 file system, and its growth while mounted.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::ext4_ioc_resize_fs;
use rustix::io::Errno;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::device::{Device, in_file};
use super::file_system::once_free;

/// `EXT4_SUPER_MAGIC`, in the superblock and from statfs.
pub(crate) const MAGIC: u16 = 0xef53;
const SUPERBLOCK_OFFSET: u64 = 1024;
/// The kernel has met errors (`s_state`).
const ERROR_FS: u16 = 2;
/// `s_blocks_count_hi` counts.
const INCOMPAT_64BIT: u32 = 0x80;

/// The superblock as far as it says the size (kernel documentation, filesystems/ext4, "Super Block").
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Superblock {
    s_inodes_count: U32,
    s_blocks_count_lo: U32,
    before_log_block_size: [u8; 16],
    s_log_block_size: U32,
    before_magic: [u8; 28],
    s_magic: U16,
    s_state: U16,
    before_incompat: [u8; 36],
    s_feature_incompat: U32,
    before_blocks_count_hi: [u8; 236],
    s_blocks_count_hi: U32,
}

const _: () = assert!(std::mem::offset_of!(Superblock, s_log_block_size) == 0x18);
const _: () = assert!(std::mem::offset_of!(Superblock, s_magic) == 0x38);
const _: () = assert!(std::mem::offset_of!(Superblock, s_state) == 0x3a);
const _: () = assert!(std::mem::offset_of!(Superblock, s_feature_incompat) == 0x60);
const _: () = assert!(std::mem::offset_of!(Superblock, s_blocks_count_hi) == 0x150);

/// The size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    blocks: u64,
    block_size: u64,
}

impl Size {
    /// In bytes.
    pub(crate) fn bytes(self) -> u64 {
        self.blocks.saturating_mul(self.block_size)
    }

    pub(crate) fn parse(superblock: &[u8]) -> Result<Self, &'static str> {
        let superblock = parse(superblock)?;
        let log = superblock.s_log_block_size.get();
        if log > 6 {
            return Err("no ext4 superblock");
        }
        let is_64bit = superblock.s_feature_incompat.get() & INCOMPAT_64BIT != 0;
        let high = if is_64bit { u64::from(superblock.s_blocks_count_hi) << 32 } else { 0 };
        Ok(Self { blocks: high | u64::from(superblock.s_blocks_count_lo), block_size: 1024 << log })
    }
}

/// The size as the device says, which shows what the driver has.
pub(crate) fn size(device: &Device) -> Result<Size, String> {
    Size::parse(&superblock(device)?).map_err(in_file(&device.path))
}

/// Whether the kernel has met errors that nobody has repaired since.
pub(crate) fn has_errors(device: &Device) -> Result<bool, String> {
    parse(&superblock(device)?).map(are_recorded).map_err(in_file(&device.path))
}

fn are_recorded(superblock: Superblock) -> bool {
    superblock.s_state.get() & ERROR_FS != 0
}

fn superblock(device: &Device) -> Result<[u8; size_of::<Superblock>()], String> {
    let mut superblock = [0; size_of::<Superblock>()];
    let file = File::open(&device.path).map_err(in_file(&device.path))?;
    file.read_exact_at(&mut superblock, SUPERBLOCK_OFFSET).map_err(in_file(&device.path))?;
    Ok(superblock)
}

fn parse(superblock: &[u8]) -> Result<Superblock, &'static str> {
    let superblock = Superblock::read_from_bytes(superblock).map_err(|_| "no superblock")?;
    if superblock.s_magic == MAGIC { Ok(superblock) } else { Err("no ext4 superblock") }
}

/// Grow what is mounted at `mount_point` to `len` bytes or its device, whichever is less. The driver may leave blocks
/// at the end unused that are too few for a block group. Somebody else who grows the same file system, such as
/// cloud-init, is given as long as `patience`.
pub(crate) fn grow(mount_point: &Path, device: &Device, len: u64, patience: Duration) -> Result<(), String> {
    let directory = File::open(mount_point).map_err(in_file(mount_point))?;
    let blocks = device.size()?.min(len) / size(device)?.block_size;
    once_free(patience, || {
        if blocks <= size(device)?.blocks {
            return Ok(Some(()));
        }
        match ext4_ioc_resize_fs(&directory, blocks) {
            Ok(()) => Ok(Some(())),
            Err(Errno::BUSY) => Ok(None),
            Err(error) => Err(format!("{}: cannot grow ext4: {error}", device.path.display())),
        }
    })?
    .ok_or_else(|| format!("{}: cannot grow ext4: somebody else is at it", device.path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_read_from_the_superblock() {
        let mut bytes = [0; size_of::<Superblock>()];
        assert!(Size::parse(&bytes).is_err());
        bytes[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        bytes[4] = 10;
        bytes[0x18] = 2;
        bytes[0x150] = 1;
        assert_eq!(Size::parse(&bytes).unwrap().bytes(), 40960);
        bytes[0x60] = 0x80;
        assert_eq!(Size::parse(&bytes).unwrap().bytes(), 40960 + (4096 << 32));
        assert!(!are_recorded(parse(&bytes).unwrap()));
        bytes[0x3a] = 3;
        assert!(are_recorded(parse(&bytes).unwrap()));
        bytes[0x18] = 7;
        assert!(Size::parse(&bytes).is_err());
        assert!(Size::parse(&[]).is_err());
    }
}
