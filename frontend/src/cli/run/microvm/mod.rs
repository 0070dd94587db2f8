//! A microVM in QEMU: the folder of a build becomes a command line, and the end of the image's program this program's
//! exit code.
//!
//! Its program has the machine's console, or it is started by the [agent](attached), with an input and an output of its own.

mod attached;
mod clock;
mod command;
mod description;
mod streams;

use std::io::IsTerminal;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::ValueEnum;
use exporter::container::Format;
use exporter::spec::Architecture;
use rustix::process::Signal;

use super::accel::{Accel, AccelChoice};
use super::deadline::{self, Deadline};
use super::network::Network;
use super::share::{self, Share, Virtiofsd};
use super::watch::{self, Ended};
use super::{Args, NOT_RUN, find_qemu, qemu, stays, workspace};
use crate::base::temporary::Folder;
use crate::base::terminal::{self, tell_line};
use crate::base::{Error, Result, child, shell};
use crate::machines::{self, disk, status};
use description::Drive;
pub(super) use description::{At, Microvm};

/// What the guest has read of its disks when it is alive: its kernel comes from this host, so the first sector of a root is
/// enough.
const ALIVE: u64 = 1;

/// What the machine is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Board {
    /// A PC of today, with no more than what the microVM needs
    #[value(name = "q35")]
    Q35,
    /// QEMU's own for microVMs, without PCI; its devices are told by ACPI
    #[value(name = "microvm")]
    Microvm,
    /// The same with devices told on the kernel's command line, for kernels that can do that
    #[value(name = "microvm,acpi=off")]
    MicrovmWithoutAcpi,
    /// QEMU's own for arm64
    #[value(name = "virt")]
    Virt,
}

impl Board {
    /// As vm.json and the command line call it.
    fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Microvm => "microvm",
            Self::MicrovmWithoutAcpi => "microvm,acpi=off",
            Self::Virt => "virt",
        }
    }

    /// The first that the architecture has.
    fn usual(arch: Architecture) -> Self {
        match arch {
            Architecture::X86_64 => Self::Q35,
            Architecture::Aarch64 => Self::Virt,
        }
    }
}

/// Boots the microVM in a folder.
///
/// # Errors
/// If the folder is not what a build makes, or a flag asks for what is not there.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    check_socket(args)?;
    let microvm = Microvm::read(&args.source)?;
    let is_attached = args.program.interactive || args.program.tty;
    if is_attached && args.agent.is_some() {
        return Err(Error::user(
            "--agent: with --interactive or --tty, it is this program that the agent serves",
        )
        .with_hint("leave one of them out"));
    }
    if stays::is_asked(args) {
        stays::refuse_what_is_thrown_away(args)?;
        return stays::run(args, stay(args, microvm)?);
    }
    let needs_workspace = is_attached || !args.program.volume.is_empty();
    // Where nobody asks for it, nothing is made.
    let told = args.program.told(&args.command, &[], false)?;
    let workspace = (needs_workspace || !told.is_empty()).then(workspace).transpose()?;
    let keeps_root = !args.snapshot && microvm.is_written();
    let mode = if is_attached { Mode::Attached { keeps_root } } else { Mode::Console };
    boot(args, microvm, workspace.as_ref(), mode)
}

/// How this process and the program of a machine are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The program has the console, and that is in this terminal.
    Console,
    /// The agent starts it, with this process's input and output.
    Attached {
        /// What the machine writes to its root stays.
        keeps_root: bool,
    },
}

/// Finds out what would fail when a machine for `arch` is made, before it is.
///
/// # Errors
/// If a flag asks for what is not there.
pub(super) fn check(args: &Args, arch: Architecture, workspace: &Path) -> Result<()> {
    streams::require_terminal(&args.program)?;
    find_qemu(args, arch)?;
    Network::of(args)?;
    let shares = share::plan(&args.program.volume, Virtiofsd::find().as_ref(), workspace)?;
    args.program.told(&args.command, &shares, true)?.drive().map(drop)
}

