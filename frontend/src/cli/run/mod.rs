//! `vmimage run`: boots a disk or a microVM in QEMU, with its console in this terminal, or runs an image's program in a machine
//! of its own.
//!
//! ```text
//! words ─▶ kind ─┬─ disk ───────────────────────────────────────────────▶ QEMU
//!                ├─ microVM ─────────────────▶ description ─┬─ console ──▶ QEMU
//!                └─ image, context ─▶ kernel, root ─▶ the same ─ agent ──▶ QEMU ◀─▶ input, output, signals
//! ```

pub(crate) mod accel;
mod deadline;
mod disk_args;
pub(crate) mod firmware;
mod image;
mod kind;
mod microvm;
mod network;
mod nocloud;
pub(crate) mod probe;
mod program;
mod publish;
pub(crate) mod qemu;
mod sectors;
mod serial;
mod share;
mod stays;
mod watch;
mod words;

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use exporter::container::{self, Format};
use exporter::spec::Architecture;
use rustix::process::Signal;

use super::inspect;
use crate::ask::spelling;
use crate::base::disk::DiskInfo;
use crate::base::temporary::Folder;
use crate::base::terminal::{self, tell_line};
use crate::base::{Error, Result, child, programs, shell};
use crate::machines::{self, Drive, Name};
use accel::{Accel, AccelChoice};
use deadline::Deadline;
use disk_args::DiskArgs;
use firmware::{Pflash, QemuFirmware};
use image::ImageArgs;
use kind::SourceKind;
use network::Network;
use program::ProgramArgs;
use publish::Publish;
use watch::Ended;
pub(crate) use words::settle;

/// Boot a disk or a microVM in QEMU, with its serial console in this terminal; or run an image's program in a machine of
/// its own, as docker run does in a container.
///
/// The machine has a virtio disk, a virtio network card behind user-mode NAT and a random number generator.
/// The exit code is QEMU's; of a microVM, an image or a build context it is that of the image's program, and 125 if the
/// machine has told none. What an image's machine has written is gone with it, unless it stays.
/// KVM is used if it really works, else emulation: a tiny machine is run for a moment to find out, and a machine that
/// KVM does not bring to life is started again.
/// Leave the console of a disk or a microVM with Ctrl-A X.
/// With --name or --detach a machine stays, and ps, start, stop, rm, logs, exec and cp are for it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A disk, in any format that QEMU reads: told by what is in the file, not by its name; an OVF folder, or that of a
    /// microVM; a build context; or an image (docker-daemon:, containers-storage:, docker://, oci:, docker-archive:, or a
    /// name alone)
    source: PathBuf,
    /// Of an image or a build context all that follows it: the program in place of CMD, and its arguments
    #[arg(last = true)]
    command: Vec<String>,
    /// Memory of the machine [default: 1G; of a microVM or a build context what its vm.json says]
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Number of processors [default: 2; of a microVM or a build context what its vm.json says]
    #[arg(short, long, value_name = "N")]
    cpus: Option<u16>,
    /// Forward a port of this host to one of the machine, on 127.0.0.1 unless an address is given
    #[arg(short, long, value_name = "[IP:]HOST:GUEST[/tcp|udp]")]
    publish: Vec<Publish>,
    /// Give the machine no network card
    #[arg(long, conflicts_with_all = ["publish", "network"])]
    no_network: bool,
    /// What its network card is on: NAT of QEMU's own, nothing, a bridge, or a TAP interface
    #[arg(long, value_name = "user|none|bridge=NAME|tap=NAME")]
    network: Option<Network>,
    /// Boot with BIOS firmware
    #[arg(long, group = "firmware")]
    bios: bool,
    /// Boot with UEFI firmware (the default where it is installed and the disk has a loader for it)
    #[arg(long, group = "firmware")]
    uefi: bool,
    /// Boot with UEFI firmware that only starts what Microsoft's keys have signed
    #[arg(long, group = "firmware")]
    secure_boot: bool,
    /// What a microVM's machine is; by default q35, on arm64 virt
    #[arg(long, value_enum, value_name = "MACHINE")]
    machine: Option<microvm::Board>,
    /// Listen on this Unix socket for clients of a microVM's agent
    #[arg(long, value_name = "SOCKET")]
    agent: Option<PathBuf>,
    /// Throw the machine's writes away: the files stay as they are
    #[arg(long)]
    snapshot: bool,
    /// Call the machine so, and keep it when it ends: what it writes goes to a disk of its own, and what it was made of stays as it is
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Let it run in the background, and print its name
    #[arg(short, long)]
    detach: bool,
    /// When it has ended, write its disk to this file; its extension picks the format. Without a name the machine goes then
    #[arg(long, value_name = "FILE", conflicts_with = "detach")]
    save: Option<PathBuf>,
    /// When it has ended, let what it has written go into the disk that it was made of. Without a name the machine goes then
    #[arg(long, conflicts_with = "detach")]
    commit: bool,
    /// How to run the guest's instructions
    #[arg(long, value_enum, value_name = "HOW", env = accel::VARIABLE, default_value_t = AccelChoice::Auto)]
    accel: AccelChoice,
    /// Open a window with the machine's screen as well
    #[arg(long)]
    graphics: bool,
    /// End the machine after this time, with the exit code 124
    #[arg(long, value_name = "TIME", value_parser = deadline::parse)]
    timeout: Option<Duration>,
    /// The QEMU to run
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<PathBuf>,
    /// Hand one more argument to QEMU
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    qemu_args: Vec<String>,
    /// Print the QEMU command instead of running it
    #[arg(long)]
    dry_run: bool,
    // From here on each has its heading, which would stand above what follows without one.
    #[command(flatten)]
    program: ProgramArgs,
    #[command(flatten)]
    image: ImageArgs,
    #[command(flatten)]
    disk: DiskArgs,
}

