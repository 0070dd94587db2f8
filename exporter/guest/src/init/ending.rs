//! How the service ended, in docker's numbers, and as the host is told.

use std::fmt::{self, Display};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use agent::message::Done;
use rustix::process::WaitStatus;

/// Docker's exit codes of what never ran: the machine could not be set up for it, the program could not be run, or was not
/// found.
pub(crate) const NOT_SET_UP: u8 = 125;
pub(crate) const NOT_RUN: u8 = 126;
pub(crate) const NOT_FOUND: u8 = 127;
/// Of what a signal has ended: this and its number.
const KILLED: i32 = 128;

/// The end of a run of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Code(i32),
    Killed(i32),
    /// It never ran: docker's number, and why.
    Failed(u8, String),
}

impl Ending {
    pub(crate) fn of(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Killed(signal.unwrap_or_default()),
        }
    }

    /// Whether the service has done its work.
    pub(crate) fn is_good(&self) -> bool {
        *self == Self::Code(0)
    }

    /// That of a child of one's own.
    pub(crate) fn of_exit(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Code(code),
            None => Self::Killed(status.signal().unwrap_or_default()),
        }
    }

    /// As the host is told.
    pub(crate) fn done(&self) -> Done {
        match self {
            Self::Code(code) => Done { status: *code, ..Done::default() },
            Self::Killed(signal) => {
                Done { status: KILLED + signal, signal: Some(*signal), ..Done::default() }
            }
            Self::Failed(status, error) => Done::failed((*status).into(), &**error),
        }
    }

    /// The same as one line of JSON: `{"status":137,"signal":9}`.
    pub(crate) fn line(&self) -> String {
        serde_json::to_string(&self.done()).unwrap_or_default() + "\n"
    }
}

impl Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(0) => write!(f, "is done"),
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Killed(signal) => write!(f, "was ended by signal {signal}"),
            Self::Failed(_, error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, WaitOptions, waitpid};

    use super::*;

    #[test]
    fn the_host_is_told_in_dockers_numbers() {
        for (ending, line) in [
            (Ending::Code(0), r#"{"status":0}"#),
            (Ending::Code(42), r#"{"status":42}"#),
            (Ending::Killed(9), r#"{"status":137,"signal":9}"#),
            (Ending::Failed(NOT_FOUND, "\"a\"\n: no".to_owned()), r#"{"status":127,"error":"\"a\"\n: no"}"#),
        ] {
            assert_eq!(ending.line(), format!("{line}\n"));
            assert_eq!(ending.is_good(), line.ends_with(":0}"));
        }
    }

    #[test]
    fn what_the_kernel_says_is_an_ending() {
        for (line, ending) in [("exit 42", Ending::Code(42)), ("kill -9 $$", Ending::Killed(9))] {
            let mut child = std::process::Command::new("sh").args(["-c", line]).spawn().unwrap();
            let (_, status) = waitpid(Some(Pid::from_child(&child)), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(Ending::of(status), ending);
            assert!(child.wait().is_err(), "it was waited for");
        }
    }
}
