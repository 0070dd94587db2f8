//! The index of a disk that lies on a medium as it is: what each block of it has.

use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use crate::container::spill::Spill;
use crate::container::update::{BLOCK, Entry};
use crate::engine::Run;
use crate::error::Result;

/// Entries that are written at once.
const BATCH: usize = 1024;

/// The index while the disk passes: what is known lies in a file without a name, since it is larger the larger the disk is.
pub(super) struct Index {
    /// Bytes of the disk.
    size: u64,
    /// Of these the blocks are known.
    done: u64,
    /// Of a block of zeroes.
    zero: Entry,
    entries: Spill,
}

impl Index {
    /// That of a disk of `size` bytes.
    ///
    /// # Errors
    /// If no temporary file can be made.
    pub(super) fn new(size: u64, run: &Run<'_>) -> Result<Self> {
        let zero = Entry::of(&[0; BLOCK], BLOCK);
        Ok(Self { size, done: 0, zero, entries: Spill::new(run.spool)? })
    }

    /// Bytes of the index of a disk of so many bytes.
    pub(crate) fn len(size: u64) -> u64 {
        size.div_ceil(BLOCK as u64) * size_of::<Entry>() as u64
    }

    /// The blocks up to `at`, a multiple of [`BLOCK`] or the end, are zeroes.
    pub(super) fn zeroes(&mut self, at: u64) -> Result<()> {
        let batch = vec![self.zero; BATCH];
        while self.done < at {
            let whole = ((at - self.done) / BLOCK as u64).min(BATCH as u64) as usize;
            if whole == 0 {
                let rest = vec![0; (at - self.done) as usize];
                return self.add(&[Sha256::digest(&rest).into()]);
            }
            self.entries.append(batch.get(..whole).unwrap_or_default().as_bytes())?;
            self.done += (whole * BLOCK) as u64;
        }
        Ok(())
    }

    /// The next blocks have these digests.
    pub(super) fn add(&mut self, digests: &[[u8; 32]]) -> Result<()> {
        for digest in digests {
            let len = (self.size - self.done).min(BLOCK as u64);
            self.entries.append(Entry::new(*digest, len as usize).as_bytes())?;
            self.done += len;
        }
        Ok(())
    }

    /// All of it in parts, in order.
    pub(super) fn finish(mut self, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.zeroes(self.size)?;
        self.entries.read(BATCH * size_of::<Entry>(), take)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn every_block_has_its_digest_and_its_length() {
        let size = 3000 * BLOCK as u64 + 512;
        let run = Run::silent(NonZeroUsize::MIN);
        let mut index = Index::new(size, &run).unwrap();
        index.zeroes(2 * BLOCK as u64).unwrap();
        index.add(&[[7; 32], [8; 32]]).unwrap();
        let mut bytes: Vec<u8> = Vec::new();
        index
            .finish(|part| {
                bytes.extend(part);
                Ok(())
            })
            .unwrap();
        assert_eq!(bytes.len() as u64, Index::len(size));
        let entry = |at: usize| bytes[at * 36..][..36].to_vec();
        let zero = Entry::of(&[0; BLOCK], BLOCK);
        for (at, expected) in [
            (0, zero),
            (1, zero),
            (2, Entry::new([7; 32], BLOCK)),
            (3, Entry::new([8; 32], BLOCK)),
            (2999, zero),
            (3000, Entry::of(&[0; 512], 512)),
        ] {
            assert_eq!(entry(at), expected.as_bytes(), "{at}");
        }
    }
}
