//! Signals by the names that `STOPSIGNAL` takes; signal(7), x86 and ARM.

use std::fmt;

use crate::error::{Error, Kind, Result, show_text};

/// The number of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal(u8);

/// The names from number 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// `SIGRTMIN` and `SIGRTMAX` as containers count them.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// What ends a process that asks for nothing else.
    pub(super) const TERM: Self = Self(15);

    /// A signal by its name, with `SIG` or without, or by its number.
    ///
    /// # Errors
    /// [`Kind::Input`] for what is no signal.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let offset = |text: &str| if text.is_empty() { Some(0) } else { text.get(1..)?.parse::<u8>().ok() };
        let number = if let Some(position) = NAMES.iter().position(|known| *known == name) {
            u8::try_from(position + 1).ok()
        } else if let Some(rest) =
            name.strip_prefix("RTMIN").filter(|rest| rest.is_empty() || rest.starts_with('+'))
        {
            offset(rest).and_then(|offset| RTMIN.checked_add(offset))
        } else if let Some(rest) =
            name.strip_prefix("RTMAX").filter(|rest| rest.is_empty() || rest.starts_with('-'))
        {
            offset(rest).and_then(|offset| RTMAX.checked_sub(offset)).filter(|number| *number >= RTMIN)
        } else {
            text.parse().ok()
        };
        number.filter(|number| (1..=RTMAX).contains(number)).map(Self).ok_or_else(|| {
            Error::new(Kind::Input, "STOPSIGNAL", format!("{:?} is no signal", show_text(text)))
                .with_hint("write a name or a number, such as SIGQUIT or 3")
        })
    }

    /// What a shell returns for a process that it ended.
    pub(super) fn exit_status(self) -> u8 {
        128 + self.0
    }
}

impl fmt::Display for Signal {
    /// `SIGTERM`; by its number if only libraries agree on a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::from(self.0).checked_sub(1).and_then(|at| NAMES.get(at)) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for (text, shown) in [
            ("SIGQUIT", "SIGQUIT"),
            ("quit", "SIGQUIT"),
            ("3", "SIGQUIT"),
            ("15", "SIGTERM"),
            ("SIGWINCH", "SIGWINCH"),
            ("SIGSYS", "SIGSYS"),
            ("SIGRTMIN+3", "37"),
            ("RTMIN", "34"),
            ("RTMAX-14", "50"),
            ("64", "64"),
        ] {
            assert_eq!(Signal::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(Signal::TERM.exit_status(), 143);
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in
            ["", "SIG", "FOO", "0", "65", "-1", "RTMIN+31", "RTMIN-1", "RTMAX-31", "RTMIN+", "RTMIN+ü", "3\n"]
        {
            assert!(Signal::parse(text).is_err(), "{text:?}");
        }
    }
}
