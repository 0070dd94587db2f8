//! The service: started, started again when it fails, stopped when the machine stops.

use std::fmt::{self, Display};
use std::io;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use crate::choice;
use crate::init::console::{self, say, say_error};
use crate::init::launch;
use crate::init::service::Service;

/// Between a failure and the next start: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A service that ran for so long has not failed at once: the pause is the first again.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// How long the service may take to stop, as in a container.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the machine can be made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    PowerOff,
    Restart,
}

impl Action {
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::PowerOff => "power off",
            Self::Restart => "restart",
        }
    }
}

/// What happens to the first process.
#[derive(Debug)]
pub(crate) enum Event {
    /// A child ended, its own or one that others left.
    Ended(Pid, WaitStatus),
    /// Somebody wants the machine to stop.
    Asked(Action),
}

/// What ends a wait for an event.
enum Outcome {
    Asked(Action),
    Ended(Ending),
    TimedOut,
}

/// How the service ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Code(i32),
    Killed(i32),
}

impl Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Killed(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// Keeps the service running.
pub(crate) struct Supervisor {
    service: Service,
    inbox: Receiver<Event>,
}

impl Supervisor {
    pub(crate) fn new(service: Service, inbox: Receiver<Event>) -> Self {
        Self { service, inbox }
    }

    /// Until the machine is to stop, which the end of a service that did not fail means too.
    pub(crate) fn run(&self) -> Action {
        let (mut pause, mut is_up) = (FIRST_PAUSE, false);
        loop {
            let started = Instant::now();
            let ending = match self.start() {
                Ok(pid) => match self.follow(pid, &mut is_up) {
                    Outcome::Asked(action) => {
                        self.stop(pid);
                        return action;
                    }
                    Outcome::Ended(Ending::Code(0)) => {
                        say(format_args!("service: is done"));
                        say_error(choice::say_good());
                        return Action::PowerOff;
                    }
                    Outcome::Ended(ending) => ending.to_string(),
                    Outcome::TimedOut => continue,
                },
                Err(error) => format!("cannot be started: {error}"),
            };
            if started.elapsed() >= GOOD_RUN {
                pause = FIRST_PAUSE;
            }
            say(format_args!("service: {ending}, started again in {:.1} s", pause.as_secs_f32()));
            if let Outcome::Asked(action) = self.next(None, Some(pause)) {
                return action;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Until the service ends or the machine is to stop. Once it has run for a while it is up.
    fn follow(&self, pid: Pid, is_up: &mut bool) -> Outcome {
        if !*is_up {
            match self.next(Some(pid), Some(GOOD_RUN)) {
                Outcome::TimedOut => *is_up = true,
                outcome => return outcome,
            }
            say_error(choice::start_check());
        }
        self.next(Some(pid), None)
    }

    /// Without a service, until the machine is to stop.
    pub(crate) fn wait(inbox: &Receiver<Event>) -> Action {
        say_error(choice::start_check());
        loop {
            match inbox.recv() {
                Ok(Event::Asked(action)) => return action,
                Ok(Event::Ended(..)) => {}
                // Nobody is left who could ask.
                Err(_) => thread::park(),
            }
        }
    }

    /// The process that becomes the service, its output on the console: by pipes, which `/dev/stdout` can be
    /// opened through.
    fn start(&self) -> io::Result<Pid> {
        let (stdout, stdout_writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, stderr_writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg(launch::ROLE).stdin(Stdio::null()).stdout(stdout_writer).stderr(stderr_writer);
        let child = command.spawn()?;
        for pipe in [stdout, stderr] {
            thread::spawn(move || console::copy(pipe));
        }
        // Waited for by number, as every child: see `power::reap`.
        Ok(Pid::from_child(&child))
    }

    /// Wait for the end of `pid`, a wish to stop, or until `timeout` has passed.
    fn next(&self, pid: Option<Pid>, timeout: Option<Duration>) -> Outcome {
        let start = Instant::now();
        loop {
            let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            let event = match left {
                Some(left) => self.inbox.recv_timeout(left),
                None => self.inbox.recv().map_err(RecvTimeoutError::from),
            };
            match event {
                Ok(Event::Asked(action)) => return Outcome::Asked(action),
                Ok(Event::Ended(ended, status)) if Some(ended) == pid => {
                    return Outcome::Ended(ending(status));
                }
                Ok(Event::Ended(..)) => {}
                Err(_) => return Outcome::TimedOut,
            }
        }
    }

    /// Ask the service to end, and make it.
    fn stop(&self, pid: Pid) {
        let asked = &self.service.stop_signal;
        let signal = signal(asked).unwrap_or_else(|| {
            say(format_args!("service: unknown stop signal {asked}, SIGTERM is sent"));
            Signal::TERM
        });
        say(format_args!("service: stopping"));
        let _ = kill_process(pid, signal);
        let start = Instant::now();
        while let Some(left) = STOP_TIMEOUT.checked_sub(start.elapsed()) {
            match self.next(Some(pid), Some(left)) {
                Outcome::Ended(ending) => return say(format_args!("service: {ending}")),
                // Stopping already.
                Outcome::Asked(_) => {}
                Outcome::TimedOut => break,
            }
        }
        say(format_args!("service: did not stop within {} s, killed", STOP_TIMEOUT.as_secs()));
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn ending(status: WaitStatus) -> Ending {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, signal) => Ending::Killed(signal.unwrap_or_default()),
    }
}

/// A signal by name (`SIGQUIT`, `QUIT`) or number; SIGTERM if none is named.
fn signal(name: &str) -> Option<Signal> {
    const NAMES: [(&str, Signal); 12] = [
        ("", Signal::TERM),
        ("TERM", Signal::TERM),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("HUP", Signal::HUP),
        ("KILL", Signal::KILL),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("WINCH", Signal::WINCH),
        ("ABORT", Signal::ABORT),
        ("ABRT", Signal::ABORT),
        ("PWR", Signal::POWER),
    ];
    if let Ok(number) = name.parse() {
        return Signal::from_named_raw(number);
    }
    let name = name.to_ascii_uppercase();
    let short = name.strip_prefix("SIG").unwrap_or(&name);
    NAMES.iter().find(|(known, _)| *known == short).map(|(_, signal)| *signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (name, expected) in [
            ("", Some(Signal::TERM)),
            ("SIGTERM", Some(Signal::TERM)),
            ("quit", Some(Signal::QUIT)),
            ("SIGWINCH", Some(Signal::WINCH)),
            ("3", Some(Signal::QUIT)),
            ("SIGRTMIN+3", None),
            ("0", None),
        ] {
            assert_eq!(signal(name), expected, "{name}");
        }
    }
}