/// Boots a microVM. What it needs while it runs is in `workspace`.
///
/// # Errors
/// If a flag asks for what is not there, or QEMU cannot be started.
pub(super) fn boot(
    args: &Args,
    microvm: Microvm,
    workspace: Option<&Folder>,
    mode: Mode,
) -> Result<ExitCode> {
    if mode != Mode::Console {
        streams::require_terminal(&args.program)?;
    }
    let machine = Machine::new(args, microvm, workspace.map(Folder::path), mode)?;
    if args.dry_run {
        // What would be told to this program is shown to whoever runs the command.
        let command = machine.command(args, "file,path=/dev/stderr");
        terminal::print_line(shell::show(&command))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Machine { microvm, board, accel, .. } = &machine;
    tell_line(format_args!("booting {} as {}, {accel}", args.source.display(), board.name()));
    tell_emulation(microvm.architecture);
    match workspace.filter(|_| mode != Mode::Console) {
        Some(workspace) => attached::run(machine, args, workspace.path()),
        None => {
            if std::io::stdin().is_terminal() {
                tell_line("leave the console with Ctrl-A X");
            }
            let deadline = Deadline::start(args.timeout);
            let ended = machine.boot(args)?;
            Ok(if deadline.is_over() { ExitCode::from(deadline::OVER) } else { ended })
        }
    }
}

/// A microVM that stays, with its files where they are.
///
/// # Errors
/// If a flag asks for what is not there, or a file cannot be read.
pub(super) fn stay(args: &Args, microvm: Microvm) -> Result<stays::Made> {
    tell_emulation(microvm.architecture);
    Machine::new(args, microvm, None, Mode::Console)?.stay(args)
}

fn tell_emulation(guest: Architecture) {
    if !qemu::is_native(guest) {
        let host = std::env::consts::ARCH;
        tell_line(format_args!("it is for {guest}, which this host emulates: it is {host}"));
    }
}

/// QEMU takes away what is in the place of its socket, whatever that is.
fn check_socket(args: &Args) -> Result<()> {
    let Some(path) = &args.agent else { return Ok(()) };
    match path.symlink_metadata() {
        Ok(there) if !there.file_type().is_socket() => {
            Err(Error::user(format!("--agent {}: is there, and is no socket", path.display()))
                .with_hint("name a path where nothing is"))
        }
        _ => Ok(()),
    }
}

/// The one that is asked for, or the first that the kernel can do.
fn board(args: &Args, microvm: &Microvm) -> Result<Board> {
    let can = |board: &Board| microvm.machines.iter().any(|name| name == board.name());
    let first = || Board::value_variants().iter().copied().find(can);
    let board = args.machine.or_else(first).unwrap_or_else(|| Board::usual(microvm.architecture));
    if can(&board) {
        return Ok(board);
    }
    let message = format!("--machine {}: the kernel of {} cannot do it", board.name(), args.source.display());
    Err(Error::user(message).with_hint(format!("it can do {}", microvm.machines.join(" and "))))
}

/// All that is decided before the command line can be written.
struct Machine {
    microvm: Microvm,
    mode: Mode,
    board: Board,
    qemu: PathBuf,
    accel: Accel,
    network: Network,
    shares: Vec<Share>,
    /// The drive that tells it more than its disk does.
    told: Option<PathBuf>,
    console: Console,
    /// The socket of its agent.
    agent: Option<PathBuf>,
}

/// Where the machine's console is.
enum Console {
    /// In this terminal.
    Terminal,
    /// In a file.
    File(PathBuf),
    /// With whoever keeps a machine that stays.
    Kept,
}

impl Machine {
    fn new(args: &Args, microvm: Microvm, workspace: Option<&Path>, mode: Mode) -> Result<Self> {
        let is_attached = mode != Mode::Console;
        let arch = microvm.architecture;
        let board = board(args, &microvm)?;
        let qemu = find_qemu(args, arch)?;
        let network = Network::of(args)?;
        let nowhere = Path::new("");
        let daemon = if args.program.volume.is_empty() { None } else { Virtiofsd::find() };
        let shares = share::plan(&args.program.volume, daemon.as_ref(), workspace.unwrap_or(nowhere))?;
        let told = args.program.told(&args.command, &shares, is_attached)?;
        let told =
            workspace.filter(|_| !told.is_empty()).map(|workspace| told.write(workspace)).transpose()?;
        let (console, agent) = match workspace.filter(|_| is_attached) {
            Some(workspace) => (Console::File(workspace.join("console")), Some(workspace.join("agent.sock"))),
            None => (Console::Terminal, args.agent.clone()),
        };
        let accel = args.accel.decide(arch, &qemu);
        Ok(Self { microvm, mode, board, qemu, accel, network, shares, told, console, agent })
    }

    /// The same with disks of its own over those that it writes to.
    fn stay(mut self, args: &Args) -> Result<stays::Made> {
        let told = format!("booting {} as {}, {}", args.source.display(), self.board.name(), self.accel);
        let mut drives = Vec::new();
        for drive in &mut self.microvm.drives {
            let At::File(file) = &mut drive.at else { continue };
            if drive.read_only {
                *file = disk::absolute(file)?;
                continue;
            }
            let overlay = format!("{}.qcow2", drive.id);
            drives.push(machines::Drive::over(file, &overlay)?);
            *file = overlay.into();
            drive.format = Format::Qcow2;
        }
        self.microvm.kernel = disk::absolute(&self.microvm.kernel)?;
        self.microvm.initramfs = self.microvm.initramfs.as_deref().map(disk::absolute).transpose()?;
        let config = args.program.told(&args.command, &[], false)?;
        let config = (!config.is_empty()).then(|| config.drive()).transpose()?;
        self.told = config.as_ref().map(|_| stays::CONFIG.into());
        (self.console, self.agent) = (Console::Kept, Some(stays::port_path().to_owned()));
        let command = self.command(args, &stays::status());
        Ok(stays::Made { kind: machines::MachineKind::Microvm, drives, command, told, config })
    }

    /// Runs it to its end, by emulation if it turns out that KVM does not.
    fn boot(self, args: &Args) -> Result<ExitCode> {
        match self.start(args)? {
            (Ended::Useless(reason), _) => {
                let machine = Self { accel: Accel::Tcg, ..self };
                tell_line(format_args!(
                    "{reason}; the root is untouched, booting it again with {}",
                    machine.accel
                ));
                machine.start(args).map(|(_, told)| exit_code(told))
            }
            (Ended::By(_), told) => Ok(exit_code(told)),
        }
    }

    /// Runs QEMU once; what the machine has told of its program's end.
    fn start(&self, args: &Args) -> Result<(Ended, Option<status::End>)> {
        let cannot = |error| self.cannot_start(error);
        // Before there is anything that they would inherit.
        let _daemons = share::start_all(&self.shares)?;
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        let mut command =
            self.command(args, &format!("socket,fd={}", watch::inherit(&theirs).map_err(cannot)?));
        let reader = std::thread::spawn(move || status::read(ours));
        let ended = match (args.accel, self.accel) {
            (AccelChoice::Auto, Accel::Kvm) => watch::run(command, self.keeps_writes(args), ALIVE),
            _ => {
                child::end_with_this_process(&mut command, Signal::TERM);
                let ended = child::run(&mut command).map_err(cannot);
                ended.map(|ended| Ended::By(watch::exit_code(ended.status)))
            }
        };
        // QEMU had the only other copy: the reader comes to its end.
        drop(theirs);
        match (ended, reader.join().ok().flatten()) {
            // Whoever has told how its program ended has lived, however soon it was over: nothing is run twice.
            (Err(_) | Ok(Ended::Useless(_)), Some(told)) => Ok((Ended::By(ExitCode::SUCCESS), Some(told))),
            (ended, told) => Ok((ended?, told)),
        }
    }

    fn keeps_writes(&self, args: &Args) -> bool {
        !args.snapshot && self.microvm.is_written()
    }

    fn command(&self, args: &Args, status: &str) -> Command {
        command::command(self, args, status)
    }

    fn cannot_start(&self, error: std::io::Error) -> Error {
        Error::user(format!("{}: cannot be started", self.qemu.display())).because(error)
    }
}

/// That of the image's program, as docker has it.
fn exit_code(told: Option<status::End>) -> ExitCode {
    let Some(end) = told else {
        tell_line("the machine ended without an exit status of its program");
        return ExitCode::from(NOT_RUN);
    };
    if let Some(error) = &end.error {
        tell_line(format_args!("error: {error}"));
        if error.starts_with(LACKING_SHARE) && error.contains(BY_9P) {
            tell_line("hint: install virtiofsd, or take a kernel that knows 9p");
        }
    }
    ExitCode::from(end.status)
}

/// How a machine says that it has not mounted a share by the file system of QEMU's own.
const LACKING_SHARE: &str = "share ";
const BY_9P: &str = "cannot mount 9p";

#[cfg(test)]
mod tests;
