//! A microVM whose program this process starts by its agent, as `docker run` does in the foreground: it has an input, an output
//! and errors of its own, or this terminal, and signals go to it. The console is kept for when something is wrong.
//!
//! ```text
//! signals ───────┐
//! QEMU's end ────┤                      ┌─ the program's end
//! agent ▶ begun ─┼─▶ one loop of events ─┼─ the machine's end
//! its end ───────┘                      └─ the time is over
//! ```

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use agent::client::{Client, Session};
use agent::message::{Done, Exec, Request};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::{Handle, Signals};

use super::streams;
use super::{ALIVE, Accel, AccelChoice, Machine, Mode, exit_code};
use crate::base::child::end_with_this_process;
use crate::base::terminal::tell_line;
use crate::base::{Error, Result};
use crate::cli::run::share::{self, Daemon};
use crate::cli::run::watch::{self, Verdict};
use crate::cli::run::{Args, NOT_RUN, deadline};
use crate::machines::status::{self, End};
use crate::machines::tty::Raw;

/// How long a machine may take until its agent answers; if it ends before, that is heard at once.
const START: Duration = Duration::from_secs(600);
/// Between two looks for the agent's socket, which QEMU makes.
const LOOK: Duration = Duration::from_millis(5);
/// How long a machine may take to stop that has written something which stays.
const STOP: Duration = Duration::from_secs(20);
/// How long the last that is known of a machine may take to be heard.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Whoever asks a program so often to end wants the machine to.
const PLEADING: u32 = 3;
/// The lines of a console that are shown of a machine that has failed.
const SHOWN: usize = 20;
/// The code of what a signal has ended is this and its number.
const SIGNALLED: i32 = 128;

/// Runs it to the end of its program, by emulation if it turns out that KVM does not.
pub(super) fn run(machine: Machine, args: &Args, workspace: &Path) -> Result<ExitCode> {
    match start(&machine, args, workspace)? {
        Outcome::Ended(code) => Ok(code),
        Outcome::Useless(reason) => {
            let machine = Machine { accel: Accel::Tcg, ..machine };
            tell_line(format_args!("{reason}; booting it again with {}", machine.accel));
            match start(&machine, args, workspace)? {
                Outcome::Ended(code) => Ok(code),
                Outcome::Useless(reason) => Err(Error::user(reason)),
            }
        }
    }
}

/// What became of a start.
enum Outcome {
    Ended(ExitCode),
    /// KVM is of no use for this guest, whose program was not started.
    Useless(String),
}

/// What happens while the machine runs.
enum Event {
    Signal(i32),
    /// The program was asked for.
    Begun(Arc<Client>, Arc<Session>),
    /// It has ended, and all that it has printed is out.
    Ended(Done),
    /// Nobody answers.
    Silent,
    /// QEMU has ended.
    Gone(ExitStatus),
}

