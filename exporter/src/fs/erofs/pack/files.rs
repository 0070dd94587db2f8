//! The files that are compressed, as an image that the engine takes: no extent of any lies in two of its chunks.

use std::collections::HashMap;
use std::ops::Range;

use super::Place;
use crate::engine::CHUNK;
use crate::extent::{Extent, Extents};
use crate::fs::erofs::EXTENT_SIZE;
use crate::fs::erofs::format::BLOCK_SIZE;
use crate::fs::erofs::inode::with_holes;
use crate::fs::order::disk_order;
use crate::tree::{Content, InodeId, InodeKind, Tree};

const _: () = assert!(CHUNK.is_multiple_of(EXTENT_SIZE));

/// Files in a row.
pub(super) struct Files<'a> {
    tree: &'a Tree,
    list: Vec<File>,
    /// Bytes of the image.
    pub(super) size: u64,
}

struct File {
    id: InodeId,
    /// First byte in the image.
    start: u64,
    len: u64,
    /// Its first extent among those of all files.
    first: usize,
}

impl File {
    fn end(&self) -> u64 {
        self.start + self.len
    }

    fn extents(&self) -> Range<usize> {
        self.first..self.first + self.len.div_ceil(EXTENT_SIZE as u64) as usize
    }

    /// Its extents that begin inside `range` of the image.
    fn extents_in(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let (start, end) = (self.start.max(range.start), self.end());
        let starts = (start..end.min(range.end)).step_by(EXTENT_SIZE);
        starts.map(move |start| start..(start + EXTENT_SIZE as u64).min(end))
    }
}

impl<'a> Files<'a> {
    /// In the order in which they are best read.
    pub(super) fn new(tree: &'a Tree, inodes: &[InodeId]) -> Self {
        let mut files = Self { tree, list: Vec::new(), size: 0 };
        let mut first = 0;
        for index in disk_order(tree, inodes.iter().copied()) {
            let id = inodes[index];
            let Some(len) = content(tree, id).filter(|content| may_shrink(content)).map(Content::len) else {
                continue;
            };
            let start = place(files.size, len);
            let file = File { id, start, len, first };
            first = file.extents().end;
            files.size = file.end().next_multiple_of(BLOCK_SIZE as u64);
            files.list.push(file);
        }
        files
    }

    /// Where each lies, once it is known how many blocks each extent takes.
    pub(super) fn places(&self, blocks: &[u8]) -> HashMap<InodeId, Place> {
        let mut at = 0;
        let place = |file: &File| {
            let place = Place { extents: file.extents(), at };
            at += blocks[file.extents()].iter().map(|&blocks| u64::from(blocks)).sum::<u64>()
                * BLOCK_SIZE as u64;
            (file.id, place)
        };
        self.list.iter().map(place).collect()
    }
}

impl Extents for Files<'_> {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let extents = move |file: &File| {
            content(self.tree, file.id).map(|content| Extent::of_content(content, file.start))
        };
        Box::new(self.list.iter().filter_map(extents).flatten())
    }
}

fn content(tree: &Tree, id: InodeId) -> Option<&Content> {
    match &tree.inode(id).kind {
        InodeKind::File(content) => Some(content),
        _ => None,
    }
}

/// Larger files are refused when they are to have a place.
const LEN_MAX: u64 = 16 << 40;

/// Whether a file could have fewer blocks. One with holes has chunks, which are not compressed.
fn may_shrink(content: &Content) -> bool {
    (BLOCK_SIZE as u64 + 1..=LEN_MAX).contains(&content.len()) && with_holes(content).is_none()
}

/// The place of a file of `len` bytes from `next` on.
fn place(next: u64, len: u64) -> u64 {
    let extent = EXTENT_SIZE as u64;
    if next % extent + len.min(extent) > extent { next.next_multiple_of(extent) } else { next }
}

impl Files<'_> {
    /// The extents that begin inside `range` of the image, in their order.
    pub(super) fn extents(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        extents(&self.list, range)
    }
}

/// The extents of `files` that begin inside `range` of their image.
fn extents(files: &[File], range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
    let first = files.partition_point(|file| file.end() <= range.start);
    let end = range.end;
    let inside = files[first..].iter().take_while(move |file| file.start < end);
    inside.flat_map(move |file| file.extents_in(range.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_extent_lies_in_two_chunks() {
        let lens = [5000, 130_000, 4097, 300_000, 131_072, 20_000, 1 << 21, 5000, 9000];
        let (mut next, mut first, mut files) = (0, 0, Vec::new());
        for (number, len) in lens.into_iter().enumerate() {
            let file = File { id: InodeId(number as u32), start: place(next, len), len, first };
            (next, first) = (file.end().next_multiple_of(4096), file.extents().end);
            files.push(file);
        }
        let all: Vec<_> = extents(&files, 0..u64::MAX).collect();
        assert_eq!(all.len(), first);
        let extent = EXTENT_SIZE as u64;
        assert!(all.iter().all(|range| range.start / extent == (range.end - 1) / extent), "{all:?}");
        assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].start));
        // Chunk by chunk they are the same.
        let chunks = (0..next.div_ceil(CHUNK as u64)).map(|number| number * CHUNK as u64);
        let by_chunks = chunks.flat_map(|start| extents(&files, start..start + CHUNK as u64));
        assert_eq!(by_chunks.collect::<Vec<_>>(), all);
    }
}
