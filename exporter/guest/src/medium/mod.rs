//! `vmimage-medium`: the first process of the initramfs of a medium, from which a machine runs a system, installs it, or
//! rescues one.
//!
//! ```text
//! kernel ─▶ proc, sys, dev ▶ modules for the devices ▶ the medium: a disc, or a folder of a web server
//!                                                        │
//!             live: its root under an overlay of memory ◀┼▶ install: the installer, a process of its own
//!                   ▶ the root's init takes its place    └▶ rescue: an installed root ▶ a shell in it on every console
//! ```
//!
//! What goes wrong is one line on every console, and what can be done about it.

mod checked;
mod console;
mod disc;
mod disks;
mod fstab;
pub(crate) mod install;
mod lazy;
mod live;
mod loop_device;
mod manifest;
mod memory;
mod network;
mod open;
mod progress;
mod rescue;
#[cfg(test)]
mod testing;
mod words;

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Read;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::init::console as system_console;
use crate::init::devices::Devices;
use crate::init::initramfs::PROGRAM;
use crate::init::modules::{self, Modules};
use crate::init::mounts;
use crate::init::shutdown;
use crate::init::supervise::Action;
use crate::init::words::Words as Kernels;
use crate::update::source::Source;
use console::Consoles;
use manifest::Manifest;
use words::{Mode, Words};

/// The argument that asks for the installer.
const INSTALL: &str = "install";
/// No device for so long, and all are taken to be there. A stick's own pause is a second (`usb_storage.delay_use`).
const QUIET: Duration = Duration::from_secs(3);
/// Devices that come and go keep nobody waiting.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// How the installer ends that wants the machine off, or a shell in what it has installed.
const POWER_OFF: u8 = 10;
const SHELL: u8 = 11;

/// What the machine does when the installer is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Restart,
    PowerOff,
    /// The rescue of what was installed.
    Shell,
}

/// A medium that was found.
pub(crate) struct Medium {
    pub(crate) manifest: Manifest,
    files: Box<dyn Source>,
    /// The disk that it is on, which is no target; `None`: it came over the network.
    pub(crate) disk: Option<PathBuf>,
}

impl Medium {
    /// The bytes of `range` of one of its files, in order: exactly that many, or an error. What the network cuts is resumed.
    pub(crate) fn open(&mut self, file: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        self.files.open(file, range)
    }

    /// All of a small file of it; `None` where there is none, more than `max` bytes are an error.
    pub(crate) fn small(&mut self, file: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        self.files.small(file, max)
    }
}

/// What the first process works with.
struct Host {
    consoles: Consoles,
    devices: Devices,
    modules: Modules,
    /// The kernel's own, for the system that takes over.
    modprobe: String,
}

impl Host {
    /// With modules for the devices that are there, and this program for those that the kernel wants by itself.
    fn start() -> Self {
        mounts::needed_first();
        mounts::needed("/sys");
        system_console::open();
        let modprobe = modules::replace_modprobe(PROGRAM);
        let mut host = Self { modprobe, ..Self::more() };
        host.modules.load_asked();
        host.devices.load(&mut host.modules);
        follow();
        // A screen may have come with its driver.
        host.consoles = Consoles::open();
        host
    }

    /// Another one, for a thread.
    fn more() -> Self {
        let (devices, modules) = (Devices::listen(), Modules::read());
        Self { consoles: Consoles::open(), devices, modules, modprobe: String::new() }
    }

    /// Load what the next device wants that comes within `patience`; whether one has come.
    fn settle(&mut self, patience: Duration) -> bool {
        let device = self.devices.next(patience);
        let has_come = device.is_some();
        if let Some(alias) = device.and_then(|device| device.modalias) {
            self.modules.load(&alias);
        }
        has_come
    }

    /// Until no device has come for a while: a stick is there seconds after the controller that it is plugged into.
    fn settle_all(&mut self) {
        let start = Instant::now();
        while start.elapsed() < LONGEST_WAIT && self.settle(QUIET) {}
    }
}

