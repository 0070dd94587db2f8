//! Cutting an image into chunks, without those that no extent covers.

use super::{CHUNK, RawImage};
use crate::extent::{Backing, Extent};
use crate::tree::Turn;

/// A chunk to be filled.
pub(super) struct Job {
    pub(super) offset: u64,
    pub(super) len: usize,
    /// The extents that touch it, the first and the last perhaps in part.
    pub(super) extents: Vec<Extent>,
}

impl Job {
    /// Bytes that the extents cover.
    pub(super) fn covered(&self) -> u64 {
        let end = self.offset + self.len as u64;
        let inside = |extent: &Extent| extent.end().min(end).saturating_sub(extent.offset.max(self.offset));
        self.extents.iter().map(inside).sum()
    }

    /// Places in the rows of the archives it reads.
    pub(super) fn turns(&self) -> Vec<Turn> {
        let mut turns = Vec::new();
        take_turns(&self.extents, &mut turns);
        turns
    }
}

fn take_turns(extents: &[Extent], turns: &mut Vec<Turn>) {
    for extent in extents {
        match &extent.source {
            Backing::Archive { archive, .. } if !turns.iter().any(|turn| turn.is_of(archive)) => {
                turns.extend(archive.turn());
            }
            Backing::Transformed { of, .. } => take_turns(of, turns),
            _ => {}
        }
    }
}

/// The chunks of an image that hold something, in order.
pub(super) struct Chunks<'a> {
    size: u64,
    /// The first extent that is not wholly behind.
    next: Option<Extent>,
    /// Those after it.
    extents: Box<dyn Iterator<Item = Extent> + Send + 'a>,
    offset: u64,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(image: RawImage<'a>) -> Self {
        let mut extents = image.extents.iter();
        Self { size: image.size, next: extents.next(), extents, offset: 0 }
    }

    /// The extents that begin before `end`; what reaches further comes again for the next chunk.
    fn until(&mut self, end: u64) -> Vec<Extent> {
        let mut touching = Vec::new();
        while let Some(extent) = self.next.take_if(|extent| extent.offset < end) {
            if extent.end() > end {
                self.next = Some(extent.clone());
                touching.push(extent);
                break;
            }
            self.next = self.extents.next();
            let is_apart = self.next.as_ref().is_none_or(|next| extent.end() <= next.offset);
            debug_assert!(is_apart, "extents are sorted and apart");
            touching.push(extent);
        }
        touching
    }
}

impl Iterator for Chunks<'_> {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        let first = self.next.as_ref()?.offset / CHUNK as u64 * CHUNK as u64;
        let offset = first.max(self.offset);
        let len = self.size.saturating_sub(offset).min(CHUNK as u64) as usize;
        self.offset = offset + len as u64;
        (len > 0).then(|| Job { offset, len, extents: self.until(self.offset) })
    }
}