const EXAMPLES: &str = "\
Examples:
  vmimage run web.qcow2
  vmimage run web.qcow2 -p 8080:80 -p 2222:22      http://localhost:8080, ssh -p 2222 localhost
  vmimage run web.qcow2 --snapshot --secure-boot   throw writes away, enforce signatures
  vmimage run web.qcow2 --qemu-arg=-no-reboot      end when the machine reboots
  vmimage run web -p 8080:80                       a folder of --format microvm: its program in a machine of its own
  vmimage run docker-daemon:debian:12 sh -c 'echo hi; exit 42'
                                                   an image: what docker run does, in a machine
  vmimage run -it -v ./src:/src:ro debian:12 bash  a shell with a terminal, and a folder that it only reads
  vmimage run .                                    the same of ./Dockerfile
  vmimage run web.qcow2 -d --name web              in the background, over a disk of its own: vmimage ps
  vmimage run -d --name web docker-daemon:app      an image, whose root is written once: it starts again without the image
  vmimage run web.qcow2 --save tried.qcow2         what it has become, as another disk
  vmimage run web.qcow2 --dry-run                  see the QEMU command";

/// The disk of a machine that stays, in its folder.
const OVERLAY: &str = "overlay.qcow2";
/// Memory and processors of a machine of which nothing is said.
const MEMORY: &str = "1G";
const CPUS: u16 = 2;

/// The exit code of docker for what has not come to run.
const NOT_RUN: u8 = 125;

/// Boots the disk or the microVM, or runs the program of the image.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let kind = SourceKind::of(args.source.as_os_str());
    match kind {
        SourceKind::Disk => kind::refuse_others(args, kind).and_then(|()| run_disk(args)),
        SourceKind::Microvm => kind::refuse_others(args, kind).and_then(|()| microvm::run(args)),
        // The program may end with any other code.
        SourceKind::Context | SourceKind::Image => {
            let ran = kind::refuse_others(args, kind).and_then(|()| image::run(args, kind));
            Ok(ran.unwrap_or_else(|error| {
                error.print(spelling::flag);
                ExitCode::from(NOT_RUN)
            }))
        }
    }
}

