//! Ways in for `make fuzz`: what the installer is told, and what it reads of a medium before it writes.

use std::io::{Cursor, Read};
use std::ops::Range;

use super::closing::Closing;
use super::config::{Config, Layer, NAME};
use super::fill;
use super::image::Image;
use super::index::Index;
use crate::medium::manifest::Manifest;
use crate::update::index::BLOCK;
use crate::update::source::Source;

/// What a disk has in the eyes of [`medium`].
const TARGET: u64 = 1 << 40;

/// # Errors
/// If it cannot be.
pub(crate) fn config(text: &[u8]) -> Result<(), String> {
    Config::of(vec![Layer::parse(NAME, text)?]).map(drop)
}

/// The first block of a disk, how long the index is in two bytes, the index, and `medium.json`.
///
/// # Errors
/// What of it is refused.
pub(crate) fn medium(input: &[u8]) -> Result<(), String> {
    let short = || "ends early".to_owned();
    let (disk, rest) = input.split_at_checked(BLOCK).ok_or_else(short)?;
    let (len, rest) = rest.split_at_checked(2).ok_or_else(short)?;
    let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
    let (index, text) = rest.split_at_checked(len).ok_or_else(short)?;
    let image = Image::of(&Manifest::parse(text)?)?;
    let mut source = Memory { index: (&image.index, index), disk: (&image.file, disk) };
    let read = Index::read(&image, &mut source)?;
    let first = fill::first(&image, &read, &mut source)?;
    assert_eq!(first.len(), BLOCK, "a block is whole");
    let closing = Closing::of(&first, image.sector, TARGET)?;
    for number in 0..=128 {
        if let Ok(partition) = closing.partition(number) {
            assert!(partition.place.start < partition.place.end, "a partition has something in it");
        }
    }
    Ok(())
}

/// A medium of two files.
struct Memory<'a> {
    index: (&'a str, &'a [u8]),
    disk: (&'a str, &'a [u8]),
}

impl Source for Memory<'_> {
    fn small(&mut self, _: &str, _: u64) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        let files = [self.index, self.disk];
        let (_, bytes) = files.into_iter().find(|(other, _)| *other == name).ok_or("no such file")?;
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = place.and_then(|(start, end)| bytes.get(start..end)).ok_or("it is cut short")?;
        Ok(Box::new(Cursor::new(part)))
    }

    fn has_ranges(&self) -> bool {
        true
    }

    fn moved(&self) -> u64 {
        0
    }
}
