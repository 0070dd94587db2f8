//! What the agent knows of the machine, and what it asks process 1 for.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use agent::channel::{Outlet, lock};
use agent::message::{Done, Status};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::job::Job;
use super::link::{Ask, MESSAGE_MAX, Told};
use crate::init::console::Log;

/// How soon a channel ends that the host has closed while there was nothing to tell.
const TICK: Duration = Duration::from_millis(200);
/// How long process 1 may take to say what it has kept.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most of the output that is read at a time.
const PART_MAX: usize = 32 << 10;

/// Clones are the same machine.
#[derive(Clone)]
pub(super) struct Machine(Arc<Inner>);

struct Inner {
    link: OwnedFd,
    /// The service's output as far as it was asked for.
    log: Log,
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Default)]
struct Known {
    status: Status,
    /// How often it was told.
    changes: u64,
    /// Of the output, what was gone before it was told.
    lost: u64,
    has_asked: bool,
    has_caught_up: bool,
}

impl Machine {
    /// The machine that is at the other end.
    pub(super) fn over(link: OwnedFd) -> Self {
        let inner = Inner { link, log: Log::default(), known: Mutex::default(), changed: Condvar::new() };
        let machine = Self(Arc::new(inner));
        let told = machine.clone();
        thread::spawn(move || told.listen());
        machine
    }

    /// Until process 1 is gone.
    fn listen(&self) {
        let mut message = vec![0; MESSAGE_MAX];
        while let Ok((len @ 1.., _)) = recv(&self.0.link, &mut message[..], RecvFlags::empty()) {
            if let Some(told) = message.get(..len).and_then(Told::decode) {
                self.take(told);
            }
        }
    }

    fn take(&self, told: Told<'_>) {
        let mut known = lock(&self.0.known);
        match told {
            Told::Status(status) => (known.status, known.changes) = (status, known.changes + 1),
            Told::Output(lost, bytes) => {
                known.lost += lost;
                self.0.log.write(bytes);
            }
            Told::CaughtUp => known.has_caught_up = true,
        }
        self.0.changed.notify_all();
    }

    fn ask(&self, ask: Ask) -> Result<(), Done> {
        let sent = send(&self.0.link, ask.encode(), SendFlags::NOSIGNAL);
        sent.map(drop).map_err(|error| Done::failed(125, format!("process 1 cannot be asked: {error}")))
    }

    /// Stop the service and the machine.
    pub(super) fn stop(&self) -> Done {
        self.ask(Ask::Stop).err().unwrap_or_default()
    }

    /// Wait until what is known is as wanted.
    fn wait(&self, patience: Duration, is_wanted: impl Fn(&Known) -> bool) -> bool {
        let is_not = |known: &mut Known| !is_wanted(known);
        let known = self.0.changed.wait_timeout_while(lock(&self.0.known), patience, is_not);
        !known.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Write how the service is, a line each time.
    pub(super) fn tell_status(&self, job: &Job, follow: bool, out: &mut Outlet) -> Done {
        let mut seen = 0;
        if !self.wait(PATIENCE, |known| known.changes > 0) {
            return Done::failed(125, "process 1 does not say how the service is");
        }
        while !job.is_over() {
            let (status, changes) = {
                let known = lock(&self.0.known);
                (known.status.clone(), known.changes)
            };
            if changes > seen {
                seen = changes;
                let line = serde_json::to_string(&status).unwrap_or_default() + "\n";
                if out.write_all(line.as_bytes()).is_err() {
                    break;
                }
            }
            if !follow {
                break;
            }
            self.wait(TICK, |known| known.changes > seen);
        }
        Done::default()
    }

    /// Write the last of what the service has printed.
    pub(super) fn tell_output(&self, job: &Job, follow: bool, out: &mut Outlet) -> Done {
        let is_first = !std::mem::replace(&mut lock(&self.0.known).has_asked, true);
        if is_first && let Err(done) = self.ask(Ask::Output) {
            return done;
        }
        if !self.wait(PATIENCE, |known| known.has_caught_up) {
            return Done::failed(125, "process 1 does not say what the service has printed");
        }
        let (mut from, mut lost) = (self.0.log.begin(), 0);
        let lost_before = lock(&self.0.known).lost;
        while !job.is_over() {
            let part = self.0.log.read(from, PART_MAX, if follow { TICK } else { Duration::ZERO });
            lost += part.next - part.bytes.len() as u64 - from;
            from = part.next;
            if part.bytes.is_empty() && !follow || out.write_all(&part.bytes).is_err() {
                break;
            }
        }
        lost += lock(&self.0.known).lost - lost_before;
        Done { lost, ..Done::default() }
    }
}
