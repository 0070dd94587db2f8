//! A microVM in QEMU: the folder of a build becomes a command line, and the end of the image's program this program's
//! exit code.

mod clock;
mod command;
mod description;

use std::io::IsTerminal;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::ValueEnum;
use exporter::container::Format;
use exporter::spec::Architecture;
use rustix::process::Signal;

use super::accel::{Accel, AccelChoice};
use super::watch::{self, Ended};
use super::{Args, qemu, stays};
use crate::base::terminal::{self, tell_line};
use crate::base::{Error, Result, child, shell};
use crate::machines::{Drive, Kind, disk, status};
use description::Microvm;

/// The exit code where the machine has told none, docker's for what never came to run.
const NOT_TOLD: u8 = 125;
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
/// If the folder is not what a build makes, or a flag is for disks.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    refuse_what_is_for_disks(args)?;
    check_socket(args)?;
    let microvm = Microvm::read(&args.file)?;
    let arch = microvm.architecture;
    let board = board(args, &microvm)?;
    let qemu = qemu::find(arch)?;
    let accel = args.accel.decide(arch, &qemu);
    let machine = Machine { microvm, board, qemu, accel, stays: false };
    if stays::is_asked(args) {
        return stays::run(args, machine.stay(args)?);
    }
    if args.dry_run {
        // What would be told to this program is shown to whoever runs the command.
        let command = machine.command(args, "file,path=/dev/stderr");
        terminal::print_line(shell::show(&command))?;
        return Ok(ExitCode::SUCCESS);
    }
    tell_line(format_args!("booting {} as {}, {accel}", args.file.display(), board.name()));
    if std::io::stdin().is_terminal() {
        tell_line("leave the console with Ctrl-A X");
    }
    machine.boot(args)
}

/// A microVM has no firmware to choose and no screen.
fn refuse_what_is_for_disks(args: &Args) -> Result<()> {
    let asked = [
        (args.bios, "--bios"),
        (args.uefi, "--uefi"),
        (args.secure_boot, "--secure-boot"),
        (args.graphics, "--graphics"),
    ];
    match asked.into_iter().find(|(is_asked, _)| *is_asked) {
        Some((_, flag)) => Err(Error::user(format!("{flag}: {} is a microVM", args.file.display()))
            .with_hint("build a disk for it: --format qcow2")),
        None => Ok(()),
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
    let message = format!("--machine {}: the kernel of {} cannot do it", board.name(), args.file.display());
    Err(Error::user(message).with_hint(format!("it can do {}", microvm.machines.join(" and "))))
}

/// All that is decided before the command line can be written.
struct Machine {
    microvm: Microvm,
    board: Board,
    qemu: PathBuf,
    accel: Accel,
    /// Whether it stays, with a folder of its own.
    stays: bool,
}

impl Machine {
    /// The same with disks of its own over those that it writes to.
    fn stay(mut self, args: &Args) -> Result<stays::Made> {
        stays::refuse_what_is_thrown_away(args)?;
        let told = format!("booting {} as {}, {}", args.file.display(), self.board.name(), self.accel);
        let mut drives = Vec::new();
        for drive in &mut self.microvm.drives {
            if drive.read_only {
                drive.file = disk::absolute(&drive.file)?;
                continue;
            }
            let overlay = format!("{}.qcow2", drive.id);
            drives.push(Drive::over(&drive.file, &overlay)?);
            (drive.file, drive.format) = (overlay.into(), Format::Qcow2);
        }
        self.microvm.kernel = disk::absolute(&self.microvm.kernel)?;
        self.microvm.initramfs = self.microvm.initramfs.as_deref().map(disk::absolute).transpose()?;
        self.stays = true;
        let command = self.command(args, &stays::status());
        Ok(stays::Made { kind: Kind::Microvm, drives, command, told })
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
        let cannot =
            |error| Error::user(format!("{}: cannot be started", self.qemu.display())).because(error);
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
        !args.snapshot && self.microvm.drives.iter().any(|drive| !drive.read_only)
    }

    fn command(&self, args: &Args, status: &str) -> Command {
        command::command(self, args, status)
    }
}

/// That of the image's program, as docker has it.
fn exit_code(told: Option<status::End>) -> ExitCode {
    let Some(end) = told else {
        tell_line("the machine ended without an exit status of its program");
        return ExitCode::from(NOT_TOLD);
    };
    if let Some(error) = &end.error {
        tell_line(format_args!("error: {error}"));
    }
    ExitCode::from(end.status)
}

#[cfg(test)]
mod tests;
