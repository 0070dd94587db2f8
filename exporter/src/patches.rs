//! Bytes to be changed in an image, and the image with them changed.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::read_at::{ReadAt, Shared, check_range};

/// Changes are looked for in pieces as long as an inode: of one only its checksum is kept.
const PIECE: usize = 256;
/// Bytes of memory beside the changed ones.
const KEPT_BESIDE: usize = 64;

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

    /// The bytes of `new` that are others than those of `old`, which lie from `offset` on. Returns the bytes that are
    /// kept for them.
    pub(crate) fn put_changed(&mut self, offset: u64, old: &[u8], new: &[u8]) -> u64 {
        let mut kept = 0;
        for (number, (old, new)) in old.chunks(PIECE).zip(new.chunks(PIECE)).enumerate() {
            let differ = |(old, new): (&u8, &u8)| old != new;
            let Some(first) = old.iter().zip(new).position(differ) else { continue };
            let last = old.iter().zip(new).rposition(differ).unwrap_or(first);
            let bytes = new.get(first..=last).unwrap_or_default().to_vec();
            kept += (bytes.len() + KEPT_BESIDE) as u64;
            self.put(offset + (number * PIECE + first) as u64, bytes);
        }
        kept
    }

    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
pub(crate) struct Patched {
    pub(crate) image: Shared,
    pub(crate) patches: Patches,
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
    fn only_what_differs_is_kept() {
        let old = vec![0; 1000];
        let mut new = old.clone();
        assert_eq!(Patches::default().put_changed(7, &old, &new), 0);
        (new[10], new[12], new[999]) = (1, 2, 3);
        let mut patches = Patches::default();
        assert_eq!(patches.put_changed(7, &old, &new), 4 + 2 * KEPT_BESIDE as u64);
        let kept: Vec<_> = patches.0.into_iter().collect();
        assert_eq!(kept, [(17, vec![1, 0, 2]), (1006, vec![3])]);
    }

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
