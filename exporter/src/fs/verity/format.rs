//! The superblock in front of a tree (`struct verity_sb` in cryptsetup's `lib/verity/verity.c`).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{BLOCK, Salt};
use crate::seed::Uuid;

/// What begins a hash partition: how the tree behind it was made. The root hash is not in it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Superblock {
    signature: [u8; 8],
    version: U32,
    hash_type: U32,

    uuid: [u8; 16],

    algorithm: [u8; 32],

    data_block_size: U32,
    hash_block_size: U32,
    data_blocks: U64,

    salt_size: U16,
    pad1: [u8; 6],
    salt: [u8; 256],
    pad2: [u8; 168],
}

const _: () = assert!(size_of::<Superblock>() == 512);
const _: () = assert!(std::mem::offset_of!(Superblock, algorithm) == 32);
const _: () = assert!(std::mem::offset_of!(Superblock, data_blocks) == 72);
const _: () = assert!(std::mem::offset_of!(Superblock, salt) == 88);

/// What a superblock begins with.
pub(crate) const SIGNATURE: [u8; 8] = *b"verity\0\0";
/// The salt goes in front of what is hashed, and digests lie at multiples of a power of two.
const NORMAL: u32 = 1;

impl Superblock {
    /// That of a tree over so many blocks.
    pub(super) fn new(data_blocks: u64, salt: &Salt, uuid: Uuid) -> Self {
        Self {
            signature: SIGNATURE,
            version: U32::new(1),
            hash_type: U32::new(NORMAL),
            uuid: uuid.0,
            algorithm: padded(b"sha256"),
            data_block_size: U32::new(BLOCK as u32),
            hash_block_size: U32::new(BLOCK as u32),
            data_blocks: U64::new(data_blocks),
            salt_size: U16::new(salt.len() as u16),
            pad1: [0; 6],
            salt: padded(salt),
            pad2: [0; 168],
        }
    }
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}
