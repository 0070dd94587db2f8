//! Signals by the names that images have for them (`STOPSIGNAL`): those of signal(7), those of real time too.

use rustix::process::Signal;

/// Real-time signals, as the C libraries leave them to programs and docker counts them.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Their numbers on x86 and Arm; no name: SIGTERM.
const NAMES: [(&str, i32); 36] = [
    ("", 15),
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("ABORT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// A signal by name (`SIGQUIT`, `QUIT`, `SIGRTMIN+3`) or number; SIGTERM if none is named.
pub(crate) fn named(name: &str) -> Option<Signal> {
    let number = name.parse().ok().or_else(|| number(&name.to_ascii_uppercase()))?;
    match number {
        RTMIN..=RTMAX => Some(real_time(number)),
        other => Signal::from_named_raw(other),
    }
}

fn number(name: &str) -> Option<i32> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    let count =
        |text: &str| if text.is_empty() { Some(0) } else { text.get(1..)?.parse::<u8>().ok().map(i32::from) };
    if let Some(more) = short.strip_prefix("RTMIN").filter(|more| more.is_empty() || more.starts_with('+')) {
        return Some(RTMIN + count(more)?).filter(|number| *number <= RTMAX);
    }
    if let Some(less) = short.strip_prefix("RTMAX").filter(|less| less.is_empty() || less.starts_with('-')) {
        return Some(RTMAX - count(less)?).filter(|number| *number >= RTMIN);
    }
    NAMES.iter().find(|(known, _)| *known == short).map(|(_, number)| *number)
}

#[allow(
    unsafe_code,
    reason = "rustix leaves these signals to the C library, which this program asks for none"
)]
fn real_time(number: i32) -> Signal {
    // SAFETY: the number is that of a signal, and no thread of the C library uses those from `RTMIN` on.
    unsafe { Signal::from_raw_unchecked(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (name, expected) in [
            ("", Some(15)),
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("SIGWINCH", Some(28)),
            ("3", Some(3)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("rtmin+30", Some(64)),
            ("SIGRTMAX-14", Some(50)),
            ("RTMAX", Some(64)),
            ("37", Some(37)),
            ("SIGRTMIN+31", None),
            ("RTMAX-31", None),
            ("RTMIN-1", None),
            ("RTMIN+", None),
            ("RTMIN++3", None),
            ("33", None),
            ("65", None),
            ("0", None),
            ("-1", None),
            ("SIGNOTHING", None),
        ] {
            assert_eq!(named(name).map(Signal::as_raw), expected, "{name}");
        }
    }
}
