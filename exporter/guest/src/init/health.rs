//! Whether the service works, by the image's `HEALTHCHECK`, as docker has it: checks are made from the start on, a success is
//! believed at once, and failures after so many in a row, unless the service is still starting.

use std::fmt::{self, Display};
use std::time::Duration;

use serde::Deserialize;

/// `HEALTHCHECK` of an image's configuration. Times are nanoseconds; 0 or none for the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Healthcheck {
    /// `["NONE"]`, `["CMD", program, …]` or `["CMD-SHELL", line]`.
    test: Option<Vec<String>>,
    interval: Option<u64>,
    timeout: Option<u64>,
    start_period: Option<u64>,
    start_interval: Option<u64>,
    retries: Option<u32>,
}

impl Healthcheck {
    /// The words of the check's program; `None`: there is no check.
    pub(crate) fn command(&self, shell: &[String]) -> Option<Vec<String>> {
        let (form, words) = self.test.as_ref()?.split_first()?;
        match &**form {
            "CMD" if !words.is_empty() => Some(words.to_vec()),
            "CMD-SHELL" if shell.is_empty() => {
                Some([&["/bin/sh", "-c"].map(str::to_owned)[..], words].concat())
            }
            "CMD-SHELL" => Some([shell, words].concat()),
            _ => None,
        }
    }

    /// How long one may take.
    pub(crate) fn timeout(&self) -> Duration {
        or(self.timeout, 30)
    }

    fn start_period(&self) -> Duration {
        Duration::from_nanos(self.start_period.unwrap_or_default())
    }

    fn retries(&self) -> u32 {
        self.retries.filter(|&retries| retries > 0).unwrap_or(3)
    }
}

fn or(nanoseconds: Option<u64>, seconds: u64) -> Duration {
    nanoseconds.filter(|&some| some > 0).map_or(Duration::from_secs(seconds), Duration::from_nanos)
}

/// What is known of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// No check has succeeded, and not enough have failed.
    Starting,
    Healthy,
    Unhealthy,
}

impl Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// What the checks of one run of the service come to. Times are counted from its start.
#[derive(Debug)]
pub(crate) struct Monitor {
    check: Healthcheck,
    health: Health,
    /// Failures in a row that count.
    failures: u32,
}

impl Monitor {
    pub(crate) fn new(check: Healthcheck) -> Self {
        Self { check, health: Health::Starting, failures: 0 }
    }

    /// How long to wait at `now`, when the service was started or a check has ended, for the next check.
    pub(crate) fn pause(&self, now: Duration) -> Duration {
        if self.is_starting(now) { or(self.check.start_interval, 5) } else { or(self.check.interval, 30) }
    }

    /// A check that was begun at `begun` has ended. Returns what is known now, if that is new.
    pub(crate) fn ended(&mut self, begun: Duration, has_succeeded: bool) -> Option<Health> {
        let before = self.health;
        if has_succeeded {
            (self.health, self.failures) = (Health::Healthy, 0);
        } else if !self.is_starting(begun) {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.check.retries() {
                self.health = Health::Unhealthy;
            }
        }
        Some(self.health).filter(|health| *health != before)
    }

    fn is_starting(&self, at: Duration) -> bool {
        self.health == Health::Starting && at < self.check.start_period()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn monitor(text: &str) -> Monitor {
        Monitor::new(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn failures_count_in_a_row() {
        let mut monitor = monitor(r#"{"Test":["CMD","true"],"Retries":2,"StartPeriod":null}"#);
        assert_eq!(monitor.pause(seconds(0)), seconds(30));
        assert_eq!(monitor.ended(seconds(30), false), None);
        assert_eq!(monitor.health, Health::Starting);
        assert_eq!(monitor.ended(seconds(60), true), Some(Health::Healthy));
        assert_eq!(monitor.ended(seconds(90), false), None);
        assert_eq!(monitor.ended(seconds(120), true), None);
        assert_eq!(monitor.ended(seconds(150), false), None);
        assert_eq!(monitor.ended(seconds(180), false), Some(Health::Unhealthy));
        assert_eq!(monitor.ended(seconds(210), false), None);
        assert_eq!(monitor.ended(seconds(240), true), Some(Health::Healthy));
    }

    #[test]
    fn failures_of_a_service_that_starts_do_not_count() {
        let text =
            r#"{"StartPeriod":60000000000,"StartInterval":1000000000,"Interval":10000000000,"Retries":1}"#;
        let mut starting = monitor(text);
        assert_eq!(starting.pause(seconds(0)), seconds(1));
        assert_eq!(starting.ended(seconds(59), false), None);
        assert_eq!(starting.pause(seconds(61)), seconds(10));
        assert_eq!(starting.ended(seconds(61), false), Some(Health::Unhealthy));
        // The first success ends the start.
        let mut started = monitor(text);
        assert_eq!(started.ended(seconds(1), true), Some(Health::Healthy));
        assert_eq!(started.pause(seconds(2)), seconds(10));
        assert_eq!(started.ended(seconds(12), false), Some(Health::Unhealthy));
    }

    #[test]
    fn a_check_is_a_program_or_a_line_of_shell() {
        let command = |text: &str, shell: &[&str]| {
            let shell: Vec<_> = shell.iter().map(|word| (*word).to_owned()).collect();
            serde_json::from_str::<Healthcheck>(text).unwrap().command(&shell).map(|words| words.join(" "))
        };
        assert_eq!(command(r#"{"Test":["CMD","/a","b"]}"#, &[]).as_deref(), Some("/a b"));
        assert_eq!(command(r#"{"Test":["CMD-SHELL","a b"]}"#, &[]).as_deref(), Some("/bin/sh -c a b"));
        assert_eq!(
            command(r#"{"Test":["CMD-SHELL","a b"]}"#, &["/ash", "-ec"]).as_deref(),
            Some("/ash -ec a b")
        );
        for none in
            [r#"{"Test":["NONE"]}"#, r#"{"Test":[]}"#, r#"{"Test":["CMD"]}"#, "{}", r#"{"Test":null}"#]
        {
            assert_eq!(command(none, &[]), None, "{none}");
        }
    }
}