/// Boots the disk.
///
/// Where there is nothing to decide any more this process becomes QEMU, so QEMU's exit code and signals are its own.
fn run_disk(args: &Args) -> Result<ExitCode> {
    let image = DiskInfo::read(&args.source)?;
    check_alone(&args.source)?;
    if stays::is_asked(args) {
        stays::refuse_what_is_thrown_away(args)?;
        return stays::run(args, Machine::new(args, image.format, None)?.stay(args)?);
    }
    let (workspace, told) = nocloud(args)?;
    let machine = Machine::new(args, image.format, told)?;
    let command = machine.command(args);
    if args.dry_run {
        terminal::print_line(shell::show(&command))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (disk, firmware, accel) = (args.source.display(), &machine.firmware, machine.accel);
    tell_line(format_args!("booting {disk} with {firmware}, {accel}"));
    let keeps_writes = !args.snapshot && !is_read_only(machine.driver);
    if is_read_only(machine.driver) {
        tell_line(format_args!("changes are not kept: QEMU only reads {} disks", image.format));
    }
    let laid_out_for = machine.sector_size;
    if let Some((drive, bytes)) = sectors::other(&args.source, &args.qemu_args, laid_out_for) {
        tell_line(format_args!(
            "{drive}: has sectors of {bytes} bytes, where firmware does not start a disk laid out for {laid_out_for}"
        ));
    }
    if std::io::stdin().is_terminal() {
        tell_line("leave the console with Ctrl-A X");
    }
    let stays = workspace.is_some() || args.timeout.is_some();
    let deadline = Deadline::start(args.timeout);
    let ended = machine.run(args, command, keeps_writes, stays)?;
    Ok(if deadline.is_over() { ExitCode::from(deadline::OVER) } else { ended })
}

/// What cloud-init is told, and the folder that it is in, which goes with this process.
fn nocloud(args: &Args) -> Result<(Option<Folder>, Option<PathBuf>)> {
    if args.disk.ssh_key.is_none() && args.disk.user_data.is_none() {
        return Ok((None, None));
    }
    let workspace = workspace()?;
    let told = nocloud::make(&args.disk, workspace.path())?;
    Ok((Some(workspace), told))
}

/// A folder for what a machine needs while it runs, which nobody else reads.
fn workspace() -> Result<Folder> {
    let parent = std::env::temp_dir();
    Folder::new("vmimage-run-", &parent)
        .map_err(|error| Error::user(format!("{}: cannot be written to", parent.display())).because(error))
}

/// What a disk's machine starts with.
#[derive(Debug)]
enum ChosenFirmware {
    /// One that this host has for such machines.
    Installed(QemuFirmware),
    /// That of a file.
    File(PathBuf),
}

impl fmt::Display for ChosenFirmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed(firmware) => firmware.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A disk that is a drive of a machine.
struct DiskDrive {
    /// The file that it is in.
    file: PathBuf,
    /// QEMU's name of its format.
    driver: &'static str,
}

/// All that is decided before the command line can be written.
struct Machine {
    arch: Architecture,
    qemu: PathBuf,
    firmware: ChosenFirmware,
    accel: Accel,
    network: Network,
    /// The file that the disk is in.
    disk: PathBuf,
    /// QEMU's name of the disk's format.
    driver: &'static str,
    /// Bytes of the sectors that the disk is laid out for.
    sector_size: u32,
    /// Disks beside it.
    further: Vec<DiskDrive>,
    /// The drive that tells cloud-init something.
    nocloud: Option<PathBuf>,
    /// Whether it has a folder of its own, and whoever keeps it.
    is_kept: bool,
}

impl Machine {
    fn new(args: &Args, format: Format, nocloud: Option<PathBuf>) -> Result<Self> {
        let driver = driver(&args.source, format)?;
        let starts = inspect::Starts::read(&args.source);
        let arch = starts.map_or(Architecture::X86_64, |starts| starts.architecture);
        let qemu = find_qemu(args, arch)?;
        let firmware = match (&args.disk.firmware, args.bios, args.uefi, args.secure_boot) {
            (Some(file), ..) => ChosenFirmware::File(firmware_file(file)?),
            (None, true, ..) if arch == Architecture::X86_64 => ChosenFirmware::Installed(QemuFirmware::Bios),
            (None, true, ..) => return Err(Error::user(format!("--bios: {arch} machines have no BIOS"))),
            (None, _, true, _) => ChosenFirmware::Installed(QemuFirmware::uefi(arch)?),
            (None, _, _, true) => ChosenFirmware::Installed(QemuFirmware::secure_boot(arch)?),
            _ if starts.is_some_and(|starts| !starts.by_uefi) => {
                ChosenFirmware::Installed(QemuFirmware::Bios)
            }
            _ => ChosenFirmware::Installed(QemuFirmware::default_for(arch)?),
        };
        let accel = args.accel.decide(arch, &qemu);
        let disk = container::disk_file(&args.source)?;
        let sector_size = starts.map_or(sectors::USUAL, |starts| starts.sector_size);
        let further = args.disk.disk.iter().map(|file| DiskDrive::read(file)).collect::<Result<_>>()?;
        let network = Network::of(args)?;
        Ok(Self {
            arch,
            qemu,
            firmware,
            accel,
            network,
            disk,
            driver,
            sector_size,
            further,
            nocloud,
            is_kept: false,
        })
    }

    /// The same with a disk of its own over that.
    fn stay(self, args: &Args) -> Result<stays::Made> {
        let drive = Drive::over(&args.source, OVERLAY)?;
        let (disk, firmware, accel) = (args.source.display(), &self.firmware, self.accel);
        let told = format!("booting {disk} with {firmware}, {accel}");
        let machine = Self { disk: OVERLAY.into(), driver: "qcow2", is_kept: true, ..self };
        let (kind, command) = (machines::MachineKind::Disk, machine.command(args));
        Ok(stays::Made { kind, drives: vec![drive], command, told, config: None })
    }

    /// Runs it, by emulation if it turns out that KVM does not; `stays`: this process is still needed beside QEMU.
    fn run(self, args: &Args, command: Command, keeps_writes: bool, stays: bool) -> Result<ExitCode> {
        if (args.accel, self.accel) != (AccelChoice::Auto, Accel::Kvm) {
            return self.start(command, stays);
        }
        match watch::run(command, keeps_writes, watch::KERNEL)? {
            Ended::By(code) => Ok(code),
            Ended::Useless(reason) => {
                let machine = Self { accel: Accel::Tcg, ..self };
                let accel = machine.accel;
                tell_line(format_args!("{reason}; the disk is untouched, booting it again with {accel}"));
                machine.start(machine.command(args), stays)
            }
        }
    }

    fn start(&self, mut command: Command, stays: bool) -> Result<ExitCode> {
        let cannot =
            |error| Error::user(format!("{}: cannot be started", self.qemu.display())).because(error);
        if !stays {
            return Err(cannot(command.exec()));
        }
        child::end_with_this_process(&mut command, Signal::TERM);
        let ended = child::run(&mut command).map_err(cannot)?;
        Ok(watch::exit_code(ended.status))
    }

    fn command(&self, args: &Args) -> Command {
        let mut command = Command::new(&self.qemu);
        let secure = matches!(self.firmware, ChosenFirmware::Installed(QemuFirmware::SecureBoot(_)));
        command.args(["-machine", qemu::machine(self.arch, secure)]);
        command.args(self.accel.arguments());
        let memory = args.memory.as_deref().unwrap_or(MEMORY);
        command.args(["-m", memory, "-smp", &args.cpus.unwrap_or(CPUS).to_string()]);
        match &self.firmware {
            ChosenFirmware::Installed(QemuFirmware::Bios) => {}
            ChosenFirmware::Installed(QemuFirmware::Uefi(pflash)) => add_pflash(&mut command, pflash),
            ChosenFirmware::Installed(QemuFirmware::SecureBoot(pflash)) => {
                // Only code in system management mode may write the variables the keys are in.
                if self.arch == Architecture::X86_64 {
                    command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
                }
                add_pflash(&mut command, pflash);
            }
            ChosenFirmware::File(path) => {
                command.arg("-bios").arg(path);
            }
        }
        add_disk(&mut command, self, args.snapshot);
        for (index, drive) in self.further.iter().enumerate() {
            drive.add(&mut command, &format!("disk{}", index + 1), args.snapshot);
        }
        if let Some(told) = &self.nocloud {
            add_read_only(&mut command, "pci", "told", "cidata", told);
        }
        // Without its boot ROM the card cannot hold up a failed boot with attempts to boot from the network.
        if !self.network.add_card(&mut command, &args.publish, "virtio-net-pci,romfile=") {
            // Without a word QEMU adds a card of its own.
            command.args(["-nic", "none"]);
        }
        command.args(["-device", "virtio-rng-pci"]);
        if self.is_kept {
            stays::add_ports(&mut command);
            stays::add_console(&mut command);
        } else {
            serial::add_all(&mut command, &args.disk.serial);
            command.args(["-serial", "mon:stdio"]);
        }
        match args.graphics {
            true => command.args(["-device", "virtio-gpu-pci"]),
            false => command.args(["-display", "none"]),
        };
        command.args(&args.qemu_args);
        command
    }
}

impl DiskDrive {
    fn read(file: &Path) -> Result<Self> {
        let image = DiskInfo::read(file)?;
        check_alone(file)?;
        Ok(Self { file: container::disk_file(file)?, driver: driver(file, image.format)? })
    }

    fn add(&self, command: &mut Command, id: &str, snapshot: bool) {
        let Self { file, driver } = self;
        let snapshot = if snapshot || is_read_only(driver) { "snapshot=on," } else { "" };
        let options = format!("if=none,id={id},format={driver},{snapshot}");
        add_drive(command, &options, file, &format!("virtio-blk-pci,drive={id},serial={id}"));
    }
}

/// The QEMU that was asked for, or the one that runs `arch`.
fn find_qemu(args: &Args, arch: Architecture) -> Result<PathBuf> {
    let Some(asked) = &args.qemu else { return qemu::find(arch) };
    let found = asked.to_str().and_then(programs::find);
    let beside = || programs::is_executable(asked).then(|| asked.clone());
    found
        .or_else(beside)
        .ok_or_else(|| Error::user(format!("--qemu {}: is no program that can be run", asked.display())))
}

fn firmware_file(path: &Path) -> Result<PathBuf> {
    match path.metadata() {
        Ok(there) if there.is_file() => Ok(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
        Ok(_) => Err(Error::user(format!("--firmware {}: is no file", path.display()))),
        Err(error) => Err(Error::user(format!("--firmware {}", path.display())).because(error)),
    }
}

/// That the disk is in its own file alone. QEMU opens those that a disk file names, and writes to some of them: a
/// hostile one may name any file of the user's.
fn check_alone(file: &Path) -> Result<()> {
    let alone = || format!("qemu-img convert -O qcow2 {} alone.qcow2", shell::quote(file));
    container::open(file).map(drop).map_err(|error| match error.kind() {
        exporter::Kind::Unsupported => {
            error.with_hint(format!("if you trust what it names: {}", alone())).into()
        }
        _ => error.into(),
    })
}

fn driver(file: &Path, format: Format) -> Result<&'static str> {
    format.qemu_driver().ok_or_else(|| {
        let error = Error::user(format!("{}: QEMU cannot read a {format} disk", file.display()));
        match format.unpack_command() {
            Some(command) => error.with_hint(format!("unpack it first: {command} {}", shell::quote(file))),
            None => error,
        }
    })
}

fn add_pflash(command: &mut Command, pflash: &Pflash) {
    let Pflash { code, vars } = pflash;
    command.args(["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={code}")]);
    // The variables are a template shared by all machines: what this machine writes is thrown away.
    command.args(["-drive", &format!("if=pflash,unit=1,format=raw,snapshot=on,file={vars}")]);
}

