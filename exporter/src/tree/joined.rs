//! A file that is several others, or parts of them, one behind the other: none of them is in memory for that.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use super::Content;
use crate::error::{Error, Result};

/// The files that one is made of, each with what of it is taken.
#[derive(Clone, Debug)]
pub struct Joined {
    parts: Arc<[(Range<u64>, Content)]>,
    len: u64,
}

impl Joined {
    pub(super) fn new(parts: Vec<(Range<u64>, Content)>) -> Self {
        let len = parts.iter().map(|(range, _)| range.end - range.start).sum();
        Self { parts: parts.into(), len }
    }

    /// How many bytes there are together.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in them.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What `range` has of each file, as a range of that file, with where it begins in `range`.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = (u64, Range<u64>, &Content)> {
        let parts = self.parts.iter().scan(0, |next, (own, part)| {
            let at = *next;
            *next += own.end - own.start;
            Some((at..*next, own.start, part))
        });
        parts.filter_map(move |(place, first, part)| {
            let (start, end) = (range.start.max(place.start), range.end.min(place.end));
            let own = |at: u64| first + (at - place.start);
            (start < end).then(|| (start - range.start, own(start)..own(end), part))
        })
    }

    pub(super) fn data_ranges(&self) -> Vec<Range<u64>> {
        let mut joined: Vec<Range<u64>> = Vec::new();
        for (at, own, part) in self.within(0..self.len) {
            for data in part.data_ranges() {
                let (start, end) = (data.start.max(own.start), data.end.min(own.end));
                if start >= end {
                    continue;
                }
                let range = at + (start - own.start)..at + (end - own.start);
                match joined.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => joined.push(range),
                }
            }
        }
        joined
    }

    /// That of the first file that has one.
    pub(super) fn order(&self) -> Option<(u32, u64)> {
        self.parts.iter().find_map(|(_, part)| part.order())
    }

    pub(super) fn memory(&self) -> u64 {
        self.parts.iter().map(|(_, part)| part.memory()).sum()
    }

    pub(super) fn reader(&self) -> Result<Box<dyn Read + '_>> {
        let nothing: Box<dyn Read + '_> = Box::new(std::io::empty());
        self.parts.iter().try_fold(nothing, |before, (range, part)| {
            let mut reader = part.reader()?;
            let skipped = std::io::copy(&mut (&mut reader).take(range.start), &mut std::io::sink());
            skipped.map_err(|error| Error::io("a file", "cannot be read", error))?;
            let both: Box<dyn Read + '_> = Box::new(before.chain(reader.take(range.end - range.start)));
            Ok(both)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::{Backing, Extent};

    fn joined(parts: &[&str]) -> Content {
        Content::joined(parts.iter().map(|text| Content::Bytes(text.as_bytes().into())).collect())
    }

    fn text(extents: Vec<Extent>) -> String {
        let of = |extent: Extent| match extent.source {
            Backing::Bytes(bytes) => format!("{}{}", extent.offset, String::from_utf8_lossy(&bytes)),
            other => panic!("{other:?}"),
        };
        extents.into_iter().map(of).collect::<Vec<_>>().join(" ")
    }

    fn read(content: &Content) -> String {
        let mut read = String::new();
        content.reader().unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(content.len(), read.len() as u64);
        read
    }

    #[test]
    fn it_is_read_as_one_file() {
        let content = Content::joined(vec![joined(&["ab", "", "cde"]), joined(&[]), joined(&["f"])]);
        assert_eq!(read(&content), "abcdef");
        assert_eq!(content.data_ranges(), std::slice::from_ref(&(0..6)));
        assert_eq!(text(Extent::of_content(&content, 10)), "10ab 12cde 15f");
        assert_eq!(text(Extent::of_range(&content, 1..4, 7)), "7b 8cd");
        assert_eq!(text(Extent::of_range(&content, 2..2, 7)), "");
        assert!(joined(&[]).is_empty());
    }

    #[test]
    fn a_part_of_it_is_a_file_too() {
        let content = Content::joined(vec![joined(&["abc", "def"]).cut(1..5), joined(&["ghi"]).cut(2..3)]);
        assert_eq!(read(&content), "bcdei");
        assert_eq!(text(Extent::of_content(&content, 0)), "0bc 2de 4i");
        assert_eq!(text(Extent::of_content(&content.clone().cut(1..4), 0)), "0c 1de");
        assert_eq!(content.data_ranges(), std::slice::from_ref(&(0..5)));
    }
}
