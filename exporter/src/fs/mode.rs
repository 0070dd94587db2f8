//! What inodes are, in the numbers that Linux has for it in every file system.

use crate::tree::{Device, InodeKind};

/// The type in `st_mode` (`S_IFMT`).
pub(super) fn file_type(kind: &InodeKind) -> u16 {
    match kind {
        InodeKind::Fifo => 0o010_000,
        InodeKind::CharDevice(_) => 0o020_000,
        InodeKind::Directory(_) => 0o040_000,
        InodeKind::BlockDevice(_) => 0o060_000,
        InodeKind::File(_) => 0o100_000,
        InodeKind::Symlink(_) => 0o120_000,
        InodeKind::Socket => 0o140_000,
    }
}

/// A device number in 32 bits (`new_encode_dev` of the kernel): 12 bits of major number between the parts of the minor one.
/// `None` if it is larger than 12 and 20 bits.
pub(super) fn encode_device(Device { major, minor }: Device) -> Option<u32> {
    match (major, minor) {
        (0..0x1000, 0..0x10_0000) => Some(minor & 0xff | major << 8 | (minor & !0xff) << 12),
        _ => None,
    }
}
