//! Signals that ask this process to end: passed on to the program it waits for, and kept in mind for what
//! it does itself.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::base::{Error, Result};

/// What asks this process to end.
const SIGNALS: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// From now on the [signals](SIGNALS) set this, for work of this process alone that looks at it.
///
/// # Errors
/// If they cannot be caught.
pub(crate) fn flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|error| Error::internal("signals: cannot be caught").because(error))?;
    }
    Ok(stop)
}

/// From now on signals end what is being done, and not this process before it has cleaned up.
pub(crate) struct Interrupt {
    state: Arc<State>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    came: AtomicBool,
    /// The program that is being waited for. A descriptor stands for this process for ever; its number
    /// could be given to another one.
    child: Mutex<Option<OwnedFd>>,
}

impl Interrupt {
    /// Catches the [signals](SIGNALS).
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(crate) fn catch() -> io::Result<Self> {
        let mut signals = Signals::new(SIGNALS)?;
        let state = Arc::new(State::default());
        let (handle, shared) = (signals.handle(), state.clone());
        let thread = std::thread::Builder::new()
            .spawn(move || signals.forever().for_each(|number| shared.came(number)))?;
        Ok(Self { state, handle, thread: Some(thread) })
    }

    /// Set once a signal has come.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.state.came
    }

    /// An error once a signal has come.
    pub(crate) fn check(&self) -> Result<()> {
        match self.state.came.load(Ordering::SeqCst) {
            true => Err(Error::user("the build was interrupted")),
            false => Ok(()),
        }
    }

    /// Starts a program, which gets the signals that come from now on.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(&self, command: &mut Command) -> io::Result<Running<'_>> {
        let mut running = Running { child: command.spawn()?, state: &self.state };
        let pid = Pid::from_child(&running.child);
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| {
            // Best effort: no signal would reach it.
            let _ = running.child.kill();
        })?;
        *self.state.child() = Some(descriptor);
        if self.check().is_err() {
            // It came while there was nobody yet to pass it on to.
            running.end();
        }
        Ok(running)
    }

    /// Runs a program to its end; what it has printed.
    ///
    /// # Errors
    /// That it was interrupted, whatever became of the program; or what `cannot_start` makes of the
    /// reason why there was none.
    pub(crate) fn run(
        &self,
        command: &mut Command,
        cannot_start: impl Fn(io::Error) -> Error,
    ) -> Result<Output> {
        self.check()?;
        let output = self.start(command).map_err(&cannot_start)?.output();
        self.check()?;
        output.map_err(cannot_start)
    }

    /// Stops; true if a signal has come.
    pub(crate) fn finish(self) -> bool {
        let state = self.state.clone();
        // The thread has seen all of them then.
        drop(self);
        state.came.load(Ordering::SeqCst)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.handle.close();
        // The thread does nothing that panics.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A program that gets this process's signals until its end has been awaited.
pub(crate) struct Running<'a> {
    child: Child,
    state: &'a State,
}

impl Running<'_> {
    /// Its stdout, once, if that was asked to be a pipe.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The same of its stderr.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Asks it to end.
    pub(crate) fn end(&self) {
        self.state.pass_on(Signal::TERM);
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait();
        *self.state.child() = None;
        status
    }

    /// Waits for its end; what it has printed to pipes.
    fn output(self) -> io::Result<Output> {
        let output = self.child.wait_with_output();
        *self.state.child() = None;
        output
    }
}

impl State {
    fn child(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self, number: i32) {
        self.came.store(true, Ordering::SeqCst);
        if let Some(signal) = Signal::from_named_raw(number) {
            self.pass_on(signal);
        }
    }

    fn pass_on(&self, signal: Signal) {
        if let Some(child) = &*self.child() {
            // It fails only if the child has ended, which is what is wanted.
            let _ = pidfd_send_signal(child, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_signal_ends_the_program_and_all_that_would_follow() {
        let interrupt = Interrupt::catch().unwrap();
        let cannot_start = |error: io::Error| Error::user("no").because(error);
        let done = interrupt.run(Command::new("true").arg("x"), cannot_start).unwrap();
        assert!(done.status.success());
        let start = Instant::now();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| interrupt.run(Command::new("sleep").arg("60"), cannot_start));
            while interrupt.state.child().is_none() {
                std::thread::sleep(Duration::from_millis(10));
            }
            rustix::process::kill_process(rustix::process::getpid(), Signal::HUP).unwrap();
            let error = waiting.join().unwrap().unwrap_err();
            assert_eq!(error.to_string(), "the build was interrupted");
        });
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(interrupt.flag().load(Ordering::SeqCst));
        assert!(interrupt.run(&mut Command::new("true"), cannot_start).is_err());
        assert!(interrupt.finish());
    }
}
