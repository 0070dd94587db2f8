//! Readers of a stream that is decoded forward, one after the other in the order they came.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Archive;

/// The row of those who will read an archive.
#[derive(Debug, Default)]
pub(super) struct Turns {
    row: Mutex<Row>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Row {
    next: u64,
    waiting: BTreeSet<u64>,
}

impl Turns {
    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the row; dropping it lets the next one read, in turn or not.
///
/// Whoever needs places of several archives takes them all at once: then all rows have the same order,
/// and the first of them never waits.
#[derive(Debug)]
pub(crate) struct Turn {
    archive: Arc<Archive>,
    number: u64,
}

impl Turn {
    pub(super) fn new(archive: Arc<Archive>) -> Self {
        let mut row = archive.turns.row();
        let number = row.next;
        row.next += 1;
        row.waiting.insert(number);
        drop(row);
        Self { archive, number }
    }

    /// Whether it is a place of this archive.
    pub(crate) fn is_of(&self, archive: &Arc<Archive>) -> bool {
        Arc::ptr_eq(&self.archive, archive)
    }

    /// Wait until all who came before are done.
    pub(crate) fn wait(&self) {
        let turns = &self.archive.turns;
        let is_waiting = |row: &mut Row| row.waiting.first() != Some(&self.number);
        drop(turns.moved.wait_while(turns.row(), is_waiting).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.archive.turns.row().waiting.remove(&self.number);
        self.archive.turns.moved.notify_all();
    }
}
