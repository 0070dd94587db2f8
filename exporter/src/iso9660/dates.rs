//! The one time of a volume, as it says times.

use crate::date::{civil_date, day_number};
use crate::tree::Time;

const DAY: i64 = 86_400;
/// No time: of what never expires (8.4.26.1).
pub(super) const UNSPECIFIED: [u8; 17] = *b"0000000000000000\0";

/// A time between 1970 and 2155, in UTC.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    date: (u64, u64, u64),
    time: (u64, u64, u64),
}

impl Stamp {
    /// The nearest to `time`.
    pub(super) fn new(time: Time) -> Self {
        let last = day_number(2156, 1, 1) * DAY - 1;
        let seconds = time.seconds.clamp(0, last) as u64;
        let (days, second) = (seconds / DAY as u64, seconds % DAY as u64);
        Self { date: civil_date(days), time: (second / 3600, second / 60 % 60, second % 60) }
    }

    /// As directory records and Rock Ridge have it (9.1.5).
    pub(super) fn short(self) -> [u8; 7] {
        let ((year, month, day), (hour, minute, second)) = (self.date, self.time);
        let fields = [year - 1900, month, day, hour, minute, second, 0];
        fields.map(|field| field as u8)
    }

    /// As volume descriptors have it (8.4.26.1): digits, and the distance from UTC.
    pub(super) fn long(self) -> [u8; 17] {
        let ((year, month, day), (hour, minute, second)) = (self.date, self.time);
        let digits = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00");
        let mut stamp = [0; 17];
        stamp.iter_mut().zip(digits.bytes()).for_each(|(place, digit)| *place = digit);
        stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_both_ways_as_far_as_they_can_be() {
        for (seconds, short, long) in [
            (951_827_696, [100, 2, 29, 12, 34, 56, 0], b"2000022912345600\0"),
            (-1, [70, 1, 1, 0, 0, 0, 0], b"1970010100000000\0"),
            (i64::MAX, [255, 12, 31, 23, 59, 59, 0], b"2155123123595900\0"),
        ] {
            let stamp = Stamp::new(Time { seconds, nanoseconds: 0 });
            assert_eq!((stamp.short(), stamp.long()), (short, *long), "{seconds}");
        }
    }
}
