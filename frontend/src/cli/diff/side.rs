//! One side of a comparison: a disk with its partitions, one of them, a file without any, or an update.

use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use exporter::container::{self, update};
use exporter::delta::Blocks;
use exporter::disk::{self, Placed};
use exporter::read_at::Shared;
use exporter::terminal::line;

use crate::base::{Error, Result};

/// What was named.
pub(super) struct Side {
    /// The name, for messages.
    pub(super) shown: String,
    /// In the order of the table; what is in no partition comes last.
    pub(super) parts: Vec<Part>,
    /// Whether the parts are those of a partition table.
    pub(super) has_table: bool,
}

/// A part that is held against one of the other side.
pub(super) struct Part {
    /// What it is called: `2 "root"`.
    pub(super) name: String,
    /// Its number; what is in no partition has none.
    pub(super) partition: Option<u32>,
    pub(super) blocks: Blocks,
}

impl Side {
    /// Looks for `name`, and at the table that is there.
    pub(super) fn open(name: &Path, block_size: usize) -> Result<Self> {
        let (path, asked) = split(name);
        let shown = line(&name.to_string_lossy()).to_string();
        let one = |name: String, partition, blocks| Part { name, partition, blocks };
        if update::is_update(&path) {
            if let Some(asked) = asked {
                return Err(Error::user(format!("{shown}: an update has no partition {asked:?}"))
                    .with_hint("name the folder alone"));
            }
            let blocks = Blocks::of_update(update::Blocks::open(&path)?, block_size)?;
            return Ok(Self { shown, parts: vec![one("root".into(), None, blocks)], has_table: false });
        }
        let (_, image) = container::open(&path)?;
        let of = |range| Blocks::of_image(&image, Some(range), block_size);
        let table = disk::read(&*image);
        if let Some(asked) = asked {
            let placed = find(&path, &table?.partitions(), &asked)?;
            let blocks = of(range(&placed, &image))?;
            let part = one(describe(&placed), Some(placed.number), blocks);
            return Ok(Self { shown, parts: vec![part], has_table: false });
        }
        let Ok(table) = table else {
            let part = one("all".into(), None, of(0..image.size())?);
            return Ok(Self { shown, parts: vec![part], has_table: false });
        };
        let partitions = table.partitions();
        let mut parts = Vec::new();
        for placed in &partitions {
            let blocks = of(range(placed, &image))?;
            parts.push(one(describe(placed), Some(placed.number), blocks));
        }
        let taken = partitions.iter().map(|placed| range(placed, &image)).collect();
        let rest = Blocks::of_image(&image, rest(taken, image.size()), block_size)?;
        parts.push(one("rest".into(), None, rest));
        Ok(Self { shown, parts, has_table: true })
    }

    /// That there is no telling which of its parts is meant.
    pub(super) fn is_more_than(&self, one: &Self) -> Error {
        let numbers = self.parts.iter().filter_map(|part| part.partition);
        let example = numbers.max().unwrap_or(1);
        Error::user(format!("{}: is a disk with partitions, and {} is none", self.shown, one.shown))
            .with_hint(format!(
                "name the one that is meant, by its number or its label: {}:{example}",
                self.shown
            ))
    }
}

/// The file or folder, and which partition of it: what is there under the whole name is meant as it is.
fn split(name: &Path) -> (PathBuf, Option<String>) {
    let text = name.as_os_str().as_bytes();
    let at = |at: usize| Path::new(std::ffi::OsStr::from_bytes(&text[..at]));
    let colons = (0..text.len()).rev().filter(|&at| text[at] == b':');
    match colons.into_iter().find(|&colon| !name.exists() && at(colon).exists()) {
        Some(colon) => (at(colon).to_owned(), Some(String::from_utf8_lossy(&text[colon + 1..]).into_owned())),
        None => (name.to_owned(), None),
    }
}

/// The partition with this number, or else the one with this label.
fn find(path: &Path, partitions: &[Placed], asked: &str) -> Result<Placed> {
    let numbered: Vec<_> = partitions.iter().filter(|placed| placed.number.to_string() == asked).collect();
    let labelled: Vec<_> = partitions.iter().filter(|placed| placed.name == asked).collect();
    match (&numbered[..], &labelled[..]) {
        ([placed], _) | ([], [placed]) => Ok(Placed::clone(placed)),
        (_, found) => {
            let shown = path.display();
            let all: Vec<_> = partitions.iter().map(describe).collect();
            let how_many = if found.is_empty() { "no partition has" } else { "several partitions have" };
            Err(Error::user(format!("{shown}: {how_many} the number or label {asked:?}"))
                .with_hint(format!("there are {}", exporter::error::show_list(&all))))
        }
    }
}

fn describe(placed: &Placed) -> String {
    match &placed.name[..] {
        "" => placed.number.to_string(),
        name => format!("{} \"{}\"", placed.number, line(name)),
    }
}

/// Its bytes, as far as the disk has them: the table may say anything.
fn range(placed: &Placed, image: &Shared) -> Range<u64> {
    let end = placed.end().min(image.size());
    placed.start.min(end)..end
}

/// What none of `taken` covers.
fn rest(mut taken: Vec<Range<u64>>, size: u64) -> Vec<Range<u64>> {
    taken.sort_by_key(|range| range.start);
    let (mut rest, mut end) = (Vec::new(), 0);
    for range in taken.into_iter().filter(|range| !range.is_empty()) {
        if end < range.start {
            rest.push(end..range.start);
        }
        end = end.max(range.end);
    }
    if end < size {
        rest.push(end..size);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_partition_has_is_the_rest() {
        for (taken, expected) in [
            (&[][..], &[(0, 100)][..]),
            (&[(0, 100)], &[]),
            (&[(50, 60), (10, 20)], &[(0, 10), (20, 50), (60, 100)]),
            (&[(10, 50), (20, 30), (40, 100)], &[(0, 10)]),
            (&[(30, 30)], &[(0, 100)]),
        ] {
            let taken: Vec<_> = taken.iter().map(|&(start, end)| start..end).collect();
            let rest: Vec<_> = rest(taken, 100).into_iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(rest, expected);
        }
    }

    #[test]
    fn a_name_that_is_there_is_no_partition() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a.raw", "b:1", "b"] {
            std::fs::write(path(name), "").unwrap();
        }
        for (name, file, part) in [
            ("a.raw", "a.raw", None),
            ("a.raw:2", "a.raw", Some("2")),
            ("a.raw:root a:b", "a.raw", Some("root a:b")),
            ("b:1", "b:1", None),
            ("b:2", "b", Some("2")),
            ("b:1:2", "b:1", Some("2")),
            ("none:1", "none:1", None),
        ] {
            assert_eq!(split(&path(name)), (path(file), part.map(str::to_owned)), "{name}");
        }
    }
}
