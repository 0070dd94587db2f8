//! Programs of the host's: started, fed, listened to, and ended when nobody wants them any more.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use agent::channel::{Channel, ERRORS, INPUT, OUTPUT, Outlet, Source, lock};
use agent::message::{Control, Done, Exec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use super::{EXEC, terminal};
use crate::init::ending::Ending;

/// The variable that tells the process what it becomes. Nobody else reads it, and the program does not get it.
pub(super) const VARIABLE: &str = "VMIMAGE_EXEC";
/// How long a program may go on when its host has hung up.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// What may come out of a pipe or terminal when its program has ended: what was in it, and what a program that was left
/// behind adds meanwhile.
const REST_MAX: usize = 1 << 20;
/// How long what was written to a terminal takes to come out of it.
const TERMINAL_REST: Duration = Duration::from_millis(50);
/// What ends the input of a terminal: Ctrl-D.
const END_OF_INPUT: &[u8] = &[4];
const BUFFER_LEN: usize = 32 << 10;

/// A program that was started.
pub(super) struct Program {
    child: Child,
    running: Arc<Running>,
    input: File,
    output: File,
    /// A terminal has none.
    errors: Option<File>,
}

/// Its process, for those who do something to it.
pub(super) struct Running {
    process: OwnedFd,
    group: Pid,
    terminal: Option<OwnedFd>,
    /// Waited for: the number may be another one's.
    is_gone: Mutex<bool>,
}

impl Program {
    pub(super) fn start(exec: &Exec) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(EXEC).env_clear().env(VARIABLE, serde_json::to_string(exec)?);
        let mut terminal = None;
        let (input, output, errors) = match exec.tty {
            Some(size) => {
                let (ours, theirs) = terminal::open(size)?;
                command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
                terminal = Some(ours.try_clone()?);
                (ours.try_clone()?, ours, None)
            }
            None => {
                let pipes = [pipe()?, pipe()?, pipe()?];
                let [(theirs, input), (output, out), (errors, err)] = pipes;
                command.stdin(theirs).stdout(out).stderr(err);
                (input, output, Some(errors))
            }
        };
        fcntl_setfl(&input, OFlags::NONBLOCK)?;
        let mut child = command.spawn()?;
        // With it go the program's ends.
        drop(command);
        let group = Pid::from_child(&child);
        let process = pidfd_open(group, PidfdFlags::empty()).inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        let running = Arc::new(Running { process, group, terminal, is_gone: Mutex::new(false) });
        let [input, output] = [input, output].map(File::from);
        Ok(Self { child, running, input, output, errors: errors.map(File::from) })
    }

    pub(super) fn running(&self) -> Arc<Running> {
        self.running.clone()
    }

    /// Until it has ended, and what it has printed was sent.
    pub(super) fn attend(self, channel: &Arc<Channel>) -> Done {
        let Self { mut child, running, input, output, errors } = self;
        thread::scope(|scope| {
            scope.spawn(|| feed(channel, input, &running));
            scope.spawn(|| errors.map(|errors| drain(errors, Outlet::new(channel, ERRORS), &running)));
            drain(output, Outlet::new(channel, OUTPUT), &running);
            running.wait();
            channel.ignore(INPUT);
        });
        let mut is_gone = lock(&running.is_gone);
        *is_gone = true;
        match child.wait() {
            Ok(status) => Ending::of_exit(status).done(),
            Err(error) => Done::failed(125, error.to_string()),
        }
    }
}

/// The reading and the writing end.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

impl Running {
    pub(super) fn control(&self, control: Control) {
        match (control, &self.terminal) {
            (Control::Resize(size), Some(terminal)) => drop(terminal::resize(terminal, size)),
            (Control::Resize(_), None) => {}
            (Control::Signal(number), _) => {
                if let Some(signal) = Signal::from_named_raw(number) {
                    let _ = pidfd_send_signal(&self.process, signal);
                }
            }
        }
    }

    /// Ask it to end, with all that it has started, and make it.
    pub(super) fn hang_up(self: &Arc<Self>) {
        self.end(Signal::HUP);
        let running = self.clone();
        thread::spawn(move || {
            if !running.has_ended(GRACE) {
                running.end(Signal::KILL);
            }
        });
    }

    fn end(&self, signal: Signal) {
        let is_gone = lock(&self.is_gone);
        if !*is_gone {
            // Before it is the first of a group, there is nobody else.
            let _ = pidfd_send_signal(&self.process, signal);
            let _ = kill_process_group(self.group, signal);
        }
    }

    fn has_ended(&self, patience: Duration) -> bool {
        let patience = Timespec::try_from(patience).ok();
        poll(&mut [PollFd::new(&self.process, PollFlags::IN)], patience.as_ref()) == Ok(1)
    }

    fn wait(&self) {
        while !self.has_ended(Duration::from_secs(3600)) {}
    }

    /// Wait until something can be done with a stream, or the program has ended.
    fn wait_for(&self, stream: &File, what: PollFlags) -> Ready {
        let mut both = [PollFd::new(stream, what), PollFd::new(&self.process, PollFlags::IN)];
        let _ = poll(&mut both, None);
        Ready { stream: !both[0].revents().is_empty(), end: !both[1].revents().is_empty() }
    }
}

struct Ready {
    stream: bool,
    end: bool,
}

/// Write the channel's input to the program until either ends. Then nobody reads it any more.
fn feed(channel: &Arc<Channel>, mut input: File, running: &Running) {
    let mut source = Source::new(channel, INPUT);
    let mut buffer = vec![0; BUFFER_LEN];
    while let Ok(len) = source.read(&mut buffer) {
        let bytes = match len {
            0 if running.terminal.is_some() => END_OF_INPUT,
            _ => buffer.get(..len).unwrap_or_default(),
        };
        if write(&mut input, bytes, running).is_err() {
            return channel.ignore(INPUT);
        }
        if len == 0 {
            return;
        }
    }
}

fn write(input: &mut File, mut bytes: &[u8], running: &Running) -> io::Result<()> {
    while !bytes.is_empty() {
        match input.write(bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if running.wait_for(input, PollFlags::OUT).end {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Send what the program prints, until nobody can print any more, or the program has ended and what was left is sent.
fn drain(mut output: File, mut outlet: Outlet, running: &Running) {
    let mut buffer = vec![0; BUFFER_LEN];
    let mut rest = REST_MAX;
    while rest > 0 {
        let ready = running.wait_for(&output, PollFlags::IN);
        if !ready.stream && ready.end && !has_more(&output, running) {
            return;
        }
        match output.read(&mut buffer) {
            // A terminal that no program has open any more is an error, EIO.
            Ok(0) => return,
            Ok(len) => {
                let bytes = buffer.get(..len).unwrap_or_default();
                if outlet.write_all(bytes).is_err() {
                    return;
                }
                rest -= if ready.end { len.min(rest) } else { 0 };
            }
            Err(error) if [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock].contains(&error.kind()) => {
            }
            Err(_) => return,
        }
    }
}

/// Whether something comes out of the stream of a program that has ended.
fn has_more(output: &File, running: &Running) -> bool {
    let patience = if running.terminal.is_some() { TERMINAL_REST } else { Duration::ZERO };
    let patience = Timespec::try_from(patience).ok();
    poll(&mut [PollFd::new(&output.as_fd(), PollFlags::IN)], patience.as_ref()) == Ok(1)
}