/// Load what devices want that come later, whatever else is done: a keyboard is plugged in where a question is read.
fn follow() {
    let (devices, mut modules) = (Devices::listen(), Modules::read());
    devices.load(&mut modules);
    devices.follow(move |device| device.modalias.iter().for_each(|alias| modules.load(alias)));
}

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if std::process::id() == 1 {
        return run(&arguments);
    }
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    match &words[..] {
        [INSTALL] => run_installer(),
        [rescue::shell::ROLE, console] => rescue::shell::run(Path::new(console)),
        [lazy::ROLE, ..] => lazy::run(arguments.get(1..).unwrap_or_default()),
        // The kernel's own words: `modprobe -q -- NAME`.
        ["-q", "--", name] => modules::probe(name),
        _ => {
            eprintln!("vmimage: the first process of a medium; started by the kernel only");
            ExitCode::FAILURE
        }
    }
}

/// As process 1. Returns only if the kernel does not restart the machine.
fn run(arguments: &[OsString]) -> ExitCode {
    let mut host = Host::start();
    let kernels = Kernels::read();
    let action = match boot(&kernels, &mut host, arguments) {
        Ok(action) => action,
        Err(error) => give_up(&error, &kernels, &host.consoles),
    };
    shutdown::end(action, &kernels);
    ExitCode::FAILURE
}

/// Every step, in its order. Returns what the machine does then.
fn boot(kernels: &Kernels, host: &mut Host, arguments: &[OsString]) -> Result<Action, String> {
    let words = Words::parse(kernels)?;
    let reached = open::reach(&words, kernels, host);
    let medium = reached.and_then(|online| Ok((open::open(&words, open::TRIES)?, online)));
    let (mut medium, online) = match (words.mode, medium) {
        // A rescue needs nothing of the medium.
        (Mode::Rescue, Err(error)) => {
            host.consoles.say(error);
            return rescue(None, kernels, host);
        }
        (_, medium) => medium?,
    };
    match words.mode {
        Mode::Live => live::start(medium, &words, online.as_ref(), host, arguments).map(never),
        Mode::Rescue => rescue(Some(&mut medium), kernels, host),
        Mode::Install => install(&mut medium, kernels, host),
    }
}

fn never(nothing: Infallible) -> Action {
    match nothing {}
}

fn rescue(medium: Option<&mut Medium>, kernels: &Kernels, host: &mut Host) -> Result<Action, String> {
    rescue::run(medium, kernels, host).map(|()| Action::Restart)
}

/// The installer, as a process of its own: if it fails, somebody may try again or look, but where the machine is told not to wait.
fn install(medium: &mut Medium, kernels: &Kernels, host: &mut Host) -> Result<Action, String> {
    loop {
        // The disk that is meant and the stick that says so may still be on their way.
        host.settle_all();
        let ended = Command::new("/proc/self/exe").arg(INSTALL).status();
        let error = match outcome(ended.map_err(|error| format!("the installer cannot be started: {error}"))?)
        {
            Ok(After::Restart) => return Ok(Action::Restart),
            Ok(After::PowerOff) => return Ok(Action::PowerOff),
            Ok(After::Shell) => return rescue(Some(medium), kernels, host),
            Err(error) => error,
        };
        if seconds(kernels).is_some() {
            return Err(error);
        }
        host.consoles.say(error);
        match next(|question| host.consoles.ask(question))? {
            Next::Again => {}
            Next::Shell => return rescue(Some(medium), kernels, host),
            Next::Restart => return Ok(Action::Restart),
        }
    }
}

/// What is done when the machine is not installed.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Again,
    Shell,
    Restart,
}

/// What somebody says, who is asked until it is one of these: a stray key on a serial line overwrites no disk.
fn next(mut ask: impl FnMut(&str) -> Result<String, String>) -> Result<Next, String> {
    loop {
        match &*ask("again (a), a shell in an installed system (s), or a restart (r)?")? {
            "a" => return Ok(Next::Again),
            "s" => return Ok(Next::Shell),
            "r" => return Ok(Next::Restart),
            _ => {}
        }
    }
}

