//! How far a disk is: one line that is redrawn on a terminal, a line now and then in a log, or JSON.
//!
//! All of it goes to stderr; stdout is for what was made, or for the disk itself.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use exporter::engine::Progress;
use exporter::error::show_size;
use exporter::terminal::line;

/// Between two lines of a log.
const LOG_INTERVAL: Duration = Duration::from_secs(3);
/// Between two states of the line on a terminal, and between two objects.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
/// Back to the start of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";
/// A line that is too long must not wrap, or it could not be redrawn (DECAWM).
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// How progress is shown; the words are those of `docker buildx build --progress`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// tty on a terminal, plain elsewhere
    #[default]
    Auto,
    /// A line every few seconds, and one when a stage has ended
    Plain,
    /// One line that is redrawn
    Tty,
    /// Nothing
    Quiet,
    /// A JSON object a line: {"stage":"writing","done":1048576,"total":8388608}, in bytes; total is 0 where
    /// nothing is counted
    Rawjson,
}

/// What a command shows of its work and of its result.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Print what was made as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How progress is shown, on stderr
    #[arg(long, value_enum, value_name = "TYPE", default_value_t)]
    progress: Style,
    /// Show neither progress nor the result
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl ShowArgs {
    /// The word for how progress is shown.
    pub(crate) fn progress(self) -> String {
        let value = self.progress.to_possible_value().expect("no style is hidden");
        value.get_name().to_owned()
    }

    /// The meter that was asked for.
    pub(crate) fn meter(self) -> Meter {
        Meter::new(if self.quiet { Style::Quiet } else { self.progress })
    }
}

/// What is being done to make a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Layers come from a registry.
    Downloading,
    /// A stream that can be read only once goes into a temporary file.
    Spooling,
    /// The files are listed.
    Reading,
    /// Files become an image that an engine takes.
    Packing,
    /// Every byte of the disk gets its place.
    Planning,
    /// The disk is written.
    Writing,
    /// A disk is read to learn its digest.
    Digesting,
    /// Disks go to a registry.
    Uploading,
}

/// Shows the stages of making a disk, one after the other, and how far each is.
pub(crate) struct Meter {
    style: Style,
    current: Mutex<Option<Current>>,
}

/// The stage that goes on.
struct Current {
    stage: Stage,
    began: Instant,
    /// When something was last shown of it, or it began.
    shown: Instant,
    progress: Progress,
}

impl Meter {
    pub(crate) fn new(style: Style) -> Self {
        let style = match style {
            Style::Auto if can_redraw() => Style::Tty,
            Style::Auto => Style::Plain,
            asked => asked,
        };
        Self { style, current: Mutex::new(None) }
    }

    /// A stage begins, so the one before it has ended.
    pub(crate) fn begin(&self, stage: Stage) {
        self.begin_in(&mut self.current(), stage);
    }

    /// The stage is so far; it begins if another one was going on.
    pub(crate) fn show(&self, stage: Stage, progress: Progress) {
        let mut current = self.current();
        if current.as_ref().is_none_or(|current| current.stage != stage) {
            self.begin_in(&mut current, stage);
        }
        let Some(current) = &mut *current else { return };
        current.progress = progress;
        let interval = if self.style == Style::Plain { LOG_INTERVAL } else { REDRAW_INTERVAL };
        if current.shown.elapsed() >= interval {
            current.shown = Instant::now();
            self.print(current);
        }
    }

    /// Something to know that is no stage, in a line of its own.
    pub(crate) fn note(&self, text: &str) {
        let current = self.current();
        match self.style {
            Style::Tty => put(&format!("{CLEAR}{}\n", line(text))),
            Style::Plain => put(&format!("{}\n", line(text))),
            Style::Auto | Style::Quiet | Style::Rawjson => return,
        }
        if let Some(current) = current.as_ref().filter(|_| self.style == Style::Tty) {
            self.print(current);
        }
    }

    /// The last stage has ended well.
    pub(crate) fn finish(&self) {
        self.end(&mut self.current());
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_in(&self, current: &mut Option<Current>, stage: Stage) {
        self.end(current);
        let now = Instant::now();
        let begun = Current { stage, began: now, shown: now, progress: Progress { done: 0, total: 0 } };
        if self.style != Style::Plain {
            self.print(&begun);
        }
        *current = Some(begun);
    }

    /// Shows the state of a stage that goes on.
    fn print(&self, current: &Current) {
        let line = current.describe(current.began.elapsed());
        match self.style {
            Style::Tty => put(&format!("{CLEAR}{NO_WRAP}{line}{WRAP}")),
            Style::Plain => put(&format!("{line}\n")),
            Style::Rawjson => put(&current.json()),
            Style::Auto | Style::Quiet => {}
        }
    }

    /// Leaves the last line of the stage, if there is something to tell.
    fn end(&self, current: &mut Option<Current>) {
        let Some(mut ended) = current.take() else { return };
        // What came last may have been told by a thread that was overtaken by another; and now a stream's
        // length is known.
        let bytes = ended.progress.done.max(ended.progress.total);
        ended.progress = Progress { done: bytes, total: bytes };
        let elapsed = ended.began.elapsed();
        let tells = bytes > 0 || elapsed >= LOG_INTERVAL;
        let line = if tells { format!("{}\n", ended.summarize(elapsed)) } else { String::new() };
        match self.style {
            Style::Tty => put(&format!("{CLEAR}{line}")),
            Style::Plain => put(&line),
            Style::Rawjson if tells => put(&ended.json()),
            Style::Auto | Style::Quiet | Style::Rawjson => {}
        }
    }
}

impl Drop for Meter {
    /// Leaves no half line behind when a stage has failed.
    fn drop(&mut self) {
        if self.style == Style::Tty && self.current().is_some() {
            put(CLEAR);
        }
    }
}

impl Current {
    /// `writing: 1 GiB of 3 GiB (33%) at 512 MiB/s, 4 s left`
    fn describe(&self, elapsed: Duration) -> String {
        let (name, Progress { done, total }) = (self.stage.name(), self.progress);
        let rate = rate(done, elapsed);
        let left = Duration::from_secs(total.saturating_sub(done) / rate.max(1));
        match (done, total) {
            (0, _) => name.to_owned(),
            (_, 0) => format!("{name}: {} at {}/s", show_size(done), show_size(rate)),
            _ => {
                let percent = u128::from(done) * 100 / u128::from(total);
                let (done, total, rate, left) =
                    (show_size(done), show_size(total), show_size(rate), show_time(left));
                format!("{name}: {done} of {total} ({percent}%) at {rate}/s, {left} left")
            }
        }
    }

