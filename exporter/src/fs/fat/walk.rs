//! All files and directories of a volume, each directory before what is in it, names in the order of their bytes.

use super::format::ENTRY_LEN;
use super::read::{Entries, Listed, Reader, corrupt};
use crate::error::Result;
use crate::limits;
use crate::read_at::ReadAt;

/// Goes over them. Without recursion: directories may be nested as deep as there are clusters.
pub(super) struct Walk<'r, 'a, V: ?Sized> {
    reader: &'r Reader<'a, V>,
    /// The directory of the next entry, and those above it.
    open: Vec<Open>,
}

/// A directory whose entries are still to be gone over.
struct Open {
    /// With a slash at its end, but for the root.
    path: String,
    /// The next one last.
    left: Vec<Listed>,
    /// Bytes that are kept for all of them.
    cost: u64,
}

impl<'r, 'a, V: ReadAt + ?Sized> Walk<'r, 'a, V> {
    pub(super) fn new(reader: &'r Reader<'a, V>) -> Result<Self> {
        let mut walk = Self { reader, open: Vec::new() };
        walk.enter(String::new(), &reader.root_directory()?)?;
        Ok(walk)
    }

    /// The next entry with its path.
    pub(super) fn next(&mut self) -> Result<Option<(String, Listed)>> {
        while let Some(open) = self.open.last_mut() {
            let Some(entry) = open.left.pop() else {
                self.reader.budget().release(open.cost);
                self.open.pop();
                continue;
            };
            let path = format!("{}{}", open.path, entry.name);
            if path.len() > limits::PATH {
                return Err(corrupt(format!("a path is longer than {} bytes", limits::PATH)));
            }
            if entry.is_directory() {
                self.enter(format!("{path}/"), &self.reader.directory(entry.cluster)?)?;
            }
            return Ok(Some((path, entry)));
        }
        Ok(None)
    }

    fn enter(&mut self, path: String, bytes: &[u8]) -> Result<()> {
        let budget = self.reader.budget();
        budget.entries((bytes.len() / ENTRY_LEN) as u64)?;
        let (mut left, mut cost) = (Vec::new(), 0);
        for entry in Entries(bytes).filter(Listed::is_named) {
            let more = (size_of::<Listed>() + entry.name.len()) as u64;
            budget.keep(more)?;
            cost += more;
            left.push(entry);
        }
        left.sort_by(|one, other| other.name.cmp(&one.name));
        self.open.push(Open { path, left, cost });
        Ok(())
    }
}
