//! The terminal that a program in the machine is given.

use std::io::{IsTerminal, stdin};

use agent::message::Size;

use crate::base::{Error, Result};
use crate::cli::run::program::ProgramArgs;
use crate::machines::tty;

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
    tty::size().unwrap_or(USUAL)
}
