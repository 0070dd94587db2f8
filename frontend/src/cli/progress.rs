//! How far the writing of a disk is: one line that changes on a terminal, a line now and then in a log.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use exporter::engine::Progress;
use exporter::error::show_size;

/// Between two lines of a log.
const LOG_INTERVAL: Duration = Duration::from_secs(2);
/// Between two states of the line on a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(100);
/// Back to the start of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";

/// Prints progress to stderr.
pub(crate) struct Meter {
    started: Instant,
    shown: Mutex<Instant>,
    is_terminal: bool,
    is_quiet: bool,
}

impl Meter {
    pub(crate) fn new(is_quiet: bool) -> Self {
        let now = Instant::now();
        Self { started: now, shown: Mutex::new(now), is_terminal: stderr().is_terminal(), is_quiet }
    }

    /// Print how far it is, unless that was just done.
    pub(crate) fn show(&self, progress: Progress) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = if self.is_terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
        if self.is_quiet || shown.elapsed() < interval {
            return;
        }
        *shown = Instant::now();
        let line = describe(progress, self.started.elapsed());
        // Progress that can't be shown is no reason to stop.
        let _ = match self.is_terminal {
            true => write!(stderr(), "{CLEAR}{line}"),
            false => writeln!(stderr(), "{line}"),
        };
    }

    /// Leave no half line behind.
    pub(crate) fn clear(&self) {
        if self.is_terminal && !self.is_quiet {
            let _ = write!(stderr(), "{CLEAR}");
        }
    }
}

fn describe(progress: Progress, elapsed: Duration) -> String {
    let rate = (progress.done as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    let left = (progress.total - progress.done) / rate.max(1);
    let [done, total, rate] = [progress.done, progress.total, rate].map(show_size);
    format!("{done} of {total} at {rate}/s, {left} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_real_numbers() {
        let progress = Progress { done: 1 << 30, total: 3 << 30 };
        let line = describe(progress, Duration::from_secs(2));
        assert_eq!(line, "1 GiB of 3 GiB at 512 MiB/s, 4 s left");
    }
}
