//! What is printed goes through here: one function for stdout, one for stderr. Neither lets a terminal obey what an
//! image, a disk or a registry says.
//!
//! Not so the disk itself, the progress line, which is all ours, and what an engine, QEMU or a step of a build says:
//! they write to the terminal as they would without this program.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

use exporter::terminal::{json, line, lines};
use serde::Serialize;

use super::{Error, Result};

/// Prints lines of ours to stdout; what is somebody else's in them is a [`line`] already.
pub(crate) fn print(text: &str) -> Result<()> {
    let unwritable = |error| Error::user("stdout: cannot be written").because(error);
    stdout().write_all(lines(text).as_bytes()).map_err(unwritable)
}

/// Prints one line to stdout, whatever is in it.
pub(crate) fn print_line(text: impl Display) -> Result<()> {
    print(&format!("{}\n", line(&text.to_string())))
}

/// Says lines of ours on stderr, as [`print`] does on stdout.
pub(crate) fn tell(text: &str) {
    // There is nobody to say it to, which is no reason to stop.
    let _ = stderr().write_all(lines(text).as_bytes());
}

/// Says one line on stderr, whatever is in it.
pub(crate) fn tell_line(text: impl Display) {
    tell(&format!("{}\n", line(&text.to_string())));
}

/// Prints `value` to stdout, for programs to read.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Error::internal("JSON: cannot be written").because(error))?;
    print(&format!("{}\n", json(&text)))
}

/// Prints `value` to stdout as one line, of many that programs read one by one.
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value);
    let text = text.map_err(|error| Error::internal("JSON: cannot be written").because(error))?;
    print(&format!("{}\n", json(&text)))
}

/// A disk is not for reading; `asked` is how stdout was asked for.
pub(crate) fn refuse_terminal(asked: &str) -> Result<()> {
    if stdout().is_terminal() {
        return Err(
            Error::user(format!("{asked}: stdout is a terminal")).with_hint("send it into a file or a pipe")
        );
    }
    Ok(())
}
