//! Which bytes of a file are asked for (RFC 9110, section 14).

use std::ops::Range;

/// What a header `Range` wants.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    /// What cannot be read, or is several ranges, is as if it had not been sent.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that the file does not have.
    Nothing,
}

impl Wanted {
    /// Of a file with `len` bytes.
    pub(super) fn read(text: &str, len: u64) -> Self {
        let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::All;
        };
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let range = match (first.is_empty(), last.is_empty()) {
            (true, _) => number(last).map(|suffix| len.saturating_sub(suffix)..len),
            (false, true) => number(first).map(|first| first..len),
            (false, false) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => Some(first..last.saturating_add(1).min(len)),
                _ => None,
            },
        };
        match range {
            None => Self::All,
            Some(range) if range.is_empty() => Self::Nothing,
            Some(range) => Self::Part(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_within_the_file_or_none() {
        for (text, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-", Wanted::Part(0..10)),
            ("bytes=9-99", Wanted::Part(9..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-12", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=1-2,4-5", Wanted::All),
            ("bytes=99999999999999999999-", Wanted::All),
            ("lines=1-2", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(Wanted::read(text, 10), expected, "{text}");
        }
        assert_eq!(Wanted::read("bytes=0-", 0), Wanted::Nothing);
    }
}
