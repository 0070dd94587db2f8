//! The crc32c of ext4: as everywhere, but without the last inversion, so that sums can be chained.

use super::format::Ino;
use crate::seed::Uuid;

/// A running checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crc32c(u32);

impl Crc32c {
    /// Before the first byte.
    pub(super) const START: Self = Self(!0);

    /// What every checksum of a file system begins with, but the superblock's own.
    pub(super) fn of_file_system(uuid: Uuid) -> Self {
        Self::START.with(&uuid.0)
    }

    /// The same where the superblock says it (`metadata_csum_seed`).
    pub(super) fn of_seed(seed: u32) -> Self {
        Self(seed)
    }

    /// What the checksums of an inode and of its blocks begin with. `i_generation` is 0 in what is made here.
    pub(super) fn for_inode(self, ino: Ino) -> Self {
        self.for_generation(ino, 0)
    }

    /// The same for any generation.
    pub(super) fn for_generation(self, ino: Ino, generation: u32) -> Self {
        self.with(&ino.0.to_le_bytes()).with(&generation.to_le_bytes())
    }

    /// With `bytes` added.
    pub(super) fn with(self, bytes: &[u8]) -> Self {
        Self(!crc32c::crc32c_append(!self.0, bytes))
    }

    /// The checksum as it is stored.
    pub(super) fn value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chained_sums_equal_the_whole() {
        // The check value of crc32c for "123456789" is e3069283, with its last inversion.
        assert_eq!(Crc32c::START.with(b"1234").with(b"56789").value(), !0xe306_9283);
    }
}