/// Runs QEMU once.
fn start(machine: &Machine, args: &Args, workspace: &Path) -> Result<Outcome> {
    let cannot = |error| machine.cannot_start(error);
    // Before there is anything that they would inherit.
    let mut daemons = share::start_all(&machine.shares)?;
    let (status_here, status_there) = UnixStream::pair().map_err(cannot)?;
    let status = format!("socket,fd={}", watch::inherit(&status_there).map_err(cannot)?);
    let mut command = machine.command(args, &status);
    let watched = match (args.accel, machine.accel) {
        (AccelChoice::Auto, Accel::Kvm) => {
            let (here, there) = UnixStream::pair().map_err(cannot)?;
            watch::hand_over(&mut command, &there).map_err(cannot)?;
            Some((here, there))
        }
        _ => {
            end_with_this_process(&mut command, Signal::TERM);
            None
        }
    };
    // What is typed is not for QEMU, and Ctrl-C neither.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    // Where QEMU has what it throws away.
    command.env("TMPDIR", workspace);
    let (events, inbox) = channel();
    let signals = Caught::begin(&events).map_err(cannot)?;
    let qemu = Qemu::start(command.spawn().map_err(cannot)?, &events).map_err(cannot)?;
    drop(status_there);
    let told = thread::spawn(move || status::read(status_here));
    let watch =
        watched.map(|(here, _)| thread::spawn(move || watch::watch(here, false, ALIVE, watch::PATIENCE)));
    ask(machine, args, &qemu, &events);
    let mut run = Run { inbox, asked: 0, client: None, session: None, terminal: None };
    let end = run.follow(args);
    drop((run.terminal.take(), signals));
    if let Some(client) = run.client.clone().filter(|_| keeps_something(machine) && qemu.is_there()) {
        run.stop(client);
    }
    qemu.end();
    drop(run);
    let told = told.join().ok().flatten();
    let verdict = watch.and_then(|watch| watch.join().ok());
    Ok(match end {
        Finish::Program(done) => Outcome::Ended(of_program(&done)),
        Finish::Interrupted(number) => Outcome::Ended(code(SIGNALLED + number)),
        Finish::TimeIsOver => Outcome::Ended(ExitCode::from(deadline::OVER)),
        // Whoever has told how it ended has lived.
        Finish::Machine(_) if told.is_some() => Outcome::Ended(exit_code(told)),
        Finish::Machine(status) => match (verdict, status) {
            (Some(Verdict::Failed(reason) | Verdict::Broken(reason)), _) => Outcome::Useless(reason),
            (Some(Verdict::Ended), Some(status)) if watch::has_crashed(status) => {
                Outcome::Useless(format!("QEMU ended with {status}"))
            }
            _ => Outcome::Ended(tell_failure(workspace, &mut daemons, told)),
        },
    })
}

/// How it came to its end.
enum Finish {
    Program(Done),
    Machine(Option<ExitStatus>),
    Interrupted(i32),
    TimeIsOver,
}

/// Has the agent start the program, as soon as there is one.
fn ask(machine: &Machine, args: &Args, qemu: &Qemu, events: &Sender<Event>) {
    let (program, socket) = (&args.program, machine.agent.clone().unwrap_or_default());
    let (is_interactive, has_terminal) = (program.interactive, program.tty);
    let (events, is_gone) = (events.clone(), qemu.is_gone.clone());
    thread::spawn(move || {
        let tty = has_terminal.then(streams::size);
        let done = connect(&socket, &is_gone).and_then(|client| {
            // Which program, whose and where, the machine was told.
            let session = client.open(&Request::Exec(Exec { tty, ..Exec::default() }))?;
            let (client, session) = (Arc::new(client), Arc::new(session));
            let _ = events.send(Event::Begun(client.clone(), session.clone()));
            let input = session.input();
            match (is_interactive, has_terminal) {
                (true, _) => drop(thread::spawn(move || pass_on(io::stdin(), input))),
                // The end of its input would be that of most programs at a terminal.
                (false, true) => std::mem::forget(input),
                (false, false) => drop(input),
            }
            Ok(attend(&session))
        });
        // Nobody may be there any more.
        let _ = events.send(done.map_or(Event::Silent, Event::Ended));
    });
}

/// The agent, once QEMU has a socket for it and it answers.
fn connect(socket: &Path, is_gone: &AtomicBool) -> io::Result<Client> {
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Client::over(stream, START),
            Err(error) if is_gone.load(Ordering::SeqCst) => return Err(error),
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// Prints what it prints, to its end. It is ended if that cannot be printed.
fn attend(session: &Session) -> Done {
    let print = |from, to: &mut (dyn Write + Send)| {
        if pass_on(from, to).is_err() {
            session.close();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| print(session.errors(), &mut io::stderr()));
        print(session.output(), &mut io::stdout());
    });
    session.wait()
}

