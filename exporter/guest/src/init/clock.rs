//! The clock: a machine without one that runs starts in 1970, and certificates and files are younger.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_settime};

use crate::init::service;

/// Set the clock forward to `not_before`, in seconds since 1970, and to when the disk was built, where it is behind.
pub(crate) fn set(not_before: Option<u64>) -> Result<(), String> {
    let told = not_before.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    let built = fs::metadata(Path::new(service::PATH)).and_then(|file| file.modified()).ok();
    let Some(time) = behind(SystemTime::now(), told, built) else { return Ok(()) };
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let failed =
        |error: &dyn std::fmt::Display| format!("the clock cannot be set to {} s: {error}", since.as_secs());
    let tv_sec = since.as_secs().try_into().map_err(|error| failed(&error))?;
    clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: 0 }).map_err(|error| failed(&error))
}

/// What time it has to be, at least, if it is not.
fn behind(now: SystemTime, told: Option<SystemTime>, built: Option<SystemTime>) -> Option<SystemTime> {
    told.max(built).filter(|earliest| now < *earliest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_never_set_back() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(behind(at(5), None, None), None);
        assert_eq!(behind(at(5), Some(at(9)), Some(at(7))), Some(at(9)));
        assert_eq!(behind(at(5), None, Some(at(7))), Some(at(7)));
        assert_eq!(behind(at(9), Some(at(9)), Some(at(7))), None);
    }
}
