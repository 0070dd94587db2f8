//! How far it is: a bar for who watches a terminal, lines for a log.

use std::io::{IsTerminal, Write};

const WIDTH: usize = 30;
/// Lines of a log.
const LINES: u64 = 10;

/// A step that takes its time.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    /// Of the bar, or of the log, which was shown last.
    shown: Option<u64>,
    is_terminal: bool,
    is_quiet: bool,
}

impl Progress {
    /// A step over so many bytes.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { what, total, done: 0, shown: None, is_terminal, is_quiet: cfg!(test) }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        let parts = if self.is_terminal { 100 } else { LINES };
        let part = (u128::from(self.done) * u128::from(parts) / u128::from(self.total.max(1))) as u64;
        if self.shown.is_none_or(|shown| part > shown) && !self.is_quiet && self.done <= self.total {
            self.shown = Some(part);
            self.show();
        }
    }

    fn show(&self) {
        let Self { what, total, done, .. } = self;
        let (done_text, total_text) = (size(*done), size(*total));
        let mut stderr = std::io::stderr().lock();
        // Nobody may be there who reads it.
        let _ = match self.is_terminal {
            false => writeln!(stderr, "vmimage-update: {what}: {done_text} of {total_text}"),
            true => write!(stderr, "\r{what:<9} {} {done_text} of {total_text}  ", bar(*done, *total)),
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let full = (u128::from(done) * WIDTH as u128 / u128::from(total.max(1))) as usize;
    let full = full.min(WIDTH);
    format!("[{}{}]", "#".repeat(full), ".".repeat(WIDTH - full))
}

/// A line for whoever reads it. Nobody may: a console that is gone ends no update.
pub(super) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "vmimage-update: {text}");
}

/// Bytes for a person.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([size(7), size(1536), size(5 << 20)], ["7 bytes", "1.5 KiB", "5.0 MiB"]);
        assert_eq!(bar(0, 0), format!("[{}]", ".".repeat(30)));
        assert_eq!(bar(5, 10), format!("[{}{}]", "#".repeat(15), ".".repeat(15)));
        assert_eq!(bar(11, 10), format!("[{}]", "#".repeat(30)));
    }
}