/// Each piece at once: somebody may wait for it.
fn pass_on(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut piece = vec![0; 32 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                to.write_all(&piece[..length])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A machine that runs, and what is known of its program.
struct Run {
    inbox: Receiver<Event>,
    /// How often it was asked to end.
    asked: u32,
    client: Option<Arc<Client>>,
    session: Option<Arc<Session>>,
    terminal: Option<Raw>,
}

impl Run {
    /// Until something has ended.
    fn follow(&mut self, args: &Args) -> Finish {
        let end = args.timeout.map(|limit| Instant::now() + limit);
        let mut gone = None;
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            match self.next(left) {
                Some(Event::Signal(SIGWINCH)) => self.resize(args),
                Some(Event::Signal(number)) if self.is_over(number) => return Finish::Interrupted(number),
                Some(Event::Signal(_)) => {}
                Some(Event::Begun(client, session)) => {
                    (self.client, self.session) = (Some(client), Some(session));
                    self.terminal = self.enter_terminal(args);
                    // It may have changed since the program was asked for.
                    self.resize(args);
                }
                Some(Event::Ended(_)) if gone.is_some() => return Finish::Machine(gone),
                Some(Event::Ended(done)) => return self.end_of(done),
                Some(Event::Silent) => return Finish::Machine(gone.or_else(|| self.wait_for_end())),
                // What its program has printed last is still on its way.
                Some(Event::Gone(status)) if self.session.is_some() => gone = Some(status),
                Some(Event::Gone(status)) => return Finish::Machine(Some(status)),
                None => {
                    args.timeout.inspect(|limit| deadline::tell(*limit));
                    return Finish::TimeIsOver;
                }
            }
        }
    }

    /// `None`: nothing has happened in time.
    fn next(&self, left: Option<Duration>) -> Option<Event> {
        match left {
            Some(left) => self.inbox.recv_timeout(left).ok(),
            None => self.inbox.recv().ok(),
        }
    }

    /// Of a program whose machine ended under it nothing is known.
    fn end_of(&self, done: Done) -> Finish {
        match done.status == i32::from(NOT_RUN) && done.error.is_some() {
            true => match self.wait_for_end() {
                Some(status) => Finish::Machine(Some(status)),
                None => Finish::Program(done),
            },
            false => Finish::Program(done),
        }
    }

    fn wait_for_end(&self) -> Option<ExitStatus> {
        let end = Instant::now() + LAST_WORDS;
        loop {
            match self.inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Event::Gone(status)) => return Some(status),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Passes a signal on; true if there is nobody to pass it on to, or it was for long enough.
    fn is_over(&mut self, number: i32) -> bool {
        let Some(session) = &self.session else { return true };
        self.asked += u32::from([SIGINT, SIGTERM].contains(&number));
        self.asked >= PLEADING || session.signal(number).is_err()
    }

    fn resize(&self, args: &Args) {
        if let Some(session) = self.session.as_ref().filter(|_| args.program.tty) {
            // Without it the program goes on at the old size.
            let _ = session.resize(streams::size());
        }
    }

    fn enter_terminal(&self, args: &Args) -> Option<Raw> {
        if !args.program.tty || !args.program.interactive {
            return None;
        }
        Raw::enter()
    }

    /// Has the machine write all that it keeps, and end.
    fn stop(&self, client: Arc<Client>) {
        thread::spawn(move || client.stop());
        let end = Instant::now() + STOP;
        loop {
            match self.inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Event::Gone(_)) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

/// Whether what the machine writes is anywhere when it is gone.
fn keeps_something(machine: &Machine) -> bool {
    machine.shares.iter().any(|share| !share.read_only) || machine.mode == Mode::Attached { keeps_root: true }
}

/// QEMU, which is ended with this.
struct Qemu {
    process: OwnedFd,
    is_gone: Arc<AtomicBool>,
    waiting: Option<thread::JoinHandle<()>>,
}

impl Qemu {
    fn start(mut child: Child, events: &Sender<Event>) -> io::Result<Self> {
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).inspect_err(|_| {
            // Best effort: nothing could end it later.
            let _ = child.kill();
        })?;
        let (events, is_gone) = (events.clone(), Arc::<AtomicBool>::default());
        let seen = is_gone.clone();
        let waiting = thread::spawn(move || {
            let ended = child.wait();
            seen.store(true, Ordering::SeqCst);
            // Nobody may be there any more.
            let _ = ended.map(|status| events.send(Event::Gone(status)));
        });
        Ok(Self { process, is_gone, waiting: Some(waiting) })
    }

    fn is_there(&self) -> bool {
        !self.is_gone.load(Ordering::SeqCst)
    }

    /// As if its plug was pulled, if it has not ended.
    fn end(mut self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        let _ = self.waiting.take().map(thread::JoinHandle::join);
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

/// Signals become events until this is dropped.
struct Caught {
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Caught {
    fn begin(events: &Sender<Event>) -> io::Result<Self> {
        let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];
        let mut signals = Signals::new(all)?;
        let (handle, events) = (signals.handle(), events.clone());
        let thread = thread::Builder::new().spawn(move || {
            for number in signals.forever() {
                let _ = events.send(Event::Signal(number));
            }
        })?;
        Ok(Self { handle, thread: Some(thread) })
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        self.handle.close();
        // The thread does nothing that panics.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn of_program(done: &Done) -> ExitCode {
    if let Some(error) = &done.error {
        tell_line(format_args!("error: {error}"));
    }
    code(done.status)
}

fn code(status: i32) -> ExitCode {
    u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Says all that is known of a machine whose program was not heard of.
fn tell_failure(workspace: &Path, daemons: &mut [Daemon], told: Option<End>) -> ExitCode {
    for complaint in daemons.iter_mut().filter_map(Daemon::complaint) {
        tell_line(format_args!("virtiofsd: {complaint}"));
    }
    let console = fs::read(workspace.join("console")).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let lines: Vec<_> = console.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        tell_line(format_args!("console: {}", line.trim_end()));
    }
    exit_code(told)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &str) -> Args {
        Typed::parse_from(std::iter::once("run").chain(words.split_whitespace())).args
    }

    /// How a machine ends of which this is heard.
    fn follow(words: &str, heard: Vec<Event>) -> Finish {
        let (events, inbox) = channel();
        heard.into_iter().for_each(|event| events.send(event).unwrap());
        let mut run = Run { inbox, asked: 0, client: None, session: None, terminal: None };
        run.follow(&args(words))
    }

    fn status(code: i32) -> ExitStatus {
        std::os::unix::process::ExitStatusExt::from_raw(code << 8)
    }

    #[test]
    fn the_end_of_the_program_is_the_end() {
        let done = Done { status: 42, ..Done::default() };
        let end = follow("app", vec![Event::Signal(SIGWINCH), Event::Ended(done)]);
        assert!(matches!(end, Finish::Program(Done { status: 42, .. })));
        assert_eq!(of_program(&Done { status: 300, ..Done::default() }), ExitCode::FAILURE);
    }

    #[test]
    fn a_machine_that_ends_under_its_program_has_told_nothing() {
        assert!(matches!(follow("app", vec![Event::Gone(status(1))]), Finish::Machine(Some(_))));
        assert!(matches!(
            follow("app", vec![Event::Silent, Event::Gone(status(0))]),
            Finish::Machine(Some(_))
        ));
        let hung_up = || Event::Ended(Done::failed(125, "the machine has hung up"));
        assert!(matches!(follow("app", vec![hung_up(), Event::Gone(status(0))]), Finish::Machine(Some(_))));
        // What was not begun although the machine is there.
        assert!(matches!(follow("app", vec![hung_up()]), Finish::Program(Done { status: 125, .. })));
    }

    #[test]
    fn before_the_program_a_signal_ends_the_machine_and_time_does_at_any_moment() {
        assert!(matches!(follow("app", vec![Event::Signal(SIGINT)]), Finish::Interrupted(SIGINT)));
        let (_events, inbox) = channel();
        let mut run = Run { inbox, asked: 0, client: None, session: None, terminal: None };
        let soon = Args { timeout: Some(Duration::from_millis(1)), ..args("app") };
        assert!(matches!(run.follow(&soon), Finish::TimeIsOver));
    }

    /// A QEMU of the test's own: its end is heard, and it is ended.
    #[test]
    fn qemus_end_is_an_event() {
        let (events, inbox) = channel();
        let child = |line: &str| std::process::Command::new("sh").args(["-c", line]).spawn().unwrap();
        let qemu = Qemu::start(child("exit 3"), &events).unwrap();
        assert!(matches!(inbox.recv().unwrap(), Event::Gone(status) if status.code() == Some(3)));
        assert!(qemu.is_gone.load(Ordering::SeqCst));
        qemu.end();
        Qemu::start(child("sleep 60"), &events).unwrap().end();
        assert!(matches!(inbox.recv().unwrap(), Event::Gone(status) if status.code().is_none()));
    }
}
