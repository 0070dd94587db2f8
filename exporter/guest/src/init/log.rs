//! The last of what the service has printed, for those who ask later or follow.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much of it is kept.
const KEPT: usize = 256 << 10;

/// The service's output; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<(Mutex<Kept>, Condvar)>);

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// How many bytes there have been, those included that are gone.
    end: u64,
}

/// A part of the output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) bytes: Vec<u8>,
    /// Where the next part begins.
    pub(crate) next: u64,
}

impl Log {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut kept = self.kept();
        kept.end += bytes.len() as u64;
        let last = bytes.len().saturating_sub(KEPT);
        kept.bytes.extend(bytes.get(last..).unwrap_or_default());
        let gone = kept.bytes.len().saturating_sub(KEPT);
        kept.bytes.drain(..gone);
        drop(kept);
        self.0.1.notify_all();
    }

    /// At most `max` bytes from the byte `from` on, the output's first being 0; what is gone is passed over. Waits up to
    /// `patience` for the first of them, and is empty if none comes.
    #[allow(dead_code, reason = "the agent reads it")]
    pub(crate) fn read(&self, from: u64, max: usize, patience: Duration) -> Part {
        let is_empty = |kept: &mut Kept| kept.end <= from;
        let waited = self.0.1.wait_timeout_while(self.kept(), patience, is_empty);
        let kept = waited.map_or_else(|error| error.into_inner().0, |(kept, _)| kept);
        let begin = kept.end - kept.bytes.len() as u64;
        let from = from.clamp(begin, kept.end);
        let bytes: Vec<_> = kept.bytes.iter().skip((from - begin) as usize).take(max).copied().collect();
        let next = from + bytes.len() as u64;
        Part { bytes, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn the_last_of_the_output_is_kept() {
        let log = Log::default();
        assert_eq!(log.read(0, 9, Duration::ZERO), Part { bytes: vec![], next: 0 });
        log.write(b"hello ");
        log.write(b"world");
        assert_eq!(log.read(0, 9, LONG), Part { bytes: b"hello wor".to_vec(), next: 9 });
        assert_eq!(log.read(9, 9, LONG), Part { bytes: b"ld".to_vec(), next: 11 });
        // Of whoever asks for what will be, as one does who knew an earlier run.
        assert_eq!(log.read(99, 9, Duration::ZERO), Part { bytes: vec![], next: 11 });
        log.write(&[b'x'; KEPT + 1]);
        log.write(b"end");
        let all = log.read(0, usize::MAX, LONG);
        assert_eq!((all.bytes.len(), all.next), (KEPT, 11 + KEPT as u64 + 4));
        assert!(all.bytes.ends_with(b"xend"));
    }

    #[test]
    fn who_follows_waits_for_more() {
        let log = Log::default();
        std::thread::scope(|scope| {
            scope.spawn(|| log.write(b"new"));
            assert_eq!(log.read(0, 9, LONG).bytes, b"new");
        });
    }
}