    /// `writing: 3 GiB in 6.1 s, 504 MiB/s`
    fn summarize(&self, elapsed: Duration) -> String {
        let (name, total) = (self.stage.name(), self.progress.total);
        let time = show_time(elapsed);
        match total {
            0 => format!("{name}: {time}"),
            _ => format!("{name}: {} in {time}, {}/s", show_size(total), show_size(rate(total, elapsed))),
        }
    }

    fn json(&self) -> String {
        let Progress { done, total } = self.progress;
        format!("{}\n", serde_json::json!({ "stage": self.stage.name(), "done": done, "total": total }))
    }
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Downloading => "downloading",
            Self::Spooling => "spooling",
            Self::Reading => "reading",
            Self::Packing => "packing",
            Self::Planning => "planning",
            Self::Writing => "writing",
            Self::Digesting => "digesting",
            Self::Uploading => "uploading",
        }
    }
}

fn can_redraw() -> bool {
    stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Bytes per second.
fn rate(bytes: u64, elapsed: Duration) -> u64 {
    (bytes as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

/// `0.4 s`, `12 s`, `2 min 05 s`, `1 h 30 min`
fn show_time(time: Duration) -> String {
    match time.as_secs() {
        0..10 if time.subsec_nanos() > 0 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Text of ours, with what moves the cursor.
fn put(text: &str) {
    // Progress that cannot be shown is no reason to stop.
    let _ = stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current(done: u64, total: u64) -> Current {
        let now = Instant::now();
        Current { stage: Stage::Writing, began: now, shown: now, progress: Progress { done, total } }
    }

    #[test]
    fn a_line_has_stage_bytes_rate_and_time_left() {
        let seconds = Duration::from_secs;
        for (done, total, elapsed, line) in [
            (1 << 30, 3 << 30, 2, "writing: 1 GiB of 3 GiB (33%) at 512 MiB/s, 4 s left"),
            (1 << 30, 1 << 40, 2, "writing: 1 GiB of 1 TiB (0%) at 512 MiB/s, 34 min 06 s left"),
            (3 << 30, 3 << 30, 2, "writing: 3 GiB of 3 GiB (100%) at 1.5 GiB/s, 0 s left"),
            (1 << 30, 0, 2, "writing: 1 GiB at 512 MiB/s"),
            (0, 3 << 30, 2, "writing"),
            (0, 0, 2, "writing"),
        ] {
            assert_eq!(current(done, total).describe(seconds(elapsed)), line);
        }
        assert_eq!(current(0, 3 << 30).summarize(seconds(6)), "writing: 3 GiB in 6 s, 512 MiB/s");
        assert_eq!(current(0, 0).summarize(seconds(6)), "writing: 6 s");
    }

    #[test]
    fn more_than_all_and_no_time_at_all_are_no_trouble() {
        assert!(current(u64::MAX, 1).describe(Duration::ZERO).ends_with(" left"));
        assert!(current(0, u64::MAX).summarize(Duration::ZERO).starts_with("writing: "));
    }

    #[test]
    fn times_are_as_exact_as_a_person_wants_them() {
        for (millis, shown) in [
            (0, "0 s"),
            (440, "0.4 s"),
            (12_800, "12 s"),
            (125_000, "2 min 05 s"),
            (5_400_000, "1 h 30 min"),
            (360_000_000, "100 h 00 min"),
        ] {
            assert_eq!(show_time(Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn an_object_has_what_the_help_shows() {
        let help = Style::Rawjson
            .to_possible_value()
            .and_then(|value| value.get_help().map(|help| help.to_string()));
        let object = current(1 << 20, 8 << 20).json();
        assert!(help.unwrap().contains(r#"{"stage":"writing","done":1048576,"total":8388608}"#));
        let object: serde_json::Value = serde_json::from_str(&object).unwrap();
        assert_eq!(object, serde_json::json!({"stage": "writing", "done": 1 << 20, "total": 8 << 20}));
    }
}
