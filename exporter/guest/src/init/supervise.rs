//! The service: started, watched, started again when it fails, stopped when the machine stops.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use crate::choice;
use crate::init::checks::Checks;
use crate::init::console::{Log, say, say_error};
use crate::init::ending::{Ending, NOT_SET_UP};
use crate::init::health::Health;
use crate::init::launch;
use crate::init::launcher::{self, Launcher};
use crate::init::service::Service;
use crate::init::signals;
use crate::init::standing::Board;
use crate::init::status;
use crate::init::told::OnCrash;

/// Between a failure and the next start: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A service that ran for so long has not failed at once: the pause is the first again.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// How long the service may take to stop, as in a container.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last of a service's output may take, and how long one that others of its processes hold may be silent.
const LAST_OUTPUT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(200);

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
    /// A launcher has become its program, or has said why it cannot.
    Launched(Pid),
    /// Somebody wants the machine to stop.
    Asked(Action),
}

/// What others in process 1 have to do with the service: they read its output and how it stands, and ask for what they want.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) log: Log,
    pub(crate) board: Board,
    pub(crate) events: Sender<Event>,
}

/// What ends a wait for an event.
enum Outcome {
    Asked(Action),
    Ended(Ending),
    Launched,
    TimedOut,
}

/// Keeps the service running.
pub(crate) struct Supervisor {
    service: Service,
    on_crash: OnCrash,
    has_terminal: bool,
    desk: Desk,
    inbox: Receiver<Event>,
    /// Of the run that goes on.
    checks: Option<Checks>,
    /// Disconnected once all that it has printed is on the console.
    output: Option<Receiver<()>>,
}

impl Supervisor {
    pub(crate) fn new(
        service: Service,
        on_crash: OnCrash,
        has_terminal: bool,
        desk: Desk,
        inbox: Receiver<Event>,
    ) -> Self {
        Self { service, on_crash, has_terminal, desk, inbox, checks: None, output: None }
    }

