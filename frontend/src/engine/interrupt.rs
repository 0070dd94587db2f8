//! Signals that ask this process to end: passed on to the program it waits for, and kept in mind for what
//! it does itself.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::cli::{Error, Result};

/// From now on signals end what is being done, and not this process before it has cleaned up.
pub(crate) struct Interrupt {
    state: Arc<State>,
    handle: Handle,
}

#[derive(Default)]
struct State {
    came: AtomicBool,
    /// The program that is being waited for. A descriptor stands for this process for ever; its number
    /// could be given to another one.
    child: Mutex<Option<OwnedFd>>,
}

impl Interrupt {
    /// Catches SIGHUP, SIGINT and SIGTERM.
    pub(crate) fn catch() -> Result<Self> {
        let cannot = |error: io::Error| Error::internal("signals: cannot be caught").because(error);
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(cannot)?;
        let state = Arc::new(State::default());
        let (handle, shared) = (signals.handle(), state.clone());
        std::thread::Builder::new()
            .spawn(move || signals.forever().for_each(|number| shared.came(number)))
            .map_err(cannot)?;
        Ok(Self { state, handle })
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

    /// Runs a program to its end, with nothing on its stdin.
    ///
    /// It has a process group of its own: what is typed at the terminal reaches it only through this
    /// process, and so once; a second signal would end it before it has cleaned up.
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
        let child = command.stdin(std::process::Stdio::null()).process_group(0).spawn();
        let child = child.map_err(&cannot_start)?;
        let descriptor = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        *self.state.child() = Some(descriptor.map_err(|error| cannot_start(error.into()))?);
        if self.check().is_err() {
            // It came while there was nobody yet to pass it on to.
            self.state.came(SIGTERM);
        }
        let output = child.wait_with_output();
        *self.state.child() = None;
        self.check()?;
        output.map_err(cannot_start)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.handle.close();
    }
}

impl State {
    fn child(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self, number: i32) {
        self.came.store(true, Ordering::SeqCst);
        if let Some((child, signal)) = self.child().as_ref().zip(Signal::from_named_raw(number)) {
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
    }
}
