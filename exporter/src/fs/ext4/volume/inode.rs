//! An inode as it lies in its table.

use std::mem::{offset_of, size_of};

use zerocopy::{FromZeros, IntoBytes};

use crate::fs::ext4::format::{ENCRYPT_FL, EXTENTS_FL, INDEX_FL, INLINE_DATA_FL, Ino, Inode, XATTR_MAGIC};
use crate::tree::{Device, Time};

/// Bytes of an inode before the extra fields.
pub(super) const GOOD_OLD_INODE_SIZE: usize = offset_of!(Inode, i_extra_isize);

/// The last of a second.
const NANOSECONDS_MAX: u32 = 999_999_999;

/// An inode, and the bytes behind its fields.
pub(in crate::fs::ext4) struct InodeOnDisk {
    ino: Ino,
    inode: Inode,
    /// All its bytes.
    bytes: Vec<u8>,
}

impl InodeOnDisk {
    /// Types in `i_mode`.
    pub(in crate::fs::ext4) const FIFO: u16 = 0x1000;
    pub(in crate::fs::ext4) const CHAR_DEVICE: u16 = 0x2000;
    pub(in crate::fs::ext4) const DIRECTORY: u16 = 0x4000;
    pub(in crate::fs::ext4) const BLOCK_DEVICE: u16 = 0x6000;
    pub(in crate::fs::ext4) const REGULAR: u16 = 0x8000;
    pub(in crate::fs::ext4) const SYMLINK: u16 = 0xa000;
    pub(in crate::fs::ext4) const SOCKET: u16 = 0xc000;

    /// The inode in so many bytes.
    pub(in crate::fs::ext4) fn new(ino: Ino, bytes: Vec<u8>) -> Self {
        let mut inode = Inode::new_zeroed();
        // As far as both reach.
        inode.as_mut_bytes().iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
        Self { ino, inode, bytes }
    }

    /// Its number.
    pub(in crate::fs::ext4) fn ino(&self) -> Ino {
        self.ino
    }

    /// Its fields; those it has no room for are zero.
    pub(in crate::fs::ext4) fn fields(&self) -> &Inode {
        &self.inode
    }

    /// All its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(in crate::fs::ext4) fn file_type(&self) -> u16 {
        self.inode.i_mode.get() & 0xf000
    }

    pub(in crate::fs::ext4) fn is_directory(&self) -> bool {
        self.file_type() == Self::DIRECTORY
    }

    pub(in crate::fs::ext4) fn permissions(&self) -> u16 {
        self.inode.i_mode.get() & 0xfff
    }

    pub(in crate::fs::ext4) fn uid(&self) -> u32 {
        u32::from(self.inode.i_uid_high.get()) << 16 | u32::from(self.inode.i_uid.get())
    }

    pub(in crate::fs::ext4) fn gid(&self) -> u32 {
        u32::from(self.inode.i_gid_high.get()) << 16 | u32::from(self.inode.i_gid.get())
    }

    pub(in crate::fs::ext4) fn links(&self) -> u16 {
        self.inode.i_links_count.get()
    }

    pub(in crate::fs::ext4) fn size(&self) -> u64 {
        u64::from(self.inode.i_size_high.get()) << 32 | u64::from(self.inode.i_size_lo.get())
    }

    pub(in crate::fs::ext4) fn has_extents(&self) -> bool {
        self.has_flag(EXTENTS_FL)
    }

    /// Whether the first block of the directory is the root of a hash tree.
    pub(in crate::fs::ext4) fn is_indexed(&self) -> bool {
        self.has_flag(INDEX_FL)
    }

    /// Whether the content lies in the inode.
    pub(in crate::fs::ext4) fn is_inline(&self) -> bool {
        self.has_flag(INLINE_DATA_FL)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.has_flag(ENCRYPT_FL)
    }

    fn has_flag(&self, flag: u32) -> bool {
        self.inode.i_flags.get() & flag != 0
    }

    /// The block with the extended attributes that have no room here; 0 for none.
    pub(in crate::fs::ext4) fn attributes_block(&self) -> u64 {
        u64::from(self.inode.i_file_acl_high.get()) << 32 | u64::from(self.inode.i_file_acl_lo.get())
    }

    /// Two more bits of seconds and all nanoseconds are in the extra fields, if the inode has those. Thirty bits have room
    /// for more than there are in a second, which no time has.
    pub(in crate::fs::ext4) fn mtime(&self) -> Time {
        let seconds = i64::from(self.inode.i_mtime.get() as i32);
        let end = offset_of!(Inode, i_mtime_extra) + size_of::<u32>() - GOOD_OLD_INODE_SIZE;
        if self.extra_size() < end {
            return Time { seconds, nanoseconds: 0 };
        }
        let extra = self.inode.i_mtime_extra.get();
        Time {
            seconds: seconds + (i64::from(extra & 3) << 32),
            nanoseconds: (extra >> 2).min(NANOSECONDS_MAX),
        }
    }

    /// The number of a device, in the old form with eight bits each or in the new one.
    pub(in crate::fs::ext4) fn device(&self) -> Device {
        let [a, b, c, d, e, f, g, h, ..] = self.inode.i_block;
        match (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])) {
            (0, new) => Device { major: new >> 8 & 0xfff, minor: new & 0xff | new >> 12 & 0xf_ff00 },
            (old, _) => Device { major: old >> 8 & 0xff, minor: old & 0xff },
        }
    }

    /// Bytes of extra fields.
    pub(in crate::fs::ext4) fn extra_size(&self) -> usize {
        match self.bytes.len() > GOOD_OLD_INODE_SIZE {
            true => usize::from(self.inode.i_extra_isize.get()),
            false => 0,
        }
    }

    /// The extended attributes in it: what lies behind the magic behind the extra fields.
    pub(super) fn attributes(&self) -> &[u8] {
        let area = self.bytes.get(GOOD_OLD_INODE_SIZE + self.extra_size()..).unwrap_or_default();
        area.strip_prefix(&XATTR_MAGIC.to_le_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_has_more_nanoseconds_than_a_second() {
        for (nanoseconds, read) in [(5_u32, 5), (999_999_999, 999_999_999), (1_000_000_000, 999_999_999)] {
            let mut bytes = vec![0; 256];
            bytes[GOOD_OLD_INODE_SIZE] = 32;
            let at = offset_of!(Inode, i_mtime_extra);
            bytes[at..at + 4].copy_from_slice(&(nanoseconds << 2).to_le_bytes());
            assert_eq!(InodeOnDisk::new(Ino(12), bytes).mtime(), Time { seconds: 0, nanoseconds: read });
        }
    }
}
