//! Small images that say they are large: reading ends, and keeps little.

use std::cell::Cell;

use exporter::fs::ext4;
use exporter::read_at::ReadAt;
use exporter::{Error, Kind, Result};

use crate::support::budget;

const BLOCK: usize = 4096;
const INODES: usize = 4;

/// A file system of 4 KiB blocks: superblock and descriptors in the first two blocks, inodes from the fifth on, and
/// whatever a test puts there. It counts what is read of it.
struct Crafted {
    bytes: Vec<u8>,
    size: u64,
    read: Cell<u64>,
}

impl Crafted {
    fn new() -> Self {
        let mut crafted =
            Self { bytes: vec![0; 512 * BLOCK], size: (512 * BLOCK) as u64, read: Cell::new(0) };
        // Inodes, blocks; block size; blocks, clusters and inodes of a group.
        for (at, value) in [(0, 1024), (4, 512), (0x18, 2), (0x20, 32768), (0x24, 32768), (0x28, 1024)] {
            crafted.put_u32(1024 + at, value);
        }
        // Magic and that it was unmounted; revision; size of an inode; file types and extents.
        for (at, value) in [(0x38, 0x1_ef53), (0x4c, 1), (0x58, 256), (0x60, 0x42)] {
            crafted.put_u32(1024 + at, value);
        }
        crafted.put_u32(BLOCK + 8, INODES as u32);
        crafted
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    /// An inode that lies in extents, or in a block map.
    fn put_inode(&mut self, ino: usize, mode: u16, size: u64, has_extents: bool, i_block: &[u8]) {
        let at = INODES * BLOCK + (ino - 1) * 256;
        self.put(at, &mode.to_le_bytes());
        self.put_u32(at + 4, size as u32);
        self.put_u32(at + 108, (size >> 32) as u32);
        self.put(at + 26, &1_u16.to_le_bytes());
        self.put_u32(at + 32, if has_extents { 0x8_0000 } else { 0 });
        self.put(at + 40, i_block);
        self.put(at + 128, &32_u16.to_le_bytes());
    }

    fn put_block(&mut self, block: usize, bytes: &[u8]) {
        self.put(block * BLOCK, bytes);
    }

    /// The root, with one file of `size` in a block map or extents.
    fn with_file(size: u64, has_extents: bool, i_block: &[u8]) -> Self {
        let mut crafted = Self::new();
        crafted.put_inode(2, 0o040_755, BLOCK as u64, true, &[header(1, 0), leaf(0, 5, 1)].concat());
        crafted.put_block(5, &[entry(12, b"file", 16), entry(0, b"", 4080)].concat());
        crafted.put_inode(12, 0o100_644, size, has_extents, i_block);
        crafted
    }

    fn digest(&self) -> Result<[u8; 32]> {
        ext4::tree_digest(self, &budget())
    }

    fn refused(&self) -> String {
        self.digest().unwrap_err().to_string()
    }
}

impl ReadAt for Crafted {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read.set(self.read.get() + out.len() as u64);
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.size) {
            return Err(Error::new(Kind::Corrupt, "", "outside"));
        }
        out.fill(0);
        let there = self.bytes.get(offset as usize..).unwrap_or_default();
        out.iter_mut().zip(there).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

fn header(entries: u16, depth: u16) -> Vec<u8> {
    [0xf30a, entries, 340, depth, 0, 0].iter().flat_map(|half: &u16| half.to_le_bytes()).collect()
}

fn leaf(logical: u32, physical: u32, blocks: u16) -> Vec<u8> {
    [&logical.to_le_bytes()[..], &blocks.to_le_bytes(), &[0; 2], &physical.to_le_bytes()].concat()
}

fn index(logical: u32, block: u32) -> Vec<u8> {
    [&logical.to_le_bytes()[..], &block.to_le_bytes(), &[0; 4]].concat()
}

fn entry(ino: u32, name: &[u8], len: u16) -> Vec<u8> {
    let mut entry = [&ino.to_le_bytes()[..], &len.to_le_bytes(), &[name.len() as u8, 0], name].concat();
    entry.resize(len.into(), 0);
    entry
}

/// A directory whose one block is mapped 65,000 times.
fn one_block_again_and_again() -> Crafted {
    let mut crafted = Crafted::new();
    let leaves = 190;
    crafted.put_inode(2, 0o040_755, 340 * leaves * 4096, true, &[header(1, 2), index(0, 6)].concat());
    let nodes: Vec<_> = (0..leaves as u32).flat_map(|leaf| index(340 * leaf, 20 + leaf)).collect();
    crafted.put_block(6, &[header(leaves as u16, 1), nodes].concat());
    for node in 0..leaves as u32 {
        let extents: Vec<_> = (0..340).flat_map(|number| leaf(340 * node + number, 5, 1)).collect();
        crafted.put_block(20 + node as usize, &[header(340, 0), extents].concat());
    }
    let entries: Vec<_> = (0..340).flat_map(|_| entry(12, b"a", 12)).collect();
    crafted.put_block(5, &[entries, entry(12, b"b", 16)].concat());
    crafted.put_inode(12, 0o100_644, 0, true, &header(0, 0));
    crafted
}

#[test]
fn a_crafted_image_is_one_that_is_read() {
    let inline = Crafted::with_file(5, true, &[header(1, 0), leaf(0, 7, 1)].concat());
    assert!(inline.digest().is_ok());
    let mut other = Crafted::with_file(5, true, &[header(1, 0), leaf(0, 7, 1)].concat());
    other.put_block(7, b"12345");
    assert_ne!(inline.digest().unwrap(), other.digest().unwrap());
    let mut pointers = [0; 60];
    pointers[0] = 7;
    let mapped = Crafted::with_file(5, false, &pointers);
    assert_eq!(mapped.digest().unwrap(), inline.digest().unwrap());
}

#[test]
fn four_billion_groups_cost_nothing() {
    // 2^42 blocks in groups of 256, with 64-bit numbers and without.
    for (features, high) in [(0xc2, 1 << 10), (0x42, 1 << 10), (0x42, u32::MAX)] {
        let mut crafted = Crafted::with_file(0, true, &header(0, 0));
        crafted.size = 1 << 55;
        for (at, value) in [(4, u32::MAX), (0x20, 256), (0x60, features), (0xfc, 64 << 16), (0x150, high)] {
            crafted.put_u32(1024 + at, value);
        }
        assert!(ext4::read(&crafted).unwrap().is_some());
        assert!(crafted.digest().is_ok(), "{:?}", crafted.digest());
        assert!(ext4::read_text(&crafted, "/etc/none", 10, &budget()).unwrap().is_none());
        assert!(crafted.read.get() < 1 << 20, "{}", crafted.read.get());
    }
}

#[test]
fn a_directory_block_that_is_mapped_again_and_again_ends() {
    let crafted = one_block_again_and_again();
    let refused = crafted.refused();
    assert!(refused.contains("bytes of names and changes"), "{refused}");
    // 13 bytes are kept for each of 340 entries of a block.
    assert!(crafted.read.get() < 80 << 20, "{}", crafted.read.get());
    assert_eq!(ext4::read_text(&crafted, "/b", 10, &budget()).unwrap().as_deref(), Some(&b""[..]));
}

#[test]
fn extents_that_overlap_are_refused_at_once() {
    let both = "/file: the extents of a file overlap";
    let twice = [header(2, 0), leaf(0, 7, 2), leaf(1, 7, 1)].concat();
    assert_eq!(Crafted::with_file(5, true, &twice).refused(), both);
    // One leaf of 340 extents, 65,536 times.
    let mut crafted = Crafted::with_file(5, true, &[header(1, 3), index(0, 10)].concat());
    for (block, depth) in [(10, 2), (11, 1)] {
        let nodes: Vec<_> = (0..340).flat_map(|_| index(0, block + 1)).collect();
        crafted.put_block(block as usize, &[header(340, depth), nodes].concat());
    }
    let extents: Vec<_> = (0..340).flat_map(|number| leaf(2 * number, 7, 1)).collect();
    crafted.put_block(12, &[header(340, 0), extents].concat());
    crafted.put_inode(12, 0o100_644, 1 << 40, true, &[header(1, 3), index(0, 10)].concat());
    assert_eq!(crafted.refused(), both);
    // The same with leaves of nothing, which only their place in the tree tells apart.
    crafted.put_block(12, &header(0, 0));
    assert_eq!(crafted.refused(), both);
    assert!(crafted.read.get() < 4 << 20, "{}", crafted.read.get());
    // Nodes without entries, and one that is its own child.
    crafted.put_block(11, &header(0, 1));
    assert_eq!(crafted.refused(), "/file: an extent tree is broken");
    crafted.put_block(10, &[header(1, 2), index(0, 10)].concat());
    assert_eq!(crafted.refused(), "/file: an extent tree is broken");
}

#[test]
fn a_file_of_holes_costs_nothing_where_it_is_too_large() {
    for size in [60 << 30, 1 << 50, u64::MAX] {
        let crafted = Crafted::with_file(size, true, &header(0, 0));
        let error = crafted.digest().unwrap_err();
        assert_eq!(*error.kind(), Kind::Unsupported, "nothing is wrong with it");
        assert!(error.to_string().contains("bytes to be read"), "{error}");
        assert!(crafted.read.get() < 1 << 20);
    }
    assert!(Crafted::with_file(16 << 20, true, &header(0, 0)).digest().is_ok());
}

#[test]
fn a_block_map_that_leads_to_itself_ends() {
    // Every block of pointers is the same one, which points to itself, and so is every block of the file.
    let mut pointers = [0; 60];
    (0..15).for_each(|pointer| pointers[4 * pointer] = 8);
    let mut crafted = Crafted::with_file(8 << 20, false, &pointers);
    crafted.put_block(8, &8_u32.to_le_bytes().repeat(1024));
    assert!(crafted.digest().is_ok());
    assert!(crafted.read.get() < 9 << 20, "as long as the file says: {}", crafted.read.get());
    crafted.put_block(8, &512_u32.to_le_bytes().repeat(1024));
    assert_eq!(crafted.refused(), "/file: a block lies outside of the file system");
}

/// Many directories of one inode, one that contains itself.
#[test]
fn no_directory_is_met_twice() {
    let mut crafted = Crafted::with_file(0, true, &header(0, 0));
    crafted.put_inode(12, 0o040_755, 4096, true, &[header(1, 0), leaf(0, 5, 1)].concat());
    assert_eq!(crafted.refused(), "/file/file: a directory has two names");
}

/// A link and a directory, which whoever unpacks them would take for one.
#[test]
fn no_name_is_met_twice() {
    let mut crafted = Crafted::with_file(0, true, &header(0, 0));
    crafted.put_inode(13, 0o040_755, 0, true, &header(0, 0));
    let with = |name| [entry(12, b"file", 16), entry(13, name, 4080)].concat();
    crafted.put_block(5, &with(b"fils"));
    assert!(crafted.digest().is_ok(), "{:?}", crafted.digest());
    crafted.put_block(5, &with(b"file"));
    assert!(crafted.refused().contains("a directory has a name twice"));
}

#[test]
fn attributes_that_are_too_many_or_too_large_end() {
    let mut crafted = Crafted::with_file(0, true, &header(0, 0));
    let file = INODES * BLOCK + 11 * 256;
    crafted.put_u32(file + 0x68, 9);
    // 200 attributes of one value of 3,000 bytes.
    let entries = (0..200_u16).flat_map(|number| {
        let [low, high] = number.to_le_bytes();
        let name = [b'a' + low % 16, b'a' + low / 16, high, b'x'];
        let [size, more] = 3000_u16.to_le_bytes();
        [&[4, 1, 100, 0, 0, 0, 0, 0, size, more, 0, 0, 0, 0, 0, 0][..], &name].concat()
    });
    let area: Vec<u8> = entries.collect();
    crafted.put_block(9, &[&0xea02_0000_u32.to_le_bytes()[..], &[0; 28], &area[..4000]].concat());
    assert_eq!(crafted.refused(), "/file: extended attributes lie outside of their place");
}
