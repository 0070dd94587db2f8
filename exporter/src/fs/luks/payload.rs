//! The extents of a volume: its head as it is, and its content in parts that are encrypted when they are written.

use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use super::DATA_OFFSET;
use super::xts::Sectors;
use crate::extent::{Backing, Extent, Extents, Transform, UNIT};
use crate::fs::Contents;

/// Bytes of a part at most, so that workers share them.
const PART: u64 = 1 << 20;

/// A volume as extents.
pub(super) struct Payload {
    head: Vec<Extent>,
    content: Contents,
    /// In whole units, apart.
    used: Vec<Range<u64>>,
    sectors: Arc<Sectors>,
}

impl Payload {
    /// `content` behind `head`, as far as it is `used`.
    pub(super) fn new(
        head: Vec<Extent>,
        content: Contents,
        used: Option<Vec<Range<u64>>>,
        sectors: Arc<Sectors>,
    ) -> Self {
        let whole = 0..content.size;
        let used = in_units(used.unwrap_or_else(|| vec![whole]));
        Self { head, content, used, sectors }
    }
}

/// The same ranges in whole units, those that then touch as one.
fn in_units(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut units: Vec<Range<u64>> = Vec::new();
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        let (start, end) = (range.start / UNIT * UNIT, range.end.next_multiple_of(UNIT));
        match units.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => units.push(start..end),
        }
    }
    units
}

impl Extents for Payload {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let plain = self.content.extents.iter().peekable();
        let parts = Parts { used: self.used.iter(), left: 0..0, plain, sectors: &self.sectors };
        Box::new(self.head.iter().chain(parts))
    }
}

/// Goes over the content once.
struct Parts<'a> {
    used: std::slice::Iter<'a, Range<u64>>,
    /// What is left of the range that was begun.
    left: Range<u64>,
    plain: Peekable<Box<dyn Iterator<Item = Extent> + Send + 'a>>,
    sectors: &'a Arc<Sectors>,
}

impl Parts<'_> {
    /// The plain extents that touch `part`; what reaches further comes again for the next one.
    fn touching(&mut self, part: &Range<u64>) -> Arc<[Extent]> {
        let mut touching = Vec::new();
        while let Some(extent) = self.plain.peek().filter(|extent| extent.offset < part.end) {
            let reaches_further = extent.end() > part.end;
            if extent.end() > part.start {
                touching.push(extent.clone());
            }
            if reaches_further {
                break;
            }
            self.plain.next();
        }
        touching.into()
    }
}

impl Iterator for Parts<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        if self.left.is_empty() {
            self.left = self.used.next()?.clone();
        }
        let Range { start, end } = self.left;
        let end = end.min((start + 1).next_multiple_of(PART));
        self.left.start = end;
        let of = self.touching(&(start..end));
        let by = Arc::clone(self.sectors) as Arc<dyn Transform>;
        let source = Backing::Transformed { of, by, at: start };
        Some(Extent { offset: DATA_OFFSET + start, len: end - start, source })
    }
}
