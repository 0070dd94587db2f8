//! Blocks that were read last: who reads a few bytes at a time has each block made once, and not without end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::blocks::read_blocks;
use crate::error::{Error, Kind, Result};
use crate::limits::{self, Budget};
use crate::read_at::{ReadAt, check_range};

/// Blocks that are kept at most, however small they are: they are looked for one by one.
const BLOCKS_MAX: u64 = 256;

/// The blocks used last, by their numbers.
pub(super) struct Cache {
    block_size: u64,
    state: Mutex<State>,
}

struct State {
    /// The one used last is last.
    kept: VecDeque<(u64, Arc<Vec<u8>>)>,
    budget: Budget,
}

impl Cache {
    /// For blocks that are unpacked from a file of `file_len` bytes.
    pub(super) fn of_unpacked(block_size: u64, file_len: u64) -> Self {
        let limit = file_len.saturating_mul(limits::UNPACKED_PER_BYTE).saturating_add(limits::UNPACKED);
        Self::new(block_size, Budget::new("bytes unpacked", limit))
    }

    /// Blocks of `block_size` bytes, of which `budget` allows to make so many.
    fn new(block_size: u64, budget: Budget) -> Self {
        Self { block_size, state: Mutex::new(State { kept: VecDeque::new(), budget }) }
    }

    /// Fill `out` with bytes of a block from `skip` on; `make` makes it whole if it is not kept.
    pub(super) fn read(
        &self,
        block: u64,
        skip: u64,
        out: &mut [u8],
        make: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<()> {
        let bytes = match self.kept(block)? {
            Some(bytes) => bytes,
            None => self.keep(block, make()?),
        };
        let part = bytes.get(skip as usize..).and_then(|rest| rest.get(..out.len()));
        let part =
            part.ok_or_else(|| Error::new(Kind::Corrupt, "", "a block is shorter than it should be"))?;
        out.copy_from_slice(part);
        Ok(())
    }

    /// The block if it is kept; else one more may be made.
    fn kept(&self, block: u64) -> Result<Option<Arc<Vec<u8>>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { kept, budget } = &mut *state;
        let found = kept.iter().rposition(|(number, _)| *number == block);
        let Some(found) = found.and_then(|at| kept.remove(at)) else {
            let spent = budget.spend(self.block_size);
            return spent
                .map(|()| None)
                .map_err(|exceeded| Error::new(Kind::Corrupt, "", exceeded.to_string()));
        };
        let bytes = found.1.clone();
        kept.push_back(found);
        Ok(Some(bytes))
    }

    fn keep(&self, block: u64, bytes: Vec<u8>) -> Arc<Vec<u8>> {
        let bytes = Arc::new(bytes);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let most = (limits::BLOCKS_KEPT / self.block_size.max(1)).clamp(1, BLOCKS_MAX);
        while state.kept.len() as u64 >= most {
            state.kept.pop_front();
        }
        state.kept.push_back((block, bytes.clone()));
        bytes
    }
}

/// A file whose tables are read entry by entry, in larger pieces.
pub(super) struct Buffered<F> {
    file: F,
    cache: Cache,
}

impl<F: ReadAt> Buffered<F> {
    const BLOCK: u64 = 64 << 10;

    pub(super) fn new(file: F) -> Self {
        let budget = Budget::new("bytes of tables", limits::TABLES);
        Self { file, cache: Cache::new(Self::BLOCK, budget) }
    }

    fn block(&self, block: u64) -> Result<Vec<u8>> {
        let start = block.saturating_mul(Self::BLOCK);
        let mut bytes = vec![0; self.file.size().saturating_sub(start).min(Self::BLOCK) as usize];
        self.file.read_at(start, &mut bytes)?;
        Ok(bytes)
    }
}

impl<F: ReadAt> ReadAt for Buffered<F> {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        read_blocks(Self::BLOCK, offset, out, |block, skip, part| {
            self.cache.read(block, skip, part, || self.block(block))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const BLOCK: u64 = 2 << 20;

    /// A cache, and a reader of 32 bytes that counts how often it makes a block.
    fn reads(cache: &Cache, made: &Cell<u64>, block: u64) -> Result<()> {
        cache.read(block, 7 * 32, &mut [0; 32], || {
            made.set(made.get() + 1);
            Ok(vec![0; BLOCK as usize])
        })
    }

    #[test]
    fn small_reads_make_a_block_once() {
        let (cache, made) = (Cache::of_unpacked(BLOCK, 1 << 20), Cell::new(0));
        for read in 0..100_000 {
            // As a reader goes: from tables to what they tell of, and back.
            reads(&cache, &made, [0, 1 + read / 10_000][read as usize % 2]).unwrap();
        }
        assert_eq!(made.get(), 11);
    }

    #[test]
    fn reads_that_miss_every_block_come_to_an_end() {
        let (cache, made) = (Cache::of_unpacked(BLOCK, 1 << 20), Cell::new(0));
        let error = (0..1_000_000).find_map(|read| reads(&cache, &made, read % 9).err()).unwrap();
        assert_eq!(error.to_string(), "more than 6442450944 bytes unpacked, which is the limit");
        assert_eq!(made.get(), 3072);
    }

    #[test]
    fn a_file_is_read_in_larger_pieces() {
        struct Counted(Vec<u8>, Cell<u64>);
        impl ReadAt for Counted {
            fn size(&self) -> u64 {
                self.0.size()
            }
            fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
                self.1.set(self.1.get() + 1);
                self.0.read_at(offset, out)
            }
        }
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let file = Buffered::new(Counted(bytes.clone(), Cell::new(0)));
        for at in (0..199_996).step_by(4) {
            let mut entry = [0; 4];
            file.read_at(at, &mut entry).unwrap();
            assert_eq!(entry, bytes[at as usize..][..4]);
        }
        assert_eq!(file.file.1.get(), 4);
        assert!(file.read_at(199_998, &mut [0; 4]).is_err());
    }
}
