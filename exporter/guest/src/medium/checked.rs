//! A part of the medium's disk, compared with its index while it is read: a stick that fails is known before a system runs from it.

use std::io::{self, BufReader, Read};
use std::ops::Range;

use sha2::{Digest, Sha256};

/// Bytes of a block, and of what the index says of each: its SHA-256, and the length of its frame.
pub(super) const BLOCK: u64 = 64 << 10;
pub(super) const ENTRY: u64 = 36;
const SHA256: usize = 32;

/// Where the index has the blocks of a part of the disk: those that are all in it. `None` where it does not begin with one, as
/// no partition of ours does.
pub(super) fn entries(part: &Range<u64>) -> Option<Range<u64>> {
    let blocks = part.start / BLOCK..part.end / BLOCK;
    part.start.is_multiple_of(BLOCK).then(|| blocks.start * ENTRY..blocks.end * ENTRY)
}

/// The reader of such a part.
pub(super) struct Checked<D, I> {
    data: D,
    /// The part's entries.
    index: BufReader<I>,
    /// What is left of the part.
    part: Range<u64>,
    block: Vec<u8>,
    /// What was taken of the block.
    taken: usize,
}

impl<D: Read, I: Read> Checked<D, I> {
    pub(super) fn new(data: D, index: I, part: Range<u64>) -> Self {
        Self { data, index: BufReader::new(index), part, block: Vec::new(), taken: 0 }
    }

    fn fill(&mut self) -> io::Result<()> {
        let Range { start, end } = self.part;
        let len = (end - start).min(BLOCK);
        self.block.resize(len as usize, 0);
        self.data.read_exact(&mut self.block)?;
        // What shares its last block with others is not compared.
        if len == BLOCK {
            let mut entry = [0; ENTRY as usize];
            self.index.read_exact(&mut entry)?;
            if entry.get(..SHA256) != Some(&*Sha256::digest(&self.block)) {
                return Err(io::Error::other(format!(
                    "block {} of the disk is not what its index says: the medium is damaged",
                    start / BLOCK
                )));
            }
        }
        (self.part.start, self.taken) = (start + len, 0);
        Ok(())
    }
}

impl<D: Read, I: Read> Read for Checked<D, I> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() && !self.part.is_empty() {
            self.fill()?;
        }
        let mut left = self.block.get(self.taken..).unwrap_or_default();
        let len = left.read(to)?;
        self.taken += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: u64 = 5 * BLOCK + 100;

    fn disk() -> (Vec<u8>, Vec<u8>) {
        let disk: Vec<u8> = (0..LEN).map(|at| (at / 251 + at % 251) as u8).collect();
        let entry = |block: &[u8]| [&Sha256::digest(block)[..], &[0; 4]].concat();
        let index = disk.chunks(BLOCK as usize).flat_map(entry).collect();
        (disk, index)
    }

    fn read(disk: &[u8], index: &[u8], part: Range<u64>) -> io::Result<Vec<u8>> {
        let of = entries(&part).unwrap();
        let index = &index[of.start as usize..of.end as usize];
        let mut bytes = Vec::new();
        let data = &disk[part.start as usize..part.end as usize];
        Checked::new(data, index, part).read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn what_is_as_the_index_says_is_read() {
        let (disk, index) = disk();
        for part in [0..LEN, BLOCK..3 * BLOCK, 2 * BLOCK..4 * BLOCK + 7, BLOCK..BLOCK] {
            let expected = &disk[part.start as usize..part.end as usize];
            assert_eq!(read(&disk, &index, part).unwrap(), expected);
        }
        assert_eq!(entries(&(BLOCK + 512..3 * BLOCK)), None);
    }

    #[test]
    fn an_index_that_is_cut_is_an_error() {
        let (disk, index) = disk();
        let mut bytes = Vec::new();
        let cut = Checked::new(&disk[..], &index[..100], 0..LEN).read_to_end(&mut bytes).unwrap_err();
        assert_eq!((cut.kind(), bytes.len() as u64), (io::ErrorKind::UnexpectedEof, 2 * BLOCK));
    }

    #[test]
    fn a_bit_that_is_another_is_found() {
        let (mut disk, index) = disk();
        disk[3 * BLOCK as usize + 9] ^= 1;
        let error = read(&disk, &index, BLOCK..5 * BLOCK).unwrap_err().to_string();
        assert!(error.starts_with("block 3 of the disk"), "{error}");
        assert!(read(&disk, &index, 0..3 * BLOCK).is_ok());
    }
}
