//! Whoever watches the installer: plain lines, on a screen as on a serial line.

use crate::medium::console::Consoles;

/// Somebody who reads, and may answer.
pub(super) trait Person {
    fn say(&self, line: &str);

    /// # Errors
    /// If nobody can answer.
    fn ask(&self, question: &str) -> Result<String, String>;
}

impl Person for Consoles {
    fn say(&self, line: &str) {
        Self::say(self, line);
    }

    fn ask(&self, question: &str) -> Result<String, String> {
        Self::ask(self, question)
    }
}
