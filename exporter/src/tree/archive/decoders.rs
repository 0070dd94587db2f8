//! The decoders of all archives of an input. Each has a window of what it decoded last, so there are few at once.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use crate::limits::{Budget, WINDOWS};

/// A compressed stream, decoded up to a position.
pub(super) struct Decoder {
    pub(super) reader: Box<dyn Read + Send>,
    /// Bytes that came out of it.
    pub(super) position: u64,
    /// For its window.
    pub(super) _room: Room,
}

/// Room for decoders, and those that wait to be asked for more.
pub(crate) struct Decoders {
    state: Mutex<State>,
    freed: Condvar,
    /// How much of what they decode is read or passed over, that of before a restart again.
    decoded: AtomicU64,
    decoded_max: u64,
}

#[derive(Default)]
struct State {
    used: u64,
    /// With the number of its archive; the one that was used last is the last.
    idle: VecDeque<(u32, Decoder)>,
}

/// Memory for one window, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    decoders: Weak<Decoders>,
    bytes: u64,
}

impl Decoders {
    /// Decoders that may decode so many bytes in all.
    pub(crate) fn new(decoded_max: u64) -> Self {
        Self { state: Mutex::default(), freed: Condvar::new(), decoded: AtomicU64::new(0), decoded_max }
    }

    /// Count bytes that are about to be decoded.
    pub(super) fn count(&self, bytes: u64) -> Result<()> {
        let before = self.decoded.fetch_add(bytes, Ordering::Relaxed);
        let spent = Budget::new("bytes decoded, again and again", self.decoded_max)
            .spend(before.saturating_add(bytes));
        spent.map_err(|exceeded| Error::new(ErrorKind::FileTooLarge, exceeded.to_string()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a window of `bytes`, as soon as others leave it. Whoever decodes must not wait for anything
    /// that comes after it in the order of the archives.
    pub(crate) fn room(self: &Arc<Self>, bytes: u64) -> Room {
        let mut state = self.state();
        while state.used > 0 && state.used.saturating_add(bytes) > WINDOWS {
            match state.idle.pop_front() {
                Some(oldest) => {
                    drop(state);
                    // It gives its room back.
                    drop(oldest);
                    state = self.state();
                }
                None => state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
        state.used += bytes;
        Room { decoders: Arc::downgrade(self), bytes }
    }

    /// The decoder that archive `order` had, if it is still there.
    pub(super) fn take(&self, order: u32) -> Option<Decoder> {
        let mut state = self.state();
        let at = state.idle.iter().position(|(other, _)| *other == order)?;
        state.idle.remove(at).map(|(_, decoder)| decoder)
    }

    /// Keep a decoder until its room is needed.
    pub(super) fn keep(&self, order: u32, decoder: Decoder) {
        self.state().idle.push_back((order, decoder));
        self.freed.notify_all();
    }

    /// Bytes of all windows.
    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.state().used
    }
}

impl std::fmt::Debug for Decoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoders of {} bytes", self.state().used)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(decoders) = self.decoders.upgrade() {
            decoders.state().used -= self.bytes;
            decoders.freed.notify_all();
        }
    }
}
