//! The journal (inode 8): an empty jbd2 log. Only its superblock is not zero.
//!
//! See [journal.rst](https://docs.kernel.org/filesystems/ext4/journal.html). Everything in it is big
//! endian. No feature is set: the kernel turns on 64-bit blocks and checksums when it mounts.

use std::mem::{offset_of, size_of};

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::format::BLOCK_SIZE;
use crate::seed::Uuid;

/// The superblock of a journal inside a file system.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct JournalSuperblock {
    h_magic: U32,
    h_blocktype: U32,
    h_sequence: U32,
    s_blocksize: U32,

    s_maxlen: U32,
    s_first: U32,
    s_sequence: U32,
    /// First block of the log; 0 says that it is empty.
    s_start: U32,

    s_errno: U32,
    s_feature_compat: U32,
    s_feature_incompat: U32,
    s_feature_ro_compat: U32,

    s_uuid: [u8; 16],

    s_nr_users: U32,
    s_dynsuper: U32,
    s_max_transaction: U32,
    s_max_trans_data: U32,

    s_checksum_type: u8,
    s_padding2: [u8; 3],
    s_num_fc_blks: U32,
    s_head: U32,
    s_padding: [U32; 40],
    s_checksum: U32,
    s_users: [u8; 768],
}

const _: () = assert!(size_of::<JournalSuperblock>() == 1024);
const _: () = assert!(offset_of!(JournalSuperblock, s_uuid) == 0x30);
const _: () = assert!(offset_of!(JournalSuperblock, s_checksum) == 0xfc);

/// `h_magic`.
const JBD2_MAGIC: u32 = 0xc03b_3998;
/// `h_blocktype` of a superblock of version 2.
const JBD2_SUPERBLOCK_V2: u32 = 4;

impl JournalSuperblock {
    /// An empty log of `blocks` blocks.
    pub(super) fn new(blocks: u32, uuid: Uuid) -> Self {
        let mut superblock = Self::new_zeroed();
        superblock.h_magic = U32::new(JBD2_MAGIC);
        superblock.h_blocktype = U32::new(JBD2_SUPERBLOCK_V2);
        superblock.s_blocksize = U32::new(BLOCK_SIZE as u32);
        superblock.s_maxlen = U32::new(blocks);
        superblock.s_first = U32::new(1);
        superblock.s_sequence = U32::new(1);
        superblock.s_uuid = uuid.0;
        superblock.s_nr_users = U32::new(1);
        superblock
    }
}

/// Blocks of the journal of a file system of `blocks` blocks, by mke2fs's table.
pub(super) fn size_in_blocks(blocks: u32) -> u32 {
    const MIB: u32 = (1 << 20) / BLOCK_SIZE as u32;
    const GIB: u32 = 1024 * MIB;
    let mib = match blocks {
        size if size < 128 * MIB => 4,
        size if size < GIB => 16,
        size if size < 2 * GIB => 32,
        size if size < 16 * GIB => 64,
        size if size < 32 * GIB => 128,
        size if size < 64 * GIB => 256,
        size if size < 128 * GIB => 512,
        _ => 1024,
    };
    mib * MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_as_large_as_mke2fs_makes_it() {
        // dumpe2fs of mke2fs 1.47.0: blocks of the file system, blocks of the journal.
        for (blocks, journal) in [
            (2048, 1024),
            (32_767, 1024),
            (32_768, 4096),
            (262_144, 8192),
            (524_288, 16_384),
            (4_194_304, 32_768),
            (8_388_608, 65_536),
            (16_777_216, 131_072),
            (33_554_432, 262_144),
        ] {
            assert_eq!(size_in_blocks(blocks), journal, "{blocks} blocks");
        }
    }
}
