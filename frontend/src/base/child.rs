//! One command that is run and waited for, whose stdout may be read on the way.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use super::Error;
use super::interrupt::Interrupt;

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

/// Why what a command sends did not arrive.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// The stream ended before its time: whoever sends it has failed, and knows more.
    EndedEarly(Error),
    /// What came is not what should come, or cannot be stored here.
    Refused(Error),
}

/// Runs a command to its end.
///
/// A signal that asks this process to end is passed on, and the end of the command awaited.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn run(command: &mut Command) -> io::Result<Ended> {
    let interrupt = Interrupt::catch()?;
    let status = interrupt.start(command)?.wait()?;
    Ok(Ended { status, interrupted: interrupt.finish() })
}

/// Runs a command to its end and hands its stdout to `receive`.
///
/// Signals are passed on as by [`run`]. If `receive` refuses what comes, the command is told to end.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn receive_from<T>(
    command: &mut Command,
    receive: impl FnOnce(ChildStdout) -> Result<T, Undelivered>,
) -> io::Result<(Ended, Result<T, Undelivered>)> {
    let interrupt = Interrupt::catch()?;
    let mut running = interrupt.start(command.stdout(Stdio::piped()))?;
    let stdout = running.stdout().expect("stdout was asked to be a pipe");
    // Best effort: fewer turns between the processes on the way.
    let _ = fcntl_setpipe_size(&stdout, PIPE);
    let received = receive(stdout);
    if matches!(received, Err(Undelivered::Refused(_))) {
        running.end();
    }
    let status = running.wait()?;
    Ok((Ended { status, interrupted: interrupt.finish() }, received))
}

/// A program that must not outlive the thread that starts it: when that ends, in whatever way, it gets this signal.
#[allow(unsafe_code, reason = "std's only way to do something between fork and exec")]
pub(crate) fn end_with_this_process(command: &mut Command, signal: Signal) {
    let parent = getpid();
    // SAFETY: two system calls, and nothing of this process' memory.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(signal))?;
            // It may have ended before it was asked for.
            match getppid() == Some(parent) {
                true => Ok(()),
                false => Err(io::ErrorKind::Interrupted.into()),
            }
        });
    }
}

/// As a shell has it: a signal counts from 128 on.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
