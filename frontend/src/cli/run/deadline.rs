//! `--timeout`: how long a machine may run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use crate::base::terminal::tell_line;

/// The exit code of a machine whose time was over: that of timeout(1).
pub(super) const OVER: u8 = 124;

/// Seconds, or a number with s, m or h behind it.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 90, 90s, 5m or 1h");
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let seconds = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// Says that it is over.
pub(super) fn tell(limit: Duration) {
    tell_line(format_args!("the machine is ended: its {} s are over", limit.as_secs()));
}

/// Whether the time is over.
#[derive(Clone, Default)]
pub(super) struct Deadline(Arc<AtomicBool>);

impl Deadline {
    /// Asks this process to end when the time is over, as a person would: whoever runs QEMU passes that on.
    pub(super) fn start(limit: Option<Duration>) -> Self {
        let deadline = Self::default();
        if let Some(limit) = limit {
            let is_over = deadline.0.clone();
            thread::spawn(move || {
                thread::sleep(limit);
                is_over.store(true, Ordering::SeqCst);
                tell(limit);
                let _ = kill_process(getpid(), Signal::TERM);
            });
        }
        deadline
    }

    /// Whether it is.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_minutes_or_hours() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "0", "s", "-1", "1.5", "5 m", "5d", "99999999999999999999", "18446744073709551615h"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
