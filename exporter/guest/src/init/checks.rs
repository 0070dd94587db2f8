//! The checks of the service's health, made one after the other. Their ends come to process 1 as those of all children.

use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitStatus, kill_process_group};

use crate::init::console;
use crate::init::health::{Health, Monitor};
use crate::init::launch;
use crate::init::service::Service;
use crate::init::told::Told;
use crate::init::words::Words;

/// The argument of the process that becomes a check.
pub(crate) const ROLE: &str = "check";
/// Between two tries to end one that takes too long.
const RETRY: Duration = Duration::from_secs(1);

/// The checks of one run of the service.
pub(crate) struct Checks {
    monitor: Monitor,
    timeout: Duration,
    /// When the service was started.
    start: Instant,
    next: Next,
}

/// What happens next, and when.
enum Next {
    Begin(Instant),
    /// Take this one for failed, which was begun then.
    Kill {
        at: Instant,
        pid: Pid,
        begun: Instant,
        is_late: bool,
    },
}

impl Checks {
    /// Of a service that starts now; `None`: it has none.
    pub(crate) fn of(service: &Service) -> Option<Self> {
        let check = service.healthcheck()?.clone();
        let (timeout, monitor, start) = (check.timeout(), Monitor::new(check), Instant::now());
        let next = Next::Begin(start + monitor.pause(Duration::ZERO));
        Some(Self { monitor, timeout, start, next })
    }

    /// Do what is due. Returns in how long there is something to do again.
    pub(crate) fn act(&mut self) -> Duration {
        let now = Instant::now();
        match &mut self.next {
            Next::Begin(at) if *at <= now => match begin() {
                Ok(pid) => self.next = Next::Kill { at: now + self.timeout, pid, begun: now, is_late: false },
                Err(_) => self.next = Next::Begin(now + self.monitor.pause(now - self.start)),
            },
            Next::Kill { at, pid, is_late, .. } if *at <= now => {
                // All that it has started: it is the first of a session.
                let _ = kill_process_group(*pid, Signal::KILL);
                (*at, *is_late) = (now + RETRY, true);
            }
            _ => {}
        }
        let (Next::Begin(at) | Next::Kill { at, .. }) = self.next;
        at.saturating_duration_since(now)
    }

    /// A child has ended. Returns what is known now, if it was a check that has changed that.
    pub(crate) fn ended(&mut self, pid: Pid, status: WaitStatus) -> Option<Health> {
        let Next::Kill { pid: checking, begun, is_late, .. } = self.next else { return None };
        if checking != pid {
            return None;
        }
        let now = Instant::now();
        let has_succeeded = !is_late && status.exit_status() == Some(0);
        let changed = self.monitor.ended(begun - self.start, has_succeeded);
        self.next = Next::Begin(now + self.monitor.pause(now - self.start));
        changed
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        if let Next::Kill { pid, .. } = self.next {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// The process that becomes a check. Nobody sees what it prints, but it has to have somewhere to go.
fn begin() -> io::Result<Pid> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(ROLE).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    if let Some(pipe) = child.stdout.take() {
        thread::spawn(move || console::drain(pipe.into(), &mut |_| {}));
    }
    Ok(Pid::from_child(&child))
}

/// As that process.
pub(crate) fn run() -> ExitCode {
    let told = Told::read(&Words::read()).map_err(|refused| refused.error);
    let check = told.and_then(|told| {
        let service = told.service()?.and_then(|service| service.check());
        Ok((told.without_terminal(), service.ok_or("the image has no HEALTHCHECK")?))
    });
    match check {
        Ok((told, check)) => launch::become_or_fail(Ok(check), &told),
        Err(error) => launch::become_or_fail(Err(error), &Told::default()),
    }
}
