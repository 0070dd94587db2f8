//! In process 1: the start of the process that [becomes the service](super::launch), and what comes out of it.
//!
//! Nothing here waits for that process: where its directory is one of a host that does not answer, it may never say a word.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use agent::channel::lock;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::init::console;
use crate::init::launch;
use crate::init::supervise::{Desk, Event};

/// The longest reason why a program could not be started.
const REPORT_MAX: u64 = 4096;
/// How long what a process has left in its pipe may take to be read, once its end is known.
const LAST_REPORT: Duration = Duration::from_secs(1);

/// A process that becomes the service, or says why it cannot.
pub(crate) struct Launcher {
    pub(crate) pid: Pid,
    /// Disconnected once all that it has printed is on the console.
    pub(crate) output: Receiver<()>,
    pub(crate) report: Report,
}

/// Why it does not become the service: nothing, if it has.
pub(crate) struct Report {
    /// Disconnected once it is whole.
    end: Receiver<()>,
    text: Arc<Mutex<Vec<u8>>>,
}

impl Report {
    /// What there is of it: all, once [`Event::Launched`] has come; and of a process that has ended, which all comes at once from.
    pub(crate) fn take(&self) -> Vec<u8> {
        let _ = self.end.recv_timeout(LAST_REPORT);
        std::mem::take(&mut lock(&self.text))
    }
}

/// Start it, its output on the console: by pipes, which `/dev/stdout` can be opened through.
pub(crate) fn start(has_terminal: bool, desk: &Desk) -> io::Result<Launcher> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(launch::ROLE);
    begin(command, has_terminal, desk)
}

/// The same of any program.
pub(super) fn begin(mut command: Command, has_terminal: bool, desk: &Desk) -> io::Result<Launcher> {
    let (report, report_writer) = launch::report()?;
    command.stdin(report_writer);
    let pipes = if has_terminal { vec![] } else { connect(&mut command)? };
    // Waited for by number, as every child: see `power::reap`.
    let pid = Pid::from_child(&command.spawn()?);
    // With it go the writing ends of this process.
    drop(command);
    let (writing, output) = channel::<()>();
    for pipe in pipes {
        let (log, writing) = (desk.log.clone(), writing.clone());
        thread::spawn(move || {
            console::copy(pipe, &log);
            drop(writing);
        });
    }
    Ok(Launcher { pid, output, report: listen(report, pid, desk) })
}

fn connect(command: &mut Command) -> io::Result<Vec<OwnedFd>> {
    let (stdout, stdout_writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_writer) = pipe_with(PipeFlags::CLOEXEC)?;
    command.stdout(Stdio::from(stdout_writer)).stderr(Stdio::from(stderr_writer));
    Ok(vec![stdout, stderr])
}

/// Read the report to its end, and tell of it.
fn listen(report: OwnedFd, pid: Pid, desk: &Desk) -> Report {
    let (reading, end) = channel::<()>();
    let text = Arc::<Mutex<Vec<u8>>>::default();
    let (events, slot) = (desk.events.clone(), text.clone());
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all there is.
        let _ = File::from(report).take(REPORT_MAX).read_to_end(&mut bytes);
        *lock(&slot) = bytes;
        drop(reading);
        let _ = events.send(Event::Launched(pid));
    });
    Report { end, text }
}
