//! Ways in for `make fuzz`: what the installer is told, and what it reads of a medium.

use std::path::Path;

use super::closing::Closing;
use super::config::{Config, Layer, NAME};
use super::fill;
use super::image::Image;
use super::index::Index;
use crate::medium::manifest::Manifest;
use crate::update::source::open_folder;

/// What a disk has in the eyes of [`medium`].
const TARGET: u64 = 1 << 40;

/// # Errors
/// If it cannot be.
pub(crate) fn config(text: &[u8]) -> Result<(), String> {
    Config::of(vec![Layer::parse(NAME, text)?]).map(drop)
}

/// `medium.json`, a zero, as much of `disk.index` as two bytes say, and the rest as the file of the disk.
///
/// # Errors
/// What of it is refused.
pub(crate) fn medium(input: &[u8], folder: &Path) -> Result<(), String> {
    let end = input.iter().position(|byte| *byte == 0).ok_or("has no end of medium.json")?;
    let (text, rest) = input.split_at(end);
    let (len, rest) = rest[1..].split_at_checked(2).ok_or("has no length of the index")?;
    let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
    let (index, disk) = rest.split_at_checked(len).ok_or("has no index")?;
    let manifest = Manifest::parse(text)?;
    let image = Image::of(&manifest)?;
    for (name, bytes) in [(&image.index, index), (&image.file, disk)] {
        std::fs::write(folder.join(name), bytes).map_err(|error| error.to_string())?;
    }
    let mut source = open_folder(folder);
    let read = Index::read(&image, &mut *source)?;
    let first = fill::first(&image, &read, &mut *source)?;
    let closing = Closing::of(&first, image.sector, TARGET)?;
    if let Ok(partition) = closing.partition(1) {
        assert!(partition.place.start < partition.place.end, "a partition has something in it");
    }
    Ok(())
}
