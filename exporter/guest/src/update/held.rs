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
    pub(super) fn look(
        &self,
        slot: &File,
        (running, size): (&File, u64),
        progress: &mut Progress,
    ) -> Result<Held, String> {
        let mut buffer = vec![0; BLOCK];
        let mut held = Vec::with_capacity(self.contents.len());
        for block in 0..self.contents.len() {
            let place = self.index.place(block);
            let bytes = &mut buffer[..(place.end - place.start) as usize];
            slot.read_exact_at(bytes, place.start)
                .map_err(|error| format!("block {block} of the slot: {error}"))?;
            held.push(self.content(bytes));
            progress.add(bytes.len());
        }
        let is_missing =
            |block: &usize| held[*block] != Some(self.contents[*block]) && !self.index.is_zero(*block);
        let missing = (0..self.contents.len()).filter(is_missing);
        let missing = missing.map(|block| (*self.index.sha(block), self.contents[block])).collect();
        let running = find(running, size, missing, &mut buffer, progress)?;
        Ok(Held { slot: held, running })
    }

    fn content(&self, bytes: &[u8]) -> Option<Content> {
        match bytes.len() == BLOCK && is_zero(bytes) {
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
    buffer: &mut [u8],
    progress: &mut Progress,
) -> Result<HashMap<Content, u64>, String> {
    let mut found = HashMap::new();
    for block in 0..size / BLOCK as u64 {
        if missing.is_empty() {
            break;
        }
        let read = running.read_exact_at(buffer, block * BLOCK as u64);
        read.map_err(|error| format!("block {block} of the running root: {error}"))?;
        progress.add(buffer.len());
        if is_zero(buffer) {
            continue;
        }
        found.extend(missing.remove(&sha(buffer)).map(|content| (content, block)));
    }
    Ok(found)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}
