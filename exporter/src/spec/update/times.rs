//! When a machine looks for its next version, and when it may restart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Seconds of a day.
const DAY: u32 = 24 * 60 * 60;
const DAY_MINUTES: u32 = 24 * 60;
/// A server is asked no more often, and a machine not more seldom than once a year.
const SHORTEST: u32 = 10;
const LONGEST: u32 = 365 * DAY;

/// A time between two looks, of 10 s to 365 days: `90s`, `15m`, `6h`, `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Every {
    seconds: u32,
}

/// The part of each day in which a machine may restart, in its local time, from one minute to another: `02:00-04:00`. One
/// that ends before it begins reaches over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// In minutes after midnight.
    begin: u32,
    end: u32,
}

impl Every {
    /// In seconds.
    pub fn seconds(self) -> u32 {
        self.seconds
    }
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no time from 10s to 365d: write a number with s, m, h or d, such as 6h");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => DAY,
            _ => return Err(wrong()),
        };
        let seconds = number.parse().ok().and_then(|number: u32| number.checked_mul(unit));
        let seconds = seconds.filter(|seconds| (SHORTEST..=LONGEST).contains(seconds)).ok_or_else(wrong)?;
        Ok(Self { seconds })
    }
}

impl fmt::Display for Every {
    /// In the largest unit that leaves nothing over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, 'd'), (60 * 60, 'h'), (60, 'm')];
        let whole = units.into_iter().find(|(unit, _)| self.seconds.is_multiple_of(*unit));
        let (unit, name) = whole.unwrap_or((1, 's'));
        write!(f, "{}{name}", self.seconds / unit)
    }
}

impl Window {
    /// When it begins, as `HH:MM`.
    pub fn begin(self) -> String {
        clock(self.begin)
    }

    /// How long it is, in minutes.
    pub fn minutes(self) -> u32 {
        (self.end + DAY_MINUTES - self.begin) % DAY_MINUTES
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let times = text.split_once('-').and_then(|(begin, end)| Some((minute(begin)?, minute(end)?)));
        let times = times.filter(|(begin, end)| begin != end);
        let wrong = || format!("{text:?} is no part of a day: write two times, such as 02:00-04:00");
        times.map(|(begin, end)| Self { begin, end }).ok_or_else(wrong)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", clock(self.begin), clock(self.end))
    }
}

fn clock(minutes: u32) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A time of day, `HH:MM`, in minutes after midnight.
fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, end: u32| {
        let is_right = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit());
        text.parse().ok().filter(|number: &u32| is_right && *number < end)
    };
    Some(number(hour, 24)? * 60 + number(minute, 60)?)
}

impl TryFrom<String> for Every {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Every> for String {
    fn from(every: Every) -> Self {
        every.to_string()
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_between_looks_are_read_and_shown() {
        for (text, seconds, shown) in [
            ("10s", 10, "10s"),
            ("90s", 90, "90s"),
            ("60m", 3600, "1h"),
            ("6h", 21600, "6h"),
            ("365d", 365 * DAY, "365d"),
        ] {
            let every: Every = text.parse().unwrap();
            assert_eq!((every.seconds(), every.to_string().as_str()), (seconds, shown));
        }
        for text in ["", "6", "h", "6 h", "6H", "-6h", "1.5h", "9s", "366d", "99999999999h", "1w"] {
            assert!(text.parse::<Every>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_part_of_a_day_may_reach_over_midnight() {
        for (text, begin, minutes) in
            [("02:00-04:00", "02:00", 120), ("23:30-01:00", "23:30", 90), ("00:00-23:59", "00:00", 1439)]
        {
            let window: Window = text.parse().unwrap();
            assert_eq!(
                (window.begin().as_str(), window.minutes(), window.to_string().as_str()),
                (begin, minutes, text)
            );
        }
        for text in
            ["", "02:00", "02:00-02:00", "2:00-4:00", "24:00-01:00", "02:60-03:00", "02:00-04:00-", "a"]
        {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }
}
