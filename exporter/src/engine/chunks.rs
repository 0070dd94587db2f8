//! Cutting an image into chunks, without those that no extent covers.

use super::{CHUNK, Image};
use crate::extent::{Extent, Source};
use crate::tree::Turn;

/// A chunk to be filled.
pub(super) struct Job<'a> {
    pub(super) offset: u64,
    pub(super) len: usize,
    /// The extents that touch it, the first and the last perhaps in part.
    pub(super) extents: &'a [Extent],
}

impl Job<'_> {
    /// Bytes that the extents cover.
    pub(super) fn covered(&self) -> u64 {
        let end = self.offset + self.len as u64;
        let inside = |extent: &Extent| extent.end().min(end).saturating_sub(extent.offset.max(self.offset));
        self.extents.iter().map(inside).sum()
    }

    /// Places in the rows of the archives it reads.
    pub(super) fn turns(&self) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        for extent in self.extents {
            if let Source::Archive { archive, .. } = &extent.source
                && !turns.iter().any(|turn| turn.is_of(archive))
            {
                turns.extend(archive.turn());
            }
        }
        turns
    }
}

/// The chunks of an image that hold something, in order.
pub(super) struct Chunks<'a> {
    size: u64,
    /// Those that are not wholly behind.
    extents: &'a [Extent],
    offset: u64,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(image: Image<'a>) -> Self {
        Self { size: image.size, extents: image.extents, offset: 0 }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Job<'a>;

    fn next(&mut self) -> Option<Job<'a>> {
        let behind = self.extents.iter().take_while(|extent| extent.end() <= self.offset).count();
        self.extents = &self.extents[behind..];
        let first = self.extents.first()?.offset / CHUNK as u64 * CHUNK as u64;
        let offset = first.max(self.offset);
        let len = self.size.saturating_sub(offset).min(CHUNK as u64) as usize;
        self.offset = offset + len as u64;
        let touching = self.extents.partition_point(|extent| extent.offset < self.offset);
        (len > 0).then_some(Job { offset, len, extents: &self.extents[..touching] })
    }
}
