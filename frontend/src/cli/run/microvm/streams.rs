//! What a person is typing at, for a program in the machine: its size, and how it hands on every key.

use std::io::{self, IsTerminal, stdin, stdout};

use agent::message::Size;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::base::{Error, Result};
use crate::cli::run::program::ProgramArgs;

/// That of a terminal of which nothing is known.
const USUAL: Size = Size { rows: 24, columns: 80 };

/// That there is a terminal to type at, where somebody wants to.
///
/// # Errors
/// If there is none.
pub(super) fn require_terminal(program: &ProgramArgs) -> Result<()> {
    match program.interactive && program.tty && !stdin().is_terminal() {
        true => Err(Error::user("-it: the standard input is no terminal").with_hint("leave out -t")),
        false => Ok(()),
    }
}

/// How large the terminal is.
pub(super) fn size() -> Size {
    let found = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin()));
    match found {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => Size { rows: size.ws_row, columns: size.ws_col },
        Ok(_) | Err(_) => USUAL,
    }
}

/// A terminal that hands on every key, Ctrl-C included, until this is dropped.
pub(super) struct Raw(Termios);

impl Raw {
    /// Makes the standard input one, if it is a terminal.
    ///
    /// # Errors
    /// If it cannot be.
    pub(super) fn enter() -> io::Result<Option<Self>> {
        if !stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // It may be gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
