//! The checksums of ext4's metadata (kernel documentation, filesystems/ext4, "Checksums"): of the superblock, of
//! group descriptors, inodes, and of directories and extents that inodes lead to directly.

use super::{number, put};

const SUPERBLOCK: usize = 1024;
const HAS_64BIT: u64 = 0x80;
/// As many inodes as a small file system has.
const INODES_MAX: usize = 1 << 14;
const DIRECTORY: u64 = 0x4000;
const EXTENTS_FL: u64 = 0x8_0000;
const EXTENT_MAGIC: u64 = 0xf30a;
/// An entry of no inode, 12 bytes long, without a name, of the type 0xde.
const DIRECTORY_TAIL: u64 = 0xde00_000c_0000_0000;

/// A file system at the start of the bytes.
pub(crate) fn ext4(bytes: &mut [u8]) {
    if let Some(layout) = Layout::read(bytes) {
        layout.inodes(bytes);
        layout.descriptors(bytes);
    }
    if let Some(covered) = bytes.get(SUPERBLOCK..SUPERBLOCK + 0x3fc) {
        let sum = sum(!0, covered);
        put(bytes, SUPERBLOCK + 0x3fc, &sum.to_le_bytes());
    }
}

/// A running CRC-32C, which ext4 does not invert at its end.
fn sum(before: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!before, bytes)
}

/// What the superblock says of the places of the others.
struct Layout {
    block: usize,
    inode: usize,
    descriptor: usize,
    inodes_per_group: usize,
    groups: usize,
    /// What all sums but the superblock's begin with.
    seed: u32,
}

impl Layout {
    fn read(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize, width| usize::try_from(number(bytes, SUPERBLOCK + at, width)?).ok();
        let block =
            1024_usize.checked_shl(u32::try_from(field(0x18, 4)?).ok()?).filter(|block| *block <= 1 << 16)?;
        let blocks = bytes.len() / block.max(1);
        let is_64bit = number(bytes, SUPERBLOCK + 0x60, 4)? & HAS_64BIT != 0;
        let layout = Self {
            block,
            inode: field(0x58, 2)?,
            descriptor: if is_64bit { field(0xfe, 2)? } else { 32 },
            inodes_per_group: field(0x28, 4)?.min(INODES_MAX),
            groups: blocks.div_ceil(field(0x20, 4)?.max(1)).min(64),
            seed: sum(!0, bytes.get(SUPERBLOCK + 0x68..SUPERBLOCK + 0x78)?),
        };
        ((128..=1024).contains(&layout.inode) && layout.descriptor >= 32 && block >= 1024).then_some(layout)
    }

    /// Where the descriptor of a group is.
    fn place(&self, group: usize) -> usize {
        (SUPERBLOCK / self.block + 1) * self.block + group * self.descriptor
    }

    fn descriptors(&self, bytes: &mut [u8]) {
        for group in 0..self.groups {
            let at = self.place(group);
            put(bytes, at + 0x1e, &[0; 2]);
            let Some(covered) = bytes.get(at..at + self.descriptor) else { return };
            let sum = sum(sum(self.seed, &(group as u32).to_le_bytes()), covered);
            put(bytes, at + 0x1e, &(sum as u16).to_le_bytes());
        }
    }

    fn inodes(&self, bytes: &mut [u8]) {
        for group in 0..self.groups {
            let Some(table) = number(bytes, self.place(group) + 8, 4) else { return };
            let Some(start) = usize::try_from(table).ok().and_then(|table| table.checked_mul(self.block))
            else {
                return;
            };
            for index in 0..self.inodes_per_group {
                let (at, number) = (start + index * self.inode, group * self.inodes_per_group + index + 1);
                match bytes.get(at..at + self.inode) {
                    Some(inode) if inode.iter().all(|&byte| byte == 0) => {}
                    Some(_) => self.inode(bytes, at, number as u32),
                    None => break,
                }
            }
        }
    }

    fn inode(&self, bytes: &mut [u8], at: usize, ino: u32) {
        let generation = number(bytes, at + 0x64, 4).unwrap_or_default() as u32;
        let seed = sum(sum(self.seed, &ino.to_le_bytes()), &generation.to_le_bytes());
        let is_wide = self.inode > 128;
        put(bytes, at + 0x7c, &[0; 2]);
        if is_wide {
            put(bytes, at + 0x82, &[0; 2]);
        }
        let sum = sum(seed, &bytes[at..at + self.inode]).to_le_bytes();
        put(bytes, at + 0x7c, &sum[..2]);
        if is_wide {
            put(bytes, at + 0x82, &sum[2..]);
        }
        self.blocks(bytes, at, seed);
    }

    /// The blocks that the root of the extent tree names: of directories, or of the tree itself.
    fn blocks(&self, bytes: &mut [u8], at: usize, seed: u32) -> Option<()> {
        let field = |offset, width| number(bytes, at + offset, width);
        let has_extents = field(0x20, 4)? & EXTENTS_FL != 0 && field(0x28, 2)? == EXTENT_MAGIC;
        let (is_directory, count, is_leaf) =
            (field(0, 2)? & 0xf000 == DIRECTORY, field(0x2a, 2)?, field(0x2e, 2)? == 0);
        for entry in (0..count.min(4)).filter(|_| has_extents) {
            let entry = at + 0x34 + 12 * entry as usize;
            let place = usize::try_from(number(bytes, entry + if is_leaf { 8 } else { 4 }, 4)?).ok()?;
            match is_leaf {
                true if is_directory => {
                    let len = (number(bytes, entry + 4, 2)? & 0x7fff).min(64) as usize;
                    (place..place.saturating_add(len)).for_each(|block| self.directory(bytes, block, seed));
                }
                true => {}
                false => self.node(bytes, place, seed),
            }
        }
        Some(())
    }

    /// A block of a directory ends in an entry of 12 bytes that holds its sum.
    fn directory(&self, bytes: &mut [u8], block: usize, seed: u32) {
        let Some(at) = block.checked_mul(self.block) else { return };
        let Some(covered) = bytes.get(at..at + self.block - 12) else { return };
        let sum = sum(seed, covered);
        if number(bytes, at + self.block - 12, 8) == Some(DIRECTORY_TAIL) {
            put(bytes, at + self.block - 4, &sum.to_le_bytes());
        }
    }

    /// A block of an extent tree has its sum behind the last entry there is room for.
    fn node(&self, bytes: &mut [u8], block: usize, seed: u32) {
        let Some(at) = block.checked_mul(self.block) else { return };
        let Some(max) = number(bytes, at.saturating_add(4), 2) else { return };
        let len = 12 + 12 * max as usize;
        let Some(covered) = bytes.get(at..at + len).filter(|_| len + 4 <= self.block) else { return };
        let sum = sum(seed, covered);
        put(bytes, at + len, &sum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_checksums_are_whole_again() {
        for whole in crate::targets::ext4_volumes() {
            let mut repaired = whole.clone();
            ext4(&mut repaired);
            let differs = whole.iter().zip(&repaired).position(|(whole, repaired)| whole != repaired);
            assert_eq!(differs, None, "a whole one is left as it is");
            let descriptors = SUPERBLOCK.next_multiple_of(4096);
            for at in [SUPERBLOCK + 0x3fc, descriptors + 0x1e] {
                repaired[at] ^= 1;
            }
            ext4(&mut repaired);
            assert!(repaired == whole);
        }
    }
}
