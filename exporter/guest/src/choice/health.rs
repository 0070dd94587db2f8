//! Whether the machine is healthy: the check that the disk's builder was told of, made again and again until it succeeds.
//! Who waits for that is the guard.

use std::fs;
use std::io;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

use crate::init::launch;
use crate::init::service::Service;
use crate::init::told::Told;

/// Where the disk's builder leaves it; without the file there is nothing to check.
const PATH: &str = "/usr/lib/vmimage/health.json";
/// The argument of the process that becomes the check.
pub(super) const ROLE: &str = "check";

const TICK: Duration = Duration::from_millis(100);

/// A check, and its times in seconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    /// The program, its words and surroundings, as those of an image's service.
    command: Service,
    /// Between two of them.
    interval: u64,
    /// How long one may take.
    timeout: u64,
}

impl Check {
    fn read() -> Result<Option<Self>, String> {
        match fs::read(PATH) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| format!("{PATH}: {error}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{PATH}: {error}")),
        }
    }
}

/// Wait until a check has succeeded.
pub(super) fn wait() -> Result<(), String> {
    let Some(check) = Check::read()? else { return Ok(()) };
    let timeout = Duration::from_secs(check.timeout.max(1));
    loop {
        match start().and_then(|child| why_not(child, timeout)) {
            Ok(None) => return Ok(()),
            Ok(Some(reason)) => eprintln!("vmimage-boot: not healthy: the check {reason}"),
            Err(error) => eprintln!("vmimage-boot: not healthy: the check cannot be made: {error}"),
        }
        sleep(Duration::from_secs(check.interval.max(1)));
    }
}

/// The process that becomes the check. Its output comes by pipes, which are made its user's own.
fn start() -> io::Result<Child> {
    let mut child = Command::new("/proc/self/exe")
        .arg(ROLE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut pipe) = child.stdout.take() {
        thread::spawn(move || io::copy(&mut pipe, &mut io::stdout()));
    }
    if let Some(mut pipe) = child.stderr.take() {
        thread::spawn(move || io::copy(&mut pipe, &mut io::stderr()));
    }
    Ok(child)
}

/// As that process.
pub(super) fn run() -> ExitCode {
    let check = Check::read().and_then(|check| check.ok_or_else(|| format!("{PATH}: is not there")));
    launch::become_or_fail(check.map(|check| check.command), &Told::default())
}

/// What is wrong with the outcome of a check; `None` if nothing is.
fn why_not(mut child: Child, timeout: Duration) -> io::Result<Option<String>> {
    let start = Instant::now();
    while start.elapsed() < timeout {
        if let Some(status) = child.try_wait()? {
            return Ok((!status.success()).then(|| format!("ended with {status}")));
        }
        sleep(TICK);
    }
    // All that it has started: it is the first of a session.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    child.kill()?;
    child.wait()?;
    Ok(Some(format!("took more than {} s", timeout.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(program: &str, words: &[&str], timeout: Duration) -> Option<String> {
        why_not(Command::new(program).args(words).spawn().unwrap(), timeout).unwrap()
    }

    #[test]
    fn a_check_succeeds_in_time_or_says_why_not() {
        let long = Duration::from_secs(60);
        assert_eq!(outcome("true", &[], long), None);
        assert_eq!(outcome("false", &[], long).as_deref(), Some("ended with exit status: 1"));
        let slow = outcome("sleep", &["60"], Duration::from_millis(10));
        assert_eq!(slow.as_deref(), Some("took more than 0 s"));
    }

    #[test]
    fn what_the_builder_writes_is_read() {
        let text = r#"{"command":{"Entrypoint":["/bin/sh","-c","true"],"User":"app","Env":["A=b"]},
            "interval":5,"timeout":30}"#;
        let check: Check = serde_json::from_str(text).unwrap();
        assert_eq!(check.command.command().collect::<Vec<_>>(), ["/bin/sh", "-c", "true"]);
        assert_eq!((check.command.user(), check.interval, check.timeout), ("app", 5, 30));
        assert!(serde_json::from_str::<Check>("{}").is_err());
    }
}
