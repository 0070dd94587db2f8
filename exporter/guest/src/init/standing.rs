//! How the service stands, for those in other threads who want to know.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Pid;

use crate::init::ending::Ending;
use crate::init::health::Health;

/// How the service stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The process, while it runs.
    pub(crate) pid: Option<Pid>,
    /// By its checks, if it has some.
    pub(crate) health: Option<Health>,
    /// Of the last run.
    pub(crate) ending: Option<Ending>,
    /// How often it was started.
    pub(crate) starts: u64,
    /// Whether a host starts it.
    pub(crate) hold: Hold,
}

/// Whether a host starts the service, and may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    /// This program does.
    #[default]
    None,
    /// A host will, once the machine is set up.
    Coming,
    /// All is there for it.
    Ready,
}

/// Where that is written; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<(Mutex<Numbered>, Condvar)>);

#[derive(Debug, Default)]
struct Numbered {
    standing: Standing,
    changes: u64,
}

impl Board {
    fn locked(&self) -> MutexGuard<'_, Numbered> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Standing)) {
        let mut numbered = self.locked();
        change(&mut numbered.standing);
        numbered.changes += 1;
        drop(numbered);
        self.0.1.notify_all();
    }

    /// Wait until the service has been started, or could not be, but no longer than `patience`.
    pub(crate) fn wait_for_start(&self, patience: Duration) {
        let is_to_come =
            |numbered: &mut Numbered| numbered.standing.starts == 0 && numbered.standing.hold != Hold::Ready;
        drop(self.0.1.wait_timeout_while(self.locked(), patience, is_to_come));
    }

    /// Wait until a host may start the service, if it is one that does.
    pub(crate) fn wait_for_hold(&self) {
        let is_to_come = |numbered: &mut Numbered| numbered.standing.hold == Hold::Coming;
        drop(self.0.1.wait_while(self.locked(), is_to_come));
    }

    /// How it stands, and the number of changes so far. Waits up to `patience` for more changes than `seen`.
    pub(crate) fn read(&self, seen: u64, patience: Duration) -> (Standing, u64) {
        let is_known = |numbered: &mut Numbered| numbered.changes <= seen;
        let waited = self.0.1.wait_timeout_while(self.locked(), patience, is_known);
        let numbered = waited.map_or_else(|error| error.into_inner().0, |(numbered, _)| numbered);
        (numbered.standing.clone(), numbered.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_held_is_ready_when_it_says_so() {
        let board = Board::default();
        // Nobody is waited for.
        board.wait_for_hold();
        board.change(|standing| standing.hold = Hold::Coming);
        let waits = board.clone();
        let waiting = std::thread::spawn(move || {
            waits.wait_for_hold();
            waits.wait_for_start(Duration::from_secs(3600));
            waits.read(0, Duration::ZERO).0.hold
        });
        board.change(|standing| standing.starts = 0);
        board.change(|standing| standing.hold = Hold::Ready);
        assert_eq!(waiting.join().unwrap(), Hold::Ready);
    }

    #[test]
    fn changes_are_waited_for() {
        let board = Board::default();
        assert_eq!(board.read(0, Duration::ZERO), (Standing::default(), 0));
        std::thread::scope(|scope| {
            scope.spawn(|| board.change(|standing| standing.starts = 1));
            let (standing, changes) = board.read(0, Duration::from_secs(3600));
            assert_eq!((standing.starts, changes), (1, 1));
        });
    }
}
