//! A regular file as a member of a tar: as it is, or with a map of its pieces in front where it has holes.

use std::ops::Range;

use super::Writer;
use crate::error::{Error, Kind, Result, show_path};
use crate::fs::files::FileContent;
use crate::image::pax::{self, MemberKind, RECORD};
use crate::tree::Meta;

/// The most pieces that a map has: programs that read it keep all of them. What is in more is written with its holes.
const PIECES_MAX: u64 = 1 << 20;

/// What is stored of a file with holes.
#[derive(Default)]
struct Map {
    pieces: u64,
    /// Bytes of the data.
    data: u64,
    /// Digits and line feeds of the lines of the pieces.
    digits: u64,
    /// One past the last byte of the last piece.
    end: u64,
    /// Whether the last piece is empty, at the end of a file that ends with a hole.
    has_tail: bool,
}

impl Map {
    fn of(content: &dyn FileContent) -> Result<Self> {
        let mut map = Self::default();
        content.ranges(&mut |range| {
            map.add(&range);
            Ok(())
        })?;
        Ok(map)
    }

    fn add(&mut self, range: &Range<u64>) {
        self.pieces += 1;
        self.data += range.end - range.start;
        self.digits += line(range.start).len() as u64 + line(range.end - range.start).len() as u64;
        self.end = range.end;
    }

    fn close(mut self, len: u64) -> Self {
        if self.end < len {
            self.add(&(len..len));
            self.has_tail = true;
        }
        self
    }

    /// Bytes of the map, filled up to a record.
    fn len(&self) -> u64 {
        (line(self.pieces).len() as u64 + self.digits).next_multiple_of(RECORD)
    }
}

fn line(number: u64) -> String {
    format!("{number}\n")
}

impl Writer<'_> {
    /// A regular file with its content.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        meta: &Meta,
        len: u64,
        content: &dyn FileContent,
    ) -> Result<()> {
        let map = Map::of(content)?;
        // Who asks for a part need not know of holes.
        if map.data == len || map.pieces >= PIECES_MAX || self.part.is_some() {
            self.put(&pax::header(path, meta, MemberKind::File(len))?)?;
            return self.content(path, len, content, true);
        }
        let (data, map) = (map.data, map.close(len));
        let stored = map.len() + data;
        self.put(&pax::header(path, meta, MemberKind::Sparse { len, stored })?)?;
        self.map(&map, len, content)?;
        self.content(path, data, content, false)
    }

    /// The number of the pieces, and where each begins and how long it is, in lines.
    fn map(&mut self, map: &Map, len: u64, content: &dyn FileContent) -> Result<()> {
        let mut lines = line(map.pieces).into_bytes();
        let mut written = 0;
        content.ranges(&mut |range| {
            lines.extend([line(range.start), line(range.end - range.start)].concat().bytes());
            if lines.len() as u64 >= RECORD {
                written += lines.len() as u64;
                self.put(&std::mem::take(&mut lines))?;
            }
            Ok(())
        })?;
        if map.has_tail {
            lines.extend([line(len), line(0)].concat().bytes());
        }
        written += lines.len() as u64;
        self.put(&lines)?;
        self.put(pax::padding(written))
    }

    /// So many bytes of data, with holes as zeros or without them, filled up to a record.
    fn content(&mut self, path: &[u8], len: u64, content: &dyn FileContent, with_holes: bool) -> Result<()> {
        let changed = || Error::new(Kind::Corrupt, show_path(path), "is not as long as it should be");
        let mut noticing = self.exported.noticed.begin(path);
        let mut written = 0;
        content.data(&mut |at, bytes| {
            if with_holes {
                self.fill(&mut written, at.min(len))?;
            }
            written += bytes.len() as u64;
            if written > len {
                return Err(changed());
            }
            noticing.see(at, bytes);
            self.put(bytes)?;
            self.exported.bytes += bytes.len() as u64;
            (self.seen)(bytes.len() as u64)
        })?;
        if with_holes {
            self.fill(&mut written, len)?;
        }
        if written != len {
            return Err(changed());
        }
        self.exported.noticed.end(noticing);
        self.put(pax::padding(len))
    }

    /// Zeros in the place of a hole, which cost as much as what is read.
    fn fill(&mut self, written: &mut u64, to: u64) -> Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while *written < to {
            let part = (to - *written).min(ZEROS.len() as u64);
            self.export.budget.read(part)?;
            self.put(ZEROS.get(..part as usize).unwrap_or(&ZEROS))?;
            (self.seen)(0)?;
            *written += part;
        }
        Ok(())
    }
}
