//! The terminal of a program that is elsewhere: what is typed goes there as it is, and it is told of the size.

use std::io::stdin;

use agent::message::Size;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// This process's terminal without a line of its own; as it was when this is dropped.
pub(crate) struct Raw(Termios);

impl Raw {
    /// `None` if stdin is no terminal.
    pub(crate) fn enter() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }

    /// Puts it back as it was.
    pub(crate) fn leave(&self) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The size of stdin's terminal, if it is one and has one.
pub(crate) fn size() -> Option<Size> {
    let size = tcgetwinsize(stdin()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(Size { rows: size.ws_row, columns: size.ws_col })
}
