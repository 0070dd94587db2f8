//! `docker buildx build`, with its result streamed into this process.

use std::ffi::OsStr;
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
use crate::cli::programs::Package;
use crate::cli::{Error, Result};

/// Bytes of the pipe that the disk comes through: what Linux grants everybody (`pipe-max-size`).
const PIPE: usize = 1 << 20;

/// The version of the docker plugin, or what is missing.
pub(crate) fn version() -> Result<String> {
    let output = Command::new("docker").args(["buildx", "version"]).output().map_err(cannot_start)?;
    if !output.status.success() {
        let buildx = Error::user("docker buildx: the plugin is not installed");
        return Err(buildx.with_hint(Package::Buildx.hint()));
    }
    // "github.com/docker/buildx v0.13.1 788433953af10f2a698f5c07611dddce2e08c7a0"
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().nth(1).unwrap_or("of unknown version").to_owned())
}

/// The version of the engine behind the docker command, or why it does not answer.
pub(crate) fn daemon_version() -> Result<String> {
    let output = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    let output = output.map_err(cannot_start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    let reason = reason.lines().last().unwrap_or_default().trim();
    let hint = match reason.contains("permission denied") {
        true => "let yourself in, then log in again: sudo usermod -aG docker $USER",
        false => "start it: systemctl start docker",
    };
    let daemon = Error::user("the docker daemon: does not answer").with_hint(hint);
    Err(if reason.is_empty() { daemon } else { daemon.because(reason) })
}

fn cannot_start(error: io::Error) -> Error {
    Error::user("docker: cannot be started").because(error).with_hint(Package::Docker.hint())
}

/// True if the daemon has `image`, so that no registry is needed for it.
pub(crate) fn has_image(image: &str) -> bool {
    let mut command = Command::new("docker");
    command.args(["image", "inspect", "--format", "{{.Id}}", image]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs `docker buildx build` with `arguments` and hands its stdout to `receive`.
///
/// `failed_why` is asked for the error after the engine has failed by itself.
///
/// Its progress and its errors go to this process's stderr. A signal that asks this process to end is
/// passed on, and the end of the build awaited; so is the end of a build whose result is refused.
pub(crate) fn build<T>(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    receive: impl FnOnce(ChildStdout) -> Result<T, Failure>,
    failed_why: impl FnOnce(ExitStatus) -> Error,
) -> Result<T> {
    let mut command = Command::new("docker");
    command.args(["buildx", "build"]).args(arguments).stdout(Stdio::piped());
    // Caught from before the start on, so that there is no moment at which the child could be left alone.
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(cannot_start)?;
    let mut child = command.spawn().map_err(cannot_start)?;
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    // Best effort: fewer turns between the processes on the way.
    let _ = fcntl_setpipe_size(&stdout, PIPE);
    let forwarder = Forwarder::new(signals, &child).map_err(|error| {
        // Best effort: without it the child would meet a closed pipe in the end.
        let _ = child.kill();
        cannot_start(error)
    })?;
    let received = receive(stdout);
    if matches!(received, Err(Failure::Refused(_))) {
        forwarder.send(Signal::TERM);
    }
    let status =
        child.wait().map_err(|error| Error::internal("docker: cannot be waited for").because(error))?;
    if forwarder.finish() && (received.is_err() || !status.success()) {
        return Err(Error::user("the build was interrupted"));
    }
    match received {
        Ok(result) if status.success() => Ok(result),
        Err(Failure::Refused(error)) => Err(error),
        Err(Failure::EndedEarly(error)) if status.success() => Err(error),
        _ => Err(failed_why(status)),
    }
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
