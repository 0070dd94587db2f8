//! A command that is run and watched: signals are passed on to it, and its stdout may be read on the way.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::receive::Failure;

/// Bytes of the pipe that a disk comes through: what Linux grants everybody (`pipe-max-size`).
const PIPE: usize = 1 << 20;

/// How a command has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// How it says so itself.
    pub(crate) status: ExitStatus,
    /// Whether this process was asked to end meanwhile, by a signal.
    pub(crate) interrupted: bool,
}

impl Ended {
    /// Whether all went well.
    pub(crate) fn well(self) -> bool {
        self.status.success() && !self.interrupted
    }
}

/// Runs a command to its end.
///
/// A signal that asks this process to end is passed on, and the end of the command awaited.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn run(command: &mut Command) -> io::Result<Ended> {
    let (mut child, forwarder) = start(command)?;
    let status = child.wait()?;
    Ok(Ended { status, interrupted: forwarder.finish() })
}

/// Runs a command to its end and hands its stdout to `receive`.
///
/// Signals are passed on as by [`run`]. If `receive` refuses what comes, the command is told to end.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn receive_from<T>(
    command: &mut Command,
    receive: impl FnOnce(ChildStdout) -> Result<T, Failure>,
) -> io::Result<(Ended, Result<T, Failure>)> {
    let (mut child, forwarder) = start(command.stdout(Stdio::piped()))?;
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    // Best effort: fewer turns between the processes on the way.
    let _ = fcntl_setpipe_size(&stdout, PIPE);
    let received = receive(stdout);
    if matches!(received, Err(Failure::Refused(_))) {
        forwarder.send(Signal::TERM);
    }
    let status = child.wait()?;
    Ok((Ended { status, interrupted: forwarder.finish() }, received))
}

fn start(command: &mut Command) -> io::Result<(Child, Forwarder)> {
    // Caught from before the start on, so that there is no moment at which the child could be left alone.
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let mut child = command.spawn()?;
    let forwarder = Forwarder::new(signals, &child).inspect_err(|_| {
        // Best effort: without it the child would meet a closed pipe in the end.
        let _ = child.kill();
    })?;
    Ok((child, forwarder))
}

/// Passes the signals this process gets on to its child.
struct Forwarder {
    child: Arc<OwnedFd>,
    interrupted: Arc<AtomicBool>,
    handle: Handle,
    thread: JoinHandle<()>,
}

impl Forwarder {
    fn new(mut signals: Signals, child: &Child) -> io::Result<Self> {
        // A descriptor stands for this process for ever; its number could be given to another one.
        let pid = rustix::process::Pid::from_child(child);
        let child = Arc::new(pidfd_open(pid, PidfdFlags::empty())?);
        let interrupted = Arc::new(AtomicBool::new(false));
        let handle = signals.handle();
        let (to, seen) = (child.clone(), interrupted.clone());
        let thread = std::thread::spawn(move || {
            for number in signals.forever() {
                seen.store(true, Ordering::SeqCst);
                if let Some(signal) = Signal::from_named_raw(number) {
                    // It fails only if the child has ended, which is what is wanted.
                    let _ = pidfd_send_signal(&*to, signal);
                }
            }
        });
        Ok(Self { child, interrupted, handle, thread })
    }

    fn send(&self, signal: Signal) {
        // It fails only if the child has ended, which is what is wanted.
        let _ = pidfd_send_signal(&*self.child, signal);
    }

    /// Stops; true if a signal came.
    fn finish(self) -> bool {
        self.handle.close();
        // The thread does nothing that panics.
        let _ = self.thread.join();
        self.interrupted.load(Ordering::SeqCst)
    }
}
