//! What both slots have of a new root, found by digests. Also what was written before an update was cut: nobody has to
//! remember how far that came.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::index::{BLOCK, Index};
use super::plan::{Content, Held};
use super::progress::Progress;
use super::sums::{Sha, sha};

/// What each block of a new root is.
pub(super) struct Wanted<'a> {
    index: &'a Index,
    pub(super) contents: Vec<Content>,
    known: HashMap<Sha, Content>,
    /// That of a block of zeroes, if there is one.
    zeroes: Option<Content>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        let mut known = HashMap::new();
        let content = |block| *known.entry(*index.sha(block)).or_insert(block as Content);
        let contents: Vec<_> = (0..index.len()).map(content).collect();
        let zeroes = known.get(&sha(&[0; BLOCK])).copied();
        Self { index, contents, known, zeroes }
    }

    /// What is there of it in the slot, and of the rest in the running root, which has so many bytes.
    pub(super) fn look(&self, slot: &File, (running, size): (&File, u64), progress: &mut Progress) -> Held {
        let (mut buffer, zeroes) = (vec![0; BLOCK], vec![0; BLOCK]);
        let mut held = Vec::with_capacity(self.contents.len());
        for block in 0..self.contents.len() {
            let place = self.index.place(block);
            let bytes = &mut buffer[..(place.end - place.start) as usize];
            // A sector that cannot be read may be written, and all is read once more in the end.
            let is_read = slot.read_exact_at(bytes, place.start).is_ok();
            held.push(is_read.then(|| self.content(bytes, &zeroes)).flatten());
            progress.add(bytes.len());
        }
        let is_missing =
            |block: &usize| held[*block] != Some(self.contents[*block]) && !self.index.is_zero(*block);
        let missing = (0..self.contents.len()).filter(is_missing);
        let missing = missing.map(|block| (*self.index.sha(block), self.contents[block])).collect();
        let running = find(running, size, missing, &zeroes, progress);
        Held { slot: held, running }
    }

    /// Blocks of zeroes are most of a slot: to compare them takes less than to sum them up.
    fn content(&self, bytes: &[u8], zeroes: &[u8]) -> Option<Content> {
        match bytes == zeroes {
            true => self.zeroes,
            false => self.known.get(&sha(bytes)).copied(),
        }
    }
}

/// Where the running root has what is missing, as far as it does.
fn find(
    running: &File,
    size: u64,
    mut missing: HashMap<Sha, Content>,
    zeroes: &[u8],
    progress: &mut Progress,
) -> HashMap<Content, u64> {
    let (mut found, mut buffer) = (HashMap::new(), zeroes.to_vec());
    for block in 0..size / BLOCK as u64 {
        if missing.is_empty() {
            break;
        }
        let is_read = running.read_exact_at(&mut buffer, block * BLOCK as u64).is_ok();
        progress.add(buffer.len());
        if is_read && buffer != zeroes {
            found.extend(missing.remove(&sha(&buffer)).map(|content| (content, block)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    /// A failing disk is in need of updates, too.
    #[test]
    fn what_cannot_be_read_is_not_there() {
        let entry = |byte: u8| [sha(&[byte; BLOCK]).as_slice(), 9_u32.as_bytes()].concat();
        let index = Index::parse(&[entry(1), entry(2)].concat(), 2 * BLOCK as u64, 18).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slot");
        std::fs::write(&path, [[1; BLOCK], [2; BLOCK]].concat()).unwrap();
        let good = File::open(&path).unwrap();
        let bad = File::options().write(true).open(&path).unwrap();
        let size = 2 * BLOCK as u64;
        let look = |slot: &File, running: &File| {
            Wanted::new(&index).look(slot, (running, size), &mut Progress::new("looking", size))
        };
        let both = HashMap::from([(0, 0), (1, 1)]);
        assert_eq!(look(&good, &bad), Held { slot: vec![Some(0), Some(1)], running: HashMap::new() });
        assert_eq!(look(&bad, &good), Held { slot: vec![None, None], running: both });
        assert_eq!(look(&bad, &bad), Held { slot: vec![None, None], running: HashMap::new() });
    }
}
