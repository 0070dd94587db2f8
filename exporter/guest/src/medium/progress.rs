//! How far a copy is, in lines: consoles may be serial, and slow.

use std::time::{Duration, Instant};

use super::console::Consoles;
use super::disks::show_size;

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(2);

/// A copy of so many bytes.
pub(super) struct Progress<'a> {
    consoles: &'a Consoles,
    what: &'a str,
    total: u64,
    done: u64,
    start: Instant,
    said: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn start(consoles: &'a Consoles, what: &'a str, total: u64) -> Self {
        let start = Instant::now();
        Self { consoles, what, total, done: 0, start, said: start }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            self.consoles.say(line(self.what, self.done, self.total, self.start.elapsed()));
        }
    }
}

fn line(what: &str, done: u64, total: u64, time: Duration) -> String {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    let rate = u128::from(done) * 1000 / time.as_millis().max(1);
    let rate = show_size(u64::try_from(rate).unwrap_or(u64::MAX));
    format!("{what}: {} of {} ({percent} %, {rate}/s)", show_size(done), show_size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let said = line("root", 3 << 29, 3 << 30, Duration::from_secs(4));
        assert_eq!(said, "root: 1.5 GiB of 3.0 GiB (50 %, 384.0 MiB/s)");
        assert_eq!(line("root", 0, 0, Duration::ZERO), "root: 0.0 KiB of 0.0 KiB (0 %, 0.0 KiB/s)");
    }
}
