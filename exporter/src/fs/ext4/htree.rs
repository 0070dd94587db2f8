//! The hash tree of a large directory.
//!
//! ```text
//! block 0     root: `.`, `..`, up to 507 (hash, block)
//! block 1 …   inner nodes, only if there are more than 507 leaves: up to 510 (hash, block) each
//! block n …   leaves: entries, every hash in them between the leaf's own and the next one's
//! ```
//!
//! See [directory.rst](https://docs.kernel.org/filesystems/ext4/directory.html) ("Hash Tree Directories").
//! Leaves are filled to the brim; the kernel splits one when it needs room.

use std::mem::size_of;
use std::ops::Range;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, IntoBytes};

use super::csum::Crc32c;
use super::dir::{ENTRIES_ROOM, Entry, write_block};
use super::format::{BLOCK_SIZE, DX_HASH_HALF_MD4, DirEntry2, DxEntry, DxRootInfo, DxTail};
use super::hash::{NameHash, half_md4};

/// Bytes of `.` and `..` with their names.
const DOTS_SIZE: usize = 24;
/// Where the entries of the root begin.
const ROOT_HEAD: usize = DOTS_SIZE + size_of::<DxRootInfo>();
/// Where the entries of an inner node begin: behind one unused directory entry as long as the block.
const NODE_HEAD: usize = size_of::<DirEntry2>();
/// Entries in the root.
const ROOT_LIMIT: usize = (BLOCK_SIZE - ROOT_HEAD - size_of::<DxTail>()) / size_of::<DxEntry>();
/// Entries in an inner node.
const NODE_LIMIT: usize = (BLOCK_SIZE - NODE_HEAD - size_of::<DxTail>()) / size_of::<DxEntry>();

const _: () = assert!(ROOT_LIMIT == 507 && NODE_LIMIT == 510);

/// The entries of a directory in order of their hashes, cut into leaves.
pub(super) struct HashTree<'a> {
    entries: Vec<Entry<'a>>,
    leaves: Vec<Leaf>,
}

struct Leaf {
    /// The lowest hash in it; bit 0 says that the leaf before ends with the same hash.
    hash: u32,
    entries: Range<usize>,
}

impl<'a> HashTree<'a> {
    /// The tree of these entries; `None` if they need more than two levels of nodes.
    pub(super) fn new(entries: Vec<Entry<'a>>, seed: [u32; 4]) -> Option<Self> {
        let mut hashed: Vec<(NameHash, Entry)> =
            entries.into_iter().map(|entry| (half_md4(entry.name, seed), entry)).collect();
        hashed.sort_unstable_by(|(a, x), (b, y)| (a, x.name).cmp(&(b, y.name)));
        let leaves = cut(&hashed);
        let entries = hashed.into_iter().map(|(_, entry)| entry).collect();
        (leaves.len() <= ROOT_LIMIT * NODE_LIMIT).then_some(Self { entries, leaves })
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> u32 {
        (1 + self.nodes() + self.leaves.len()) as u32
    }

    /// Inner nodes beside the root.
    fn nodes(&self) -> usize {
        if self.leaves.len() <= ROOT_LIMIT { 0 } else { self.leaves.len().div_ceil(NODE_LIMIT) }
    }

    /// Fill block `number` of the directory.
    pub(super) fn render_block(&self, number: u32, dots: &[Entry; 2], inode: Crc32c, out: &mut [u8]) {
        let number = number as usize;
        let first_leaf = 1 + self.nodes();
        if number == 0 {
            self.write_root(dots, inode, out);
        } else if number < first_leaf {
            self.write_inner(number - 1, inode, out);
        } else {
            let leaf = &self.leaves[number - first_leaf];
            write_block(self.entries[leaf.entries.clone()].iter(), inode, out);
        }
    }

    fn write_root(&self, [dot, dot_dot]: &[Entry; 2], inode: Crc32c, out: &mut [u8]) {
        dot.write(DOTS_SIZE / 2, out);
        // For who knows no hash trees `..` is the last entry of the block.
        dot_dot.write(BLOCK_SIZE - DOTS_SIZE / 2, &mut out[DOTS_SIZE / 2..]);
        let info = DxRootInfo {
            reserved_zero: U32::ZERO,
            hash_version: DX_HASH_HALF_MD4,
            info_length: size_of::<DxRootInfo>() as u8,
            indirect_levels: u8::from(self.nodes() > 0),
            unused_flags: 0,
        };
        out[DOTS_SIZE..ROOT_HEAD].copy_from_slice(info.as_bytes());
        let children: Vec<_> = match self.nodes() {
            0 => self.leaves.iter().map(|leaf| leaf.hash).zip(1..).collect(),
            _ => self.leaves.iter().step_by(NODE_LIMIT).map(|leaf| leaf.hash).zip(1..).collect(),
        };
        write_node(&children, ROOT_HEAD, ROOT_LIMIT, inode, out);
    }

    fn write_inner(&self, node: usize, inode: Crc32c, out: &mut [u8]) {
        let mut unused = DirEntry2::new_zeroed();
        unused.rec_len = U16::new(BLOCK_SIZE as u16);
        out[..NODE_HEAD].copy_from_slice(unused.as_bytes());
        let first = node * NODE_LIMIT;
        let leaves = &self.leaves[first..self.leaves.len().min(first + NODE_LIMIT)];
        let blocks = (1 + self.nodes() + first) as u32..;
        let children: Vec<_> = leaves.iter().map(|leaf| leaf.hash).zip(blocks).collect();
        write_node(&children, NODE_HEAD, NODE_LIMIT, inode, out);
    }
}

fn cut(hashed: &[(NameHash, Entry)]) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut room = 0;
    for (index, (hash, entry)) in hashed.iter().enumerate() {
        match leaves.last_mut() {
            Some(leaf) if entry.size() <= room => leaf.entries.end += 1,
            _ => {
                let continued = index > 0 && hashed[index - 1].0.major == hash.major;
                leaves.push(Leaf { hash: hash.major | u32::from(continued), entries: index..index + 1 });
                room = ENTRIES_ROOM;
            }
        }
        room -= entry.size();
    }
    leaves
}

/// The (hash, block) entries of a node, from `head` of its block on. The checksum covers only those
/// that are there, and itself as zero.
fn write_node(children: &[(u32, u32)], head: usize, limit: usize, inode: Crc32c, out: &mut [u8]) {
    let size = size_of::<DxEntry>();
    for (slot, &(hash, block)) in out[head..].chunks_exact_mut(size).zip(children) {
        slot.copy_from_slice(DxEntry { hash: U32::new(hash), block: U32::new(block) }.as_bytes());
    }
    // The first hash gives way to `limit` and `count`.
    out[head..][..2].copy_from_slice(&(limit as u16).to_le_bytes());
    out[head + 2..][..2].copy_from_slice(&(children.len() as u16).to_le_bytes());

    let mut tail = DxTail::new_zeroed();
    let covered = &out[..head + children.len() * size];
    tail.dt_checksum = U32::new(inode.with(covered).with(tail.as_bytes()).value());
    out[head + limit * size..][..size_of::<DxTail>()].copy_from_slice(tail.as_bytes());
}
