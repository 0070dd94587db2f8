//! What an input costs while it is read, all its layers together: memory, decoded bytes.
//!
//! The tree and what the layer that is being merged changes have to fit the limit. Layers above it are read ahead, in
//! what is an eighth of it, and wait there: so whether an input is too large depends on no number of threads.

use std::io::{Error, ErrorKind, Read, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::limits::{Budget, Exceeded, tree_bytes};

/// Memory for an input: its tree, and changes on their way there.
pub(super) struct Memory {
    limit: u64,
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    /// The layer that is being merged.
    merging: u32,
    /// Bytes of the tree below it.
    tree: u64,
    /// Bytes of changes that were read and are not merged.
    waiting: u64,
}

impl Memory {
    /// For an input of `stored` bytes.
    pub(super) fn new(stored: u64) -> Self {
        let state = State { merging: 0, tree: 0, waiting: 0 };
        Self { limit: tree_bytes(stored), state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be read ahead.
    pub(super) fn ahead(&self) -> u64 {
        self.limit / 8
    }

    /// Whether a tree of so many bytes is too large.
    pub(super) fn check(&self, tree: u64) -> std::result::Result<(), Exceeded> {
        Budget::new("bytes of names, attributes and small files in memory", self.limit).spend(tree)
    }

    /// Make room for changes of `bytes` of layer `order`, which makes `all` of this layer.
    pub(super) fn wait(&self, order: u32, bytes: u64, all: u64) -> std::result::Result<(), Exceeded> {
        let must_wait =
            |state: &mut State| order > state.merging && state.waiting.saturating_add(bytes) > self.ahead();
        let waited = self.moved.wait_while(self.state(), must_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_add(bytes);
        // More than may be read ahead has only the layer that is being merged, on a tree that is known.
        if all > self.ahead() { self.check(state.tree.saturating_add(all)) } else { Ok(()) }
    }

    /// Changes of `bytes` are a part of the tree from now on.
    pub(super) fn merged(&self, bytes: u64) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(bytes);
        self.moved.notify_all();
    }

    /// Layer `order` is merged next, on a tree of so many bytes.
    pub(super) fn begin_layer(&self, order: u32, tree: u64) {
        let mut state = self.state();
        (state.merging, state.tree) = (order, tree);
        self.moved.notify_all();
    }

    /// Let everyone go on: nobody merges any more.
    pub(super) fn end(&self) {
        self.begin_layer(u32::MAX, 0);
    }
}

/// Counts what is read, by several readers together.
pub(super) struct Meter {
    what: &'static str,
    limit: u64,
    read: AtomicU64,
}

impl Meter {
    /// At most `limit` bytes of `what`.
    pub(super) const fn new(what: &'static str, limit: u64) -> Self {
        Self { what, limit, read: AtomicU64::new(0) }
    }

    /// A reader that fails when all of this meter have read too much.
    pub(super) fn on<R: Read>(&self, reader: R) -> Metered<'_, R> {
        Metered { reader, meter: self }
    }
}

pub(super) struct Metered<'a, R> {
    reader: R,
    meter: &'a Meter,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let len = self.reader.read(buffer)?;
        let before = self.meter.read.fetch_add(len as u64, Ordering::Relaxed);
        let mut budget = Budget::new(self.meter.what, self.meter.limit);
        match budget.spend(before.saturating_add(len as u64)) {
            Ok(()) => Ok(len),
            Err(exceeded) => Err(Error::new(ErrorKind::FileTooLarge, exceeded.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_waits_until_it_is_merged() {
        let memory = Memory::new(0);
        let ahead = memory.ahead();
        memory.wait(1, ahead, ahead).unwrap();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                memory.wait(2, 1, 1).unwrap();
                order.lock().unwrap().push("read");
            });
            order.lock().unwrap().push("merged");
            memory.merged(1);
        });
        assert_eq!(*order.lock().unwrap(), ["merged", "read"]);
    }

    #[test]
    fn the_layer_that_is_merged_never_waits_and_has_what_the_tree_leaves() {
        let memory = Memory::new(1 << 20);
        let (limit, ahead) = (tree_bytes(1 << 20), memory.ahead());
        memory.begin_layer(1, limit / 2);
        memory.wait(2, ahead, ahead).unwrap();
        memory.wait(1, limit / 2, limit / 2).unwrap();
        let error = memory.wait(1, 1, limit / 2 + 1).unwrap_err().to_string();
        let limit = format!("more than {limit} bytes of names, attributes and small files in memory");
        assert!(error.starts_with(&limit), "{error}");
        // Without more than others may have it is the merge that judges.
        memory.begin_layer(2, u64::MAX);
        memory.wait(2, 1, ahead).unwrap();
    }

    #[test]
    fn readers_of_one_meter_share_its_limit() {
        let meter = Meter::new("bytes", 10);
        let (mut one, mut other) = (meter.on(&[7; 8][..]), meter.on(&[7; 8][..]));
        assert_eq!(one.read(&mut [0; 8]).unwrap(), 8);
        assert_eq!(other.read(&mut [0; 2]).unwrap(), 2);
        let error = other.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "more than 10 bytes, which is the limit");
    }
}