/// Whether QEMU cannot write into the format: the compressed streams of VMware.
fn is_read_only(driver: &str) -> bool {
    driver == "vmdk"
}

fn add_disk(command: &mut Command, machine: &Machine, snapshot: bool) {
    let Machine { disk, driver, sector_size, .. } = machine;
    let snapshot = if snapshot || is_read_only(driver) { "snapshot=on," } else { "" };
    let sectors = match *sector_size {
        sectors::USUAL => String::new(),
        size => format!(",logical_block_size={size},physical_block_size={size}"),
    };
    let options = format!("if=none,id=disk,format={driver},{snapshot}");
    add_drive(command, &options, disk, &format!("virtio-blk-pci,drive=disk,bootindex=0{sectors}"));
}

/// A raw file that a machine reads, on a bus of this name.
fn add_read_only(command: &mut Command, bus: &str, id: &str, serial: &str, file: &Path) {
    let options = format!("if=none,id={id},format=raw,readonly=on,");
    add_drive(command, &options, file, &format!("virtio-blk-{bus},drive={id},serial={serial}"));
}

fn add_drive(command: &mut Command, options: &str, file: &Path, device: &str) {
    // `file.driver=file` keeps QEMU from reading a name with a colon as a protocol.
    let mut drive = OsString::from(format!("{options}file.driver=file,file.filename="));
    drive.push(option_value(file));
    command.arg("-drive").arg(drive).args(["-device", device]);
}

/// A path as the value of a QEMU option, where a comma ends a value unless it is doubled.
fn option_value(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    OsString::from_vec(bytes.split(|&byte| byte == b',').collect::<Vec<_>>().join(&b",,"[..]))
}

#[cfg(test)]
mod tests;
