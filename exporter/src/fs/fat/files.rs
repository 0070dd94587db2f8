//! All files of a volume, as those of any file system are told.

use std::ops::Range;

use super::read::{Listed, Reader, corrupt};
use super::walk::Walk;
use crate::error::Result;
use crate::fs::DiskBudget;
use crate::fs::files::{FileContent, FileKind, Met, Step, Visit};
use crate::read_at::ReadAt;
use crate::tree::Meta;

/// Go over all of them. What FAT does not have is zero: owners, permissions, the time of the root.
///
/// # Errors
/// As [`read`](super::read), and what `visit` says.
pub(crate) fn walk<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget, visit: &mut Visit<'_>) -> Result<()> {
    let reader = Reader::open(volume, budget)?;
    if visit(&Met { path: b"", meta: &Meta::default(), kind: FileKind::Directory })? == Step::Over {
        return Ok(());
    }
    let mut walk = Walk::new(&reader)?;
    let mut left_out: Option<String> = None;
    while let Some((path, entry)) = walk.next()? {
        if left_out.as_ref().is_some_and(|folder| path.starts_with(folder)) {
            continue;
        }
        if !is_possible(&entry.name) {
            return Err(corrupt("a directory has an impossible name"));
        }
        let meta = &Meta { mtime: entry.modified.time(), ..Meta::default() };
        let content = OfEntry { reader: &reader, entry: &entry };
        let kind = match entry.is_directory() {
            true => FileKind::Directory,
            false => FileKind::File { len: content.len(), content: &content },
        };
        let step = visit(&Met { path: path.as_bytes(), meta, kind })?;
        left_out = (step == Step::Over && entry.is_directory()).then(|| path + "/");
    }
    Ok(())
}

/// Whether a name is one of something in its directory. FAT's long names may say anything.
fn is_possible(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// The content of a file: it has no holes.
struct OfEntry<'r, 'a, V: ?Sized> {
    reader: &'r Reader<'a, V>,
    entry: &'r Listed,
}

impl<V: ?Sized> OfEntry<'_, '_, V> {
    fn len(&self) -> u64 {
        self.entry.size.into()
    }
}

impl<V: ReadAt + ?Sized> FileContent for OfEntry<'_, '_, V> {
    fn ranges(&self, visit: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()> {
        if self.entry.size > 0 { visit(0..self.len()) } else { Ok(()) }
    }

    fn data(&self, visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let (mut at, mut told) = (0, Ok(()));
        self.reader.content(self.entry.cluster, self.len(), &mut |bytes| {
            if told.is_ok() {
                told = visit(at, bytes);
            }
            at += bytes.len() as u64;
        })?;
        told
    }
}
