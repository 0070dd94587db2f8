//! How the service ended, in docker's numbers, and as the host is told.

use std::fmt::{self, Display};

use rustix::process::WaitStatus;
use serde::Serialize;

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

/// The line that the host gets: `{"status":137,"signal":9}`.
#[derive(Serialize)]
struct Line<'a> {
    status: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
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

    /// As one line of JSON.
    pub(crate) fn line(&self) -> String {
        let line = match self {
            Self::Code(code) => Line { status: *code, signal: None, error: None },
            Self::Killed(signal) => Line { status: KILLED + signal, signal: Some(*signal), error: None },
            Self::Failed(status, error) => {
                Line { status: (*status).into(), signal: None, error: Some(error) }
            }
        };
        serde_json::to_string(&line).unwrap_or_default() + "\n"
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
            let child = std::process::Command::new("sh").args(["-c", line]).spawn().unwrap();
            let (_, status) = waitpid(Some(Pid::from_child(&child)), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(Ending::of(status), ending);
        }
    }
}
