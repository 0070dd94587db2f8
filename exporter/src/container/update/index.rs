//! What each block of a root is: so that whoever has some of them fetches the others alone.

use sha2::{Digest, Sha256};
use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::container::Output;
use crate::container::hashed::Hashed;
use crate::error::Result;

/// Bytes of a block.
pub const BLOCK: usize = 64 << 10;

/// What the index says of a block: of [`BLOCK`] bytes of the file system, or of what is left at its end.
///
/// Every block has a frame, one of zeroes as well, and the frames lie one behind the other in the order of the blocks. So
/// `zstd -d` makes the whole file system of them, and the sum of the lengths before it is where the frame of a block
/// begins. Blocks of zeroes are known by their digest, and need not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Entry {
    /// SHA-256 of the bytes of the block, unpacked.
    pub sha256: [u8; 32],
    /// Bytes of its frame; never 0.
    pub frame_len: U32,
}

impl Entry {
    /// Of a block with this digest, whose frame has so many bytes.
    pub(in crate::container) fn new(sha256: [u8; 32], frame_len: usize) -> Self {
        Self { sha256, frame_len: U32::new(frame_len as u32) }
    }

    /// The same of a block with these bytes.
    pub(in crate::container) fn of(block: &[u8], frame_len: usize) -> Self {
        Self::new(Sha256::digest(block).into(), frame_len)
    }
}

/// The file with an [`Entry`] for each block, in order.
pub(in crate::container) struct Index(Hashed<Output>);

impl Index {
    /// The index in an empty file.
    pub(in crate::container) fn new(file: Output) -> Self {
        Self(Hashed::new(file))
    }

    /// Say what the next blocks are.
    pub(in crate::container) fn add(&self, entries: &[Entry]) -> Result<()> {
        self.0.append(entries.as_bytes())
    }

    /// The file's length and digest.
    pub(in crate::container) fn digest(&self) -> (u64, String) {
        self.0.digest()
    }
}
