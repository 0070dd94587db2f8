//! `root.index`: what each block of a root is, and where its frame lies. `exporter/src/container/update/index.rs` writes it.

use std::ops::Range;

use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::sums::{Sha, sha};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64 << 10;
/// Bytes of an [`Entry`].
pub(crate) const ENTRY: usize = size_of::<Entry>();
/// What a frame of a block may have: what cannot be packed is stored, behind a header (RFC 8878, section 3.1.1).
pub(crate) const FRAME_MAX: usize = BLOCK + 1024;

/// What the index says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Entry {
    /// SHA-256 of the bytes of the block, unpacked.
    pub(crate) sha256: Sha,
    /// Bytes of its frame; never 0.
    pub(crate) frame_len: U32,
}

const _: () = assert!(ENTRY == 36);

/// The blocks of a root.
#[derive(Debug)]
pub(super) struct Index {
    entries: Vec<Entry>,
    /// Where the frame of each begins, and at last where all end.
    frames: Vec<u64>,
    plain_bytes: u64,
    /// The digest of a block of zeroes, and of the last one if that is of zeroes.
    zeroes: [Sha; 2],
}

impl Index {
    /// The index of a root of `plain_bytes` whose frames have `packed_bytes`.
    ///
    /// # Errors
    /// If it is of another one.
    pub(super) fn parse(bytes: &[u8], plain_bytes: u64, packed_bytes: u64) -> Result<Self, String> {
        let (entries, rest) = <[Entry]>::ref_from_prefix_with_elems(bytes, bytes.len() / ENTRY)
            .map_err(|_| "is no index".to_owned())?;
        if !rest.is_empty() || entries.len() as u64 != plain_bytes.div_ceil(BLOCK as u64) {
            return Err("has another number of blocks than the root".to_owned());
        }
        let mut frames = vec![0];
        let mut end = 0;
        for (block, entry) in entries.iter().enumerate() {
            let len = entry.frame_len.get() as usize;
            if !(1..=FRAME_MAX).contains(&len) {
                return Err(format!("block {block} has a frame of {len} bytes"));
            }
            end += len as u64;
            frames.push(end);
        }
        if end != packed_bytes {
            return Err(format!("its frames have {end} bytes, and the file {packed_bytes}"));
        }
        let last = plain_bytes as usize % BLOCK;
        let zeroes = [BLOCK, last].map(|len| sha(&[0; BLOCK][..len]));
        Ok(Self { entries: entries.to_vec(), frames, plain_bytes, zeroes })
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn sha(&self, block: usize) -> &Sha {
        &self.entries[block].sha256
    }

    pub(super) fn is_zero(&self, block: usize) -> bool {
        let Range { start, end } = self.place(block);
        *self.sha(block) == self.zeroes[usize::from(end - start < BLOCK as u64)]
    }

    /// Where a block lies in the root.
    pub(super) fn place(&self, block: usize) -> Range<u64> {
        let start = (block * BLOCK) as u64;
        start..self.plain_bytes.min(start + BLOCK as u64)
    }

    /// Where the frames of blocks lie in the file.
    pub(super) fn frames(&self, blocks: &Range<usize>) -> Range<u64> {
        self.frames[blocks.start]..self.frames[blocks.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(frames: &[u32]) -> Vec<u8> {
        let entry = |len: &u32| Entry { sha256: sha(&[0; BLOCK]), frame_len: U32::new(*len) };
        frames.iter().flat_map(|len| entry(len).as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_block_has_a_place_in_the_root_and_in_the_file() {
        let index = Index::parse(&bytes(&[10, 20, 30]), 2 * BLOCK as u64 + 5, 60).unwrap();
        assert_eq!((index.len(), index.frames(&(1..3)), index.frames(&(0..1))), (3, 10..60, 0..10));
        assert_eq!((index.place(0), index.place(2)), (0..65536, 131072..131077));
        // The last one has another digest when it is of zeroes.
        assert!(index.is_zero(1) && !index.is_zero(2));
    }

    #[test]
    fn an_index_of_another_root_is_refused() {
        let plain = 3 * BLOCK as u64;
        for (bytes, plain, packed, said) in [
            (bytes(&[10, 20]), plain, 30, "another number of blocks"),
            (bytes(&[10, 20, 30])[1..].to_vec(), plain, 60, "another number of blocks"),
            ([bytes(&[10, 20, 30]), vec![0]].concat(), plain, 60, "another number of blocks"),
            (vec![], plain, 0, "another number of blocks"),
            (bytes(&[10, 0, 30]), plain, 40, "block 1 has a frame of 0 bytes"),
            (bytes(&[10, 20, 70000]), plain, 70030, "block 2 has a frame of 70000 bytes"),
            (bytes(&[10, 20, 30]), plain, 61, "its frames have 60 bytes, and the file 61"),
        ] {
            let error = Index::parse(&bytes, plain, packed).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