    /// Until the machine is to stop, which the end of a service that did not fail means too.
    pub(crate) fn run(mut self) -> Action {
        let (mut pause, mut is_up) = (FIRST_PAUSE, false);
        loop {
            let started = Instant::now();
            let ending = match self.run_once(&mut is_up) {
                Outcome::Asked(action) => return action,
                Outcome::Ended(ending) => ending,
                Outcome::Launched | Outcome::TimedOut => continue,
            };
            if ending.is_good() {
                say(format_args!("service: {ending}"));
                say_error(choice::say_good());
                return Action::PowerOff;
            }
            match self.on_crash {
                OnCrash::PowerOff => {
                    say(format_args!("service: {ending}"));
                    return Action::PowerOff;
                }
                OnCrash::Halt => {
                    say(format_args!("service: {ending}; the machine stays as it is"));
                    return Self::wait(&self.inbox);
                }
                OnCrash::Restart => {}
            }
            if started.elapsed() >= GOOD_RUN {
                pause = FIRST_PAUSE;
            }
            let (seconds, tenths) = (pause.as_secs(), pause.subsec_millis() / 100);
            say(format_args!("service: {ending}, started again in {seconds}.{tenths} s"));
            if let Outcome::Asked(action) = self.next(None, Some(pause)) {
                return action;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Until the service has ended, also by a wish to stop.
    fn run_once(&mut self, is_up: &mut bool) -> Outcome {
        let outcome = match launcher::start(self.has_terminal, &self.desk) {
            Ok(launcher) => self.attend(launcher, is_up),
            Err(error) => Outcome::Ended(Ending::Failed(NOT_SET_UP, format!("cannot be started: {error}"))),
        };
        self.checks = None;
        self.finish_output();
        if let Outcome::Ended(ending) = &outcome {
            self.note(ending);
        }
        outcome
    }

    /// Its launcher may hang where a directory of the host's does: a wish to stop is heard meanwhile.
    fn attend(&mut self, launcher: Launcher, is_up: &mut bool) -> Outcome {
        let Launcher { pid, output, report } = launcher;
        self.output = Some(output);
        let (launched, mut reason) = (self.next(Some(pid), None), Vec::new());
        if let Outcome::Launched | Outcome::Ended(_) = launched {
            reason = report.take();
            self.desk.board.change(|standing| standing.starts += 1);
        }
        let outcome = match launched {
            Outcome::Launched if reason.is_empty() => self.follow(pid, is_up),
            Outcome::Launched => self.next(Some(pid), None),
            outcome => outcome,
        };
        match outcome {
            Outcome::Ended(Ending::Code(code)) => {
                let failure = launch::failure(&reason, code.try_into().unwrap_or(NOT_SET_UP));
                Outcome::Ended(failure.unwrap_or(Ending::Code(code)))
            }
            Outcome::Asked(action) => {
                self.checks = None;
                if let Some(ending) = self.stop(pid) {
                    self.note(&ending);
                }
                Outcome::Asked(action)
            }
            outcome => outcome,
        }
    }

    /// What was printed last is on the console before anything is said of the end, and before the machine is off.
    fn finish_output(&mut self) {
        let (Some(output), start) = (self.output.take(), Instant::now()) else { return };
        while start.elapsed() < LAST_OUTPUT {
            let before = self.desk.log.end();
            let is_done = output.recv_timeout(SILENCE) == Err(RecvTimeoutError::Disconnected);
            if is_done || self.desk.log.end() == before {
                return;
            }
        }
    }

    /// Tell of an end all who want to know.
    fn note(&self, ending: &Ending) {
        self.desk.board.change(|standing| {
            (standing.pid, standing.health) = (None, None);
            standing.ending = Some(ending.clone());
        });
        say_error(status::tell(ending));
    }

    /// Until the service ends or the machine is to stop. Once it has run for a while it is up.
    fn follow(&mut self, pid: Pid, is_up: &mut bool) -> Outcome {
        self.checks = Checks::of(&self.service);
        let health = self.checks.as_ref().map(|_| Health::Starting);
        self.desk.board.change(|standing| (standing.pid, standing.health) = (Some(pid), health));
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
                Ok(Event::Ended(..) | Event::Launched(_)) => {}
                // Nobody is left who could ask.
                Err(_) => thread::park(),
            }
        }
    }

    /// Wait for the launch or the end of `pid`, a wish to stop, or until `timeout` has passed; meanwhile health is checked.
    fn next(&mut self, pid: Option<Pid>, timeout: Option<Duration>) -> Outcome {
        let start = Instant::now();
        loop {
            let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            let due = self.checks.as_mut().map(Checks::act);
            let event = match left.into_iter().chain(due).min() {
                Some(wait) => self.inbox.recv_timeout(wait),
                None => self.inbox.recv().map_err(RecvTimeoutError::from),
            };
            match event {
                Ok(Event::Asked(action)) => return Outcome::Asked(action),
                Ok(Event::Ended(ended, status)) if Some(ended) == pid => {
                    return Outcome::Ended(Ending::of(status));
                }
                Ok(Event::Ended(ended, status)) => self.note_check(ended, status),
                Ok(Event::Launched(launched)) if Some(launched) == pid => return Outcome::Launched,
                // Of a run that is over.
                Ok(Event::Launched(_)) => {}
                Err(_) if left.is_none_or(|left| left.is_zero()) && due.is_none() => {
                    return Outcome::TimedOut;
                }
                Err(_) if timeout.is_some_and(|timeout| start.elapsed() >= timeout) => {
                    return Outcome::TimedOut;
                }
                Err(_) => {}
            }
        }
    }

    fn note_check(&mut self, ended: Pid, status: WaitStatus) {
        let changed = self.checks.as_mut().and_then(|checks| checks.ended(ended, status));
        if let Some(health) = changed {
            say(format_args!("service: is {health}"));
            self.desk.board.change(|standing| standing.health = Some(health));
        }
    }

    /// Ask the service to end, and make it. Returns how it ended, if the kernel has said so in time.
    fn stop(&mut self, pid: Pid) -> Option<Ending> {
        let asked = self.service.stop_signal();
        let signal = signals::named(asked).unwrap_or_else(|| {
            say(format_args!("service: unknown stop signal {asked}, SIGTERM is sent"));
            Signal::TERM
        });
        say(format_args!("service: stopping"));
        let _ = kill_process(pid, signal);
        if let Some(ending) = self.ended_within(pid, STOP_TIMEOUT) {
            say(format_args!("service: {ending}"));
            return Some(ending);
        }
        say(format_args!("service: did not stop within {} s, killed", STOP_TIMEOUT.as_secs()));
        let _ = kill_process(pid, Signal::KILL);
        self.ended_within(pid, Duration::from_secs(1))
    }

    fn ended_within(&mut self, pid: Pid, timeout: Duration) -> Option<Ending> {
        let start = Instant::now();
        loop {
            match self.next(Some(pid), Some(timeout.saturating_sub(start.elapsed()))) {
                Outcome::Ended(ending) => return Some(ending),
                // Stopping already.
                Outcome::Asked(_) | Outcome::Launched => {}
                Outcome::TimedOut => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