/// What the end of the installer means.
fn outcome(status: ExitStatus) -> Result<After, String> {
    match (status.code().and_then(|code| u8::try_from(code).ok()), status.signal()) {
        (Some(0), _) => Ok(After::Restart),
        (Some(POWER_OFF), _) => Ok(After::PowerOff),
        (Some(SHELL), _) => Ok(After::Shell),
        (_, Some(signal)) => {
            Err(format!("the installer has crashed (signal {signal}): what it was writing is not whole"))
        }
        _ => Err("the machine is not installed".to_owned()),
    }
}

/// As the installer.
fn run_installer() -> ExitCode {
    let consoles = Consoles::open();
    match Words::parse(&Kernels::read()).and_then(|words| start_installer(&words, &consoles)) {
        Ok(After::Restart) => ExitCode::SUCCESS,
        Ok(After::PowerOff) => POWER_OFF.into(),
        Ok(After::Shell) => SHELL.into(),
        Err(error) => {
            consoles.say(error);
            ExitCode::FAILURE
        }
    }
}

fn start_installer(words: &Words, consoles: &Consoles) -> Result<After, String> {
    if words.installs_from_afar() {
        open::require_network(words, &Kernels::read())?;
    }
    install::run(&mut open::open(words, 1)?, words, consoles)
}

/// Say what is wrong, and wait for somebody who has read it; a machine that is told how long (`panic=`) waits no longer.
fn give_up(error: &str, kernels: &Kernels, consoles: &Consoles) -> Action {
    consoles.say(error);
    match seconds(kernels) {
        Some(seconds) => {
            consoles.say(format_args!("it restarts in {seconds} seconds (panic=)"));
            thread::sleep(Duration::from_secs(seconds));
        }
        None => drop(consoles.ask("Enter restarts the machine:").inspect_err(|_| park())),
    }
    Action::Restart
}

/// `panic=` of the kernel: 0 is for ever, and less at once.
fn seconds(kernels: &Kernels) -> Option<u64> {
    let value: i64 = kernels.value("panic")?.parse().ok()?;
    (value != 0).then(|| u64::try_from(value).unwrap_or_default())
}

/// Where nobody can answer, what was said stays to be read.
fn park() {
    loop {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_installer_is_told_from_its_crash() {
        let ended = |wait: i32| outcome(ExitStatus::from_raw(wait));
        assert_eq!(ended(0), Ok(After::Restart));
        assert_eq!(ended(i32::from(POWER_OFF) << 8), Ok(After::PowerOff));
        assert_eq!(ended(i32::from(SHELL) << 8), Ok(After::Shell));
        assert!(ended(1 << 8).unwrap_err().contains("not installed"));
        assert!(ended(6).unwrap_err().contains("crashed (signal 6)"));
    }

    #[test]
    fn a_stray_answer_is_none() {
        let said = |answers: &[&str]| {
            let mut answers = answers.iter();
            let found =
                next(|_| answers.next().map(|answer| (*answer).to_owned()).ok_or("nobody".to_owned()));
            (found, answers.len())
        };
        assert_eq!(said(&["", "A", "yes", "s", "a"]), (Ok(Next::Shell), 1));
        assert_eq!(said(&["a"]).0, Ok(Next::Again));
        assert_eq!(said(&["r"]).0, Ok(Next::Restart));
        assert_eq!(said(&["x"]).0, Err("nobody".to_owned()));
    }

    #[test]
    fn a_machine_waits_for_somebody_unless_it_is_told_how_long() {
        let waits = |line: &str| seconds(&Kernels::parse(line));
        assert_eq!((waits("panic=30"), waits("panic=-1")), (Some(30), Some(0)));
        assert_eq!((waits("quiet"), waits("panic=0"), waits("panic=x")), (None, None, None));
    }
}
