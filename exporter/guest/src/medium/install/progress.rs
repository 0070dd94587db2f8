//! How far it is: a line now and then, which is as well read on a serial line.

use std::time::{Duration, Instant};

use super::person::Person;

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(2);

/// A step that takes its time.
pub(super) struct Progress<'a> {
    person: &'a dyn Person,
    what: &'static str,
    total: u64,
    done: u64,
    begun: Instant,
    /// The last line.
    said: Instant,
}

impl<'a> Progress<'a> {
    /// A step over so many bytes.
    pub(super) fn new(person: &'a dyn Person, what: &'static str, total: u64) -> Self {
        let now = Instant::now();
        Self { person, what, total, done: 0, begun: now, said: now }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            self.person.say(&line(self.what, self.done, self.total, self.begun.elapsed()));
        }
    }

    /// The last line: all of it.
    pub(super) fn end(self) {
        self.person.say(&line(self.what, self.total, self.total, self.begun.elapsed()));
    }
}

/// `writing: 1.5 GiB of 3.0 GiB, 50%, 210.0 MiB/s`
fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let done = done.min(total);
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    let rate = u128::from(done) * 1000 / elapsed.as_millis().max(1);
    let rate = size(u64::try_from(rate).unwrap_or(u64::MAX));
    format!("{what}: {} of {}, {percent}%, {rate}/s", size(done), size(total))
}

/// Bytes for a person.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line("writing", 3 << 29, 3 << 30, 4 * second),
            "writing: 1.5 GiB of 3.0 GiB, 50%, 384.0 MiB/s"
        );
        assert_eq!(line("writing", 5, 4, Duration::ZERO), "writing: 0.0 KiB of 0.0 KiB, 100%, 3.9 KiB/s");
        assert_eq!(line("writing", 0, 0, second), "writing: 0.0 KiB of 0.0 KiB, 0%, 0.0 KiB/s");
        assert!(line("w", u64::MAX, u64::MAX, Duration::ZERO).contains("100%"));
    }
}
