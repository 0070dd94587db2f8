//! The tree of hashes: which levels it has, and how a block is hashed (kernel documentation, admin-guide/device-mapper/verity).
//!
//! ```text
//! block 1: the level on top, one block │ … │ level 1 │ level 0: the digests of the data
//! ```

use sha2::{Digest, Sha256};

use super::superblock::BLOCK;

/// Digests in a block.
const DIGESTS: u64 = (BLOCK / 32) as u64;

/// How many blocks each level has, that of the digests of `data` blocks first. One block of data needs none.
pub(super) fn levels(data: u64) -> impl Iterator<Item = u64> {
    let above = |blocks: &u64| (*blocks > 1).then(|| blocks.div_ceil(DIGESTS));
    std::iter::successors(above(&data), above)
}

/// The digest of a block.
pub(super) fn digest(salt: &[u8], block: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(block).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_a_block_for_128_of_the_one_below() {
        let of = |data| levels(data).collect::<Vec<_>>();
        assert_eq!((of(1), of(2), of(128)), (vec![], vec![1], vec![1]));
        assert_eq!((of(129), of(128 * 128)), (vec![2, 1], vec![128, 1]));
        assert_eq!(of(128 * 128 + 1), [129, 2, 1]);
        assert_eq!(of(u64::MAX).len(), 10);
    }

    #[test]
    fn the_salt_goes_first() {
        assert_eq!(digest(b"ab", b"c"), <[u8; 32]>::from(Sha256::digest(b"abc")));
    }
}
