//! Bytes to be changed in an image, and the image with them changed.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::read_at::{ReadAt, Shared, check_range};

/// Changed bytes by their place; none lie over others.
#[derive(Debug, Default)]
pub(crate) struct Patches(BTreeMap<u64, Vec<u8>>);

impl Patches {
    /// The bytes from `offset` on; what was there at the same place is replaced.
    pub(crate) fn put(&mut self, offset: u64, bytes: Vec<u8>) {
        self.0.insert(offset, bytes);
    }

    /// Take over those of a part of the image that begins at `start`.
    pub(crate) fn add(&mut self, start: u64, part: Self) {
        self.0.extend(part.0.into_iter().map(|(offset, bytes)| (start + offset, bytes)));
    }

    /// Whether the image has these bytes already.
    pub(crate) fn are_in<I: ReadAt + ?Sized>(&self, image: &I) -> Result<bool> {
        for (&offset, bytes) in &self.0 {
            let mut there = vec![0; bytes.len()];
            image.read_at(offset, &mut there)?;
            if there != *bytes {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Change `out`, which is what lies from `offset` on.
    fn apply(&self, offset: u64, out: &mut [u8]) {
        let end = offset + out.len() as u64;
        // Apart, they end in the order they begin in.
        for (&start, bytes) in self.0.range(..end).rev() {
            let stop = start + bytes.len() as u64;
            if stop <= offset {
                break;
            }
            let (from, to) = (start.max(offset), stop.min(end));
            out[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
        }
    }
}

/// An image with some bytes changed.
pub(super) struct Patched {
    pub(super) image: Shared,
    pub(super) patches: Patches,
}

impl ReadAt for Patched {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        self.image.read_at(offset, out)?;
        self.patches.apply(offset, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_read_wherever_a_reader_begins() {
        let mut patches = Patches::default();
        patches.put(2, b"cde".to_vec());
        patches.put(5, b"f".to_vec());
        let mut part = Patches::default();
        part.put(0, b"ij".to_vec());
        patches.add(8, part);
        let expected = b"..cdef..ij";
        for start in 0..10 {
            for end in start..10 {
                let mut out = vec![b'.'; end - start];
                patches.apply(start as u64, &mut out);
                assert_eq!(out, expected[start..end], "{start}..{end}");
            }
        }
    }
}
