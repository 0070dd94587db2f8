//! The keeper: the process that a machine runs under. It holds the lock, keeps what comes from the machine, and says in the
//! end how it was. QEMU does not outlive it, however it ends.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use exporter::hint::Spelling;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::log::Log;
use super::qmp::Qmp;
use super::relay::Relay;
use super::tty::Raw;
use super::{
    AGENT_SOCKET, CONSOLE_SOCKET, End, KEEPER, Lock, Machine, MachineKind, QMP_SOCKET, Record, STATUS_SOCKET,
    console, now, status, tail,
};
use crate::base::child::{end_with_this_process, exit_code};
use crate::base::interrupt::Interrupt;
use crate::base::{Error, Result, terminal};

/// How long QEMU may take until it answers: it reads what it was told, and opens its files.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// The exit code where a machine that has to tell one has told none.
const NOT_TOLD: u8 = 125;
/// Bytes of what a keeper says to who has started it.
const ANSWER_MAX: u64 = 64 << 10;

/// Whether the console is this process's terminal, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Terminal,
    None,
}

/// What a keeper says when the machine is there, or why it is not.
#[derive(Default, Serialize, Deserialize)]
struct Answer {
    error: Option<String>,
    hint: Option<String>,
}

/// Starts a machine under a keeper of its own, which goes on when this process has ended.
///
/// # Errors
/// Why the machine does not run.
pub(crate) fn start(machine: &Machine) -> Result<()> {
    let cannot = |error| Error::internal("a process for the machine: cannot be started").because(error);
    let mut command = Command::new("/proc/self/exe");
    command.arg(KEEPER).arg(machine.folder()).current_dir(machine.folder());
    let mut keeper =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(cannot)?;
    let mut line = String::new();
    if let Some(stdout) = keeper.stdout.take() {
        BufReader::new(stdout.take(ANSWER_MAX)).read_line(&mut line).map_err(cannot)?;
    }
    let Ok(Answer { error, hint }) = serde_json::from_str(&line) else {
        return Err(Error::internal(format!("{}: its keeper ended without a word", machine.name())));
    };
    let Some(error) = error else { return Ok(()) };
    let _ = keeper.wait();
    let error = Error::user(error);
    Err(match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

/// Is the keeper of the machine in a folder, until that has ended.
pub(crate) fn keep(folder: &Path, spelling: Spelling) -> ExitCode {
    // The terminal and the group of who has started it are not its own.
    let _ = rustix::process::setsid();
    let answer = |answer: &Answer| drop(terminal::print_json_line(answer));
    let attended = Machine::in_folder(folder).and_then(|machine| {
        let lock = machine.lock()?;
        attend(&machine, &lock, Front::None, || answer(&Answer::default()))
    });
    match attended {
        Ok(end) => ExitCode::from(end.status),
        Err(error) => {
            let hint = error.hint().map(|hint| hint.spelled(spelling));
            answer(&Answer { error: Some(error.to_string()), hint });
            ExitCode::FAILURE
        }
    }
}

/// Runs a machine to its end, with `ready` as soon as it is there; how it ended.
///
/// # Errors
/// If it does not come to run.
pub(crate) fn attend(machine: &Machine, _lock: &Lock, front: Front, ready: impl FnOnce()) -> Result<End> {
    let mut record = machine.record()?;
    record.check_bases()?;
    record.started = Some(now());
    record.ended = None;
    machine.keep(&record)?;
    let ended = run(machine, &record, front, ready);
    let end = match &ended {
        Ok(end) => end.clone(),
        Err(error) => End { at: now(), status: NOT_TOLD, error: Some(error.to_string()) },
    };
    record.ended = Some(end);
    machine.keep(&record)?;
    ended
}

/// Runs its QEMU once.
fn run(machine: &Machine, record: &Record, front: Front, ready: impl FnOnce()) -> Result<End> {
    let cannot = |error| Error::user(format!("{}: cannot be started", machine.name())).because(error);
    let sockets = Sockets::listen(machine).map_err(cannot)?;
    let mut command = qemu(machine, record)?;
    let interrupt = Interrupt::catch().map_err(cannot)?;
    let mut running = interrupt.start(&mut command).map_err(|error| no_qemu(&command, error))?;
    let said = running.stderr();
    let last_words = thread::spawn(move || said.and_then(tail::last_line));
    let threads = sockets.attend(machine, front).map_err(cannot)?;
    let is_there = wait_for_qemu(machine, &last_words);
    if is_there {
        ready();
    }
    let exit = running.wait().map_err(cannot)?;
    interrupt.finish();
    let told = threads.join(machine);
    // The threads do nothing that panics.
    let last_words = last_words.join().ok().flatten();
    match told {
        Some(told) => Ok(End { at: now(), status: told.status, error: told.error }),
        None if !is_there && !exit.success() => Err(refused(machine, exit, last_words)),
        None => Ok(untold(record.kind, exit, last_words)),
    }
}

/// Its end where the machine itself has told none.
fn untold(kind: MachineKind, exit: ExitStatus, last_words: Option<String>) -> End {
    match kind {
        MachineKind::Disk => {
            End { at: now(), status: exit_code(exit), error: last_words.filter(|_| !exit.success()) }
        }
        MachineKind::Microvm if exit_code(exit) > 128 => {
            End { at: now(), status: exit_code(exit), error: None }
        }
        MachineKind::Microvm => {
            let error = "the machine ended without an exit status of its program".to_owned();
            End { at: now(), status: NOT_TOLD, error: Some(error) }
        }
    }
}

/// That QEMU does not run the machine, and why.
fn refused(machine: &Machine, exit: ExitStatus, last_words: Option<String>) -> Error {
    let words = last_words.unwrap_or_else(|| format!("ended with {exit}"));
    let words = words
        .split_once(": ")
        .filter(|(program, _)| program.contains("qemu"))
        .map_or(&*words, |(_, why)| why);
    let error = Error::user(format!("{}: QEMU: {words}", machine.name()));
    match words.contains("host forwarding rule") {
        true => error.with_hint("the port may be in use: choose another one of this host with -p"),
        false => error,
    }
}

fn no_qemu(command: &Command, error: io::Error) -> Error {
    let program = command.get_program().to_string_lossy();
    Error::user(format!("{program}: cannot be started")).because(error).with_hint(
        "it is QEMU as it was found when the machine was made: install it again, or make a new machine",
    )
}

/// QEMU as the record has it, which ends with this process.
fn qemu(machine: &Machine, record: &Record) -> Result<Command> {
    let mut words = record.command.iter().map(|word| &word.0);
    let program = words.next();
    let program =
        program.ok_or_else(|| Error::user(format!("{}: has no command line of QEMU", machine.name())))?;
    let mut command = Command::new(program);
    command.args(words).current_dir(machine.folder());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    end_with_this_process(&mut command, Signal::KILL);
    Ok(command)
}

/// Waits until QEMU answers; false if it has ended, or says nothing.
fn wait_for_qemu(machine: &Machine, last_words: &JoinHandle<Option<String>>) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && !last_words.is_finished() {
        if machine.connect(QMP_SOCKET).and_then(Qmp::connect).is_ok() {
            return true;
        }
        thread::sleep(PAUSE);
    }
    false
}

/// Where QEMU connects to, and clients of the agent.
struct Sockets {
    console: UnixListener,
    status: UnixListener,
    agent: UnixListener,
}

/// What goes on while the machine runs.
struct Threads {
    console: JoinHandle<()>,
    status: JoinHandle<Option<status::End>>,
    _raw: Option<Raw>,
}

impl Sockets {
    fn listen(machine: &Machine) -> io::Result<Self> {
        let [console, status, agent] =
            [CONSOLE_SOCKET, STATUS_SOCKET, AGENT_SOCKET].map(|name| machine.listen(name));
        Ok(Self { console: console?, status: status?, agent: agent? })
    }

    fn attend(self, machine: &Machine, front: Front) -> io::Result<Threads> {
        let Self { console: listener, status, agent } = self;
        let log = Log::open(machine)?;
        let is_front = front == Front::Terminal;
        let keys = is_front.then(|| machine.clone());
        let raw = is_front.then(Raw::enter).flatten();
        let is_raw = raw.is_some();
        let console = thread::spawn(move || {
            let Ok((stream, _)) = listener.accept() else { return };
            if let (Some(machine), Ok(stream)) = (keys, stream.try_clone()) {
                thread::spawn(move || console::type_into(stream, &machine, is_raw));
            }
            console::keep(stream, log, is_front);
        });
        let status = thread::spawn(move || status::read(status.accept().ok()?.0));
        let relay = Relay::new(machine.clone());
        thread::spawn(move || relay.serve(&agent));
        Ok(Threads { console, status, _raw: raw })
    }
}

impl Threads {
    /// Once QEMU has ended; what the machine has told of its program's end.
    fn join(self, machine: &Machine) -> Option<status::End> {
        // A QEMU that ended too early has not connected: nobody would come any more.
        for name in [CONSOLE_SOCKET, STATUS_SOCKET] {
            drop(machine.connect(name));
        }
        let _ = self.console.join();
        self.status.join().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_qemus_last_line() {
        use std::os::unix::process::ExitStatusExt;
        let machine = Machine::in_folder(Path::new("/machines/web")).unwrap();
        let exit = ExitStatus::from_raw(1 << 8);
        let rule = "qemu-system-x86_64: -netdev user,id=net: Could not set up host forwarding rule 'tcp:127.0.0.1:80-:80'";
        let error = refused(&machine, exit, Some(rule.into()));
        assert_eq!(
            error.to_string(),
            "web: QEMU: -netdev user,id=net: Could not set up host forwarding rule 'tcp:127.0.0.1:80-:80'"
        );
        assert!(error.hint().is_some());
        let error = refused(&machine, exit, None);
        assert!(error.to_string().starts_with("web: QEMU: ended with exit status: 1"), "{error}");
    }

    #[test]
    fn a_microvm_has_to_tell_its_end_and_a_disk_has_not() {
        use std::os::unix::process::ExitStatusExt;
        let [well, ill, killed] = [0, 1 << 8, 9].map(ExitStatus::from_raw);
        let status = |kind, exit| untold(kind, exit, Some("words".into())).status;
        assert_eq!(
            (
                status(MachineKind::Disk, well),
                status(MachineKind::Disk, ill),
                status(MachineKind::Disk, killed)
            ),
            (0, 1, 137)
        );
        assert_eq!((status(MachineKind::Microvm, well), status(MachineKind::Microvm, killed)), (125, 137));
        assert_eq!(untold(MachineKind::Disk, well, Some("a warning".into())).error, None);
        assert_eq!(untold(MachineKind::Disk, ill, Some("why".into())).error.as_deref(), Some("why"));
    }
}
