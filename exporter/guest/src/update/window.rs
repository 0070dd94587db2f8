//! When a machine may restart: a time of the day, where the machine is.

use std::time::{SystemTime, UNIX_EPOCH};

use tz::TimeZone;

const DAY: u32 = 24 * 60;

/// From a minute of the day up to another one, which may be of the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    start: u32,
    end: u32,
}

impl Window {
    /// `02:00-04:00`
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let times = text.split_once('-').and_then(|(start, end)| Some((minute(start)?, minute(end)?)));
        match times {
            Some((start, end)) if start != end => Ok(Self { start, end }),
            _ => Err(format!("{text:?} is no window such as 02:00-04:00")),
        }
    }

    /// How many minutes it lasts yet; `None` outside of it.
    pub(super) fn left(self, now: u32) -> Option<u32> {
        let after = |time: u32| (time + DAY - self.start) % DAY;
        (after(now) < after(self.end)).then(|| after(self.end) - after(now))
    }
}

fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, max: u32| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| is_number && *number < max)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// The minute of the day, by /etc/localtime, and by UTC where there is none.
pub(super) fn now() -> u32 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = i64::try_from(seconds).unwrap_or_default();
    minute_at(seconds, &TimeZone::local().unwrap_or_else(|_| TimeZone::utc()))
}

fn minute_at(seconds: i64, zone: &TimeZone) -> u32 {
    let offset = zone.find_local_time_type(seconds).map_or(0, |kind| kind.ut_offset());
    let minute = (seconds + i64::from(offset)).div_euclid(60).rem_euclid(i64::from(DAY));
    u32::try_from(minute).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_over_midnight() {
        let window = Window::parse("02:00-04:30").unwrap();
        assert_eq!([119, 120, 269, 270].map(|now| window.left(now)), [None, Some(150), Some(1), None]);
        let night = Window::parse("23:30-00:30").unwrap();
        assert_eq!(
            [1409, 1410, 0, 29, 30].map(|now| night.left(now)),
            [None, Some(60), Some(30), Some(1), None]
        );
        for text in
            ["", "02:00", "02:00-02:00", "2:00-3:00", "24:00-01:00", "01:60-02:00", "+1:00-02:00", "a-b"]
        {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_zone() {
        let zone = TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2026-01-15 and 2026-07-15, 23:30 UTC.
        assert_eq!([1_768_519_800, 1_784_158_200].map(|at| minute_at(at, &zone)), [30, 90]);
        assert_eq!(minute_at(1_768_519_800, &TimeZone::utc()), 23 * 60 + 30);
    }
}
