//! `vmimage run`: boots a disk or a microVM in QEMU, with its console in this terminal.

pub(crate) mod accel;
pub(crate) mod firmware;
mod microvm;
pub(crate) mod probe;
mod publish;
pub(crate) mod qemu;
mod sectors;
mod stays;
mod watch;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use exporter::Kind;
use exporter::container::{self, Format};
use exporter::spec::Architecture;

use super::inspect;
use crate::base::disk::DiskInfo;
use crate::base::terminal::{self, tell_line};
use crate::base::{Error, Result, shell};
use crate::machines::{self, Drive, Name};
use accel::{Accel, AccelChoice};
use firmware::{Pflash, QemuFirmware};
use publish::Publish;
use watch::Ended;

/// Boot a disk or a microVM in QEMU, with its serial console in this terminal.
///
/// The machine has a virtio disk, a virtio network card behind user-mode NAT and a random number generator.
/// The exit code is QEMU's; of a microVM it is that of the image's program, and 125 if the machine has told none.
/// KVM is used if it really works, else emulation: a tiny machine is run for a moment to find out, and a machine that
/// KVM does not bring to life is started again.
/// Leave the console with Ctrl-A X.
/// With --name or --detach the machine stays, and ps, start, stop, rm, logs, exec and cp are for it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The disk, in any format that QEMU reads: told by what is in the file, not by its name; or an OVF folder, or that
    /// of a microVM
    file: PathBuf,
    /// Memory of the machine [default: 1G; of a microVM what its vm.json says]
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Number of processors [default: 2; of a microVM what its vm.json says]
    #[arg(short, long, value_name = "N")]
    cpus: Option<u16>,
    /// Forward a port of this host to one of the machine, on 127.0.0.1 unless an address is given
    #[arg(short, long, value_name = "[IP:]HOST:GUEST[/tcp|udp]")]
    publish: Vec<Publish>,
    /// Give the machine no network card
    #[arg(long, conflicts_with = "publish")]
    no_network: bool,
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
    /// Throw the machine's writes away: the file stays as it is
    #[arg(long)]
    snapshot: bool,
    /// Call the machine so, and keep it when it ends: what it writes goes to a disk of its own, and the file stays as it is
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Let it run in the background, and print its name
    #[arg(short, long)]
    detach: bool,
    /// When it has ended, write its disk to this file; its extension picks the format. Without a name the machine goes then
    #[arg(long, value_name = "FILE", conflicts_with = "detach")]
    save: Option<PathBuf>,
    /// When it has ended, let what it has written go into the file. Without a name the machine goes then
    #[arg(long, conflicts_with = "detach")]
    commit: bool,
    /// How to run the guest's instructions
    #[arg(long, value_enum, value_name = "HOW", env = accel::VARIABLE, default_value_t = AccelChoice::Auto)]
    accel: AccelChoice,
    /// Open a window with the machine's screen as well
    #[arg(long)]
    graphics: bool,
    /// Hand one more argument to QEMU
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    qemu_args: Vec<String>,
    /// Print the QEMU command instead of running it
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  vmimage run web.qcow2
  vmimage run web.qcow2 -p 8080:80 -p 2222:22      http://localhost:8080, ssh -p 2222 localhost
  vmimage run web.qcow2 --snapshot --secure-boot   throw writes away, enforce signatures
  vmimage run web.qcow2 --qemu-arg=-no-reboot      end when the machine reboots
  vmimage run web -p 8080:80                       a folder of --format microvm: its program in a machine of its own
  vmimage run web.qcow2 -d --name web              in the background, over a disk of its own: vmimage ps
  vmimage run web.qcow2 --save tried.qcow2         what it has become, as another disk
  vmimage run web.qcow2 --dry-run                  see the QEMU command";

/// The disk of a machine that stays, in its folder.
const OVERLAY: &str = "overlay.qcow2";
/// Memory and processors of a machine of which nothing is said.
const MEMORY: &str = "1G";
const CPUS: u16 = 2;

/// Boots the disk or the microVM.
///
/// Where there is nothing to decide any more this process becomes QEMU, so QEMU's exit code and signals are its own.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if container::microvm::is_microvm(&args.file) {
        return microvm::run(args);
    }
    refuse_what_is_for_microvms(args)?;
    let image = DiskInfo::read(&args.file)?;
    check_alone(&args.file)?;
    let machine = Machine::new(args, image.format)?;
    if stays::is_asked(args) {
        return stays::run(args, machine.stay(args)?);
    }
    let command = machine.command(args);
    if args.dry_run {
        terminal::print_line(shell::show(&command))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (disk, firmware, accel) = (args.file.display(), &machine.firmware, machine.accel);
    tell_line(format_args!("booting {disk} with {firmware}, {accel}"));
    let keeps_writes = !args.snapshot && !is_read_only(machine.driver);
    if is_read_only(machine.driver) {
        tell_line(format_args!("changes are not kept: QEMU only reads {} disks", image.format));
    }
    let laid_out_for = machine.sector_size;
    if let Some((drive, bytes)) = sectors::other(&args.file, &args.qemu_args, laid_out_for) {
        tell_line(format_args!(
            "{drive}: has sectors of {bytes} bytes, where firmware does not start a disk laid out for {laid_out_for}"
        ));
    }
    if std::io::stdin().is_terminal() {
        tell_line("leave the console with Ctrl-A X");
    }
    if (args.accel, machine.accel) != (AccelChoice::Auto, Accel::Kvm) {
        return machine.become_qemu(command);
    }
    match watch::run(command, keeps_writes, watch::KERNEL)? {
        Ended::By(code) => Ok(code),
        Ended::Useless(reason) => {
            let machine = Machine { accel: Accel::Tcg, ..machine };
            let accel = machine.accel;
            tell_line(format_args!("{reason}; the disk is untouched, booting it again with {accel}"));
            machine.become_qemu(machine.command(args))
        }
    }
}

fn refuse_what_is_for_microvms(args: &Args) -> Result<()> {
    let asked = [(args.machine.is_some(), "--machine"), (args.agent.is_some(), "--agent")];
    match asked.into_iter().find(|(is_asked, _)| *is_asked) {
        Some((_, flag)) => Err(Error::user(format!("{flag}: {} is no microVM", args.file.display()))
            .with_hint("build one: --profile microvm --format microvm")),
        None => Ok(()),
    }
}

/// All that is decided before the command line can be written.
struct Machine {
    arch: Architecture,
    qemu: PathBuf,
    firmware: QemuFirmware,
    accel: Accel,
    /// The file that the disk is in.
    disk: PathBuf,
    /// QEMU's name of the disk's format.
    driver: &'static str,
    /// Bytes of the sectors that the disk is laid out for.
    sector_size: u32,
    /// Whether it stays, with a folder of its own.
    stays: bool,
}

impl Machine {
    fn new(args: &Args, format: Format) -> Result<Self> {
        let driver = driver(&args.file, format)?;
        let starts = inspect::Starts::read(&args.file);
        let arch = starts.map_or(Architecture::X86_64, |starts| starts.architecture);
        let qemu = qemu::find(arch)?;
        let firmware = match (args.bios, args.uefi, args.secure_boot) {
            (true, ..) if arch == Architecture::X86_64 => QemuFirmware::Bios,
            (true, ..) => return Err(Error::user(format!("--bios: {arch} machines have no BIOS"))),
            (_, true, _) => QemuFirmware::uefi(arch)?,
            (_, _, true) => QemuFirmware::secure_boot(arch)?,
            _ if starts.is_some_and(|starts| !starts.by_uefi) => QemuFirmware::Bios,
            _ => QemuFirmware::default_for(arch)?,
        };
        let accel = args.accel.decide(arch, &qemu);
        let disk = container::disk_file(&args.file)?;
        let sector_size = starts.map_or(sectors::USUAL, |starts| starts.sector_size);
        Ok(Self { arch, qemu, firmware, accel, disk, driver, sector_size, stays: false })
    }

    /// The same with a disk of its own over that.
    fn stay(self, args: &Args) -> Result<stays::Made> {
        stays::refuse_what_is_thrown_away(args)?;
        let drive = Drive::over(&args.file, OVERLAY)?;
        let (disk, firmware, accel) = (args.file.display(), &self.firmware, self.accel);
        let told = format!("booting {disk} with {firmware}, {accel}");
        let machine = Self { disk: OVERLAY.into(), driver: "qcow2", stays: true, ..self };
        Ok(stays::Made {
            kind: machines::Kind::Disk,
            drives: vec![drive],
            command: machine.command(args),
            told,
        })
    }

    fn become_qemu(&self, mut command: Command) -> Result<ExitCode> {
        let error = command.exec();
        Err(Error::user(format!("{}: cannot be started", self.qemu.display())).because(error))
    }

    fn command(&self, args: &Args) -> Command {
        let mut command = Command::new(&self.qemu);
        let secure = matches!(self.firmware, QemuFirmware::SecureBoot(_));
        command.args(["-machine", qemu::machine(self.arch, secure)]);
        command.args(self.accel.arguments());
        let memory = args.memory.as_deref().unwrap_or(MEMORY);
        command.args(["-m", memory, "-smp", &args.cpus.unwrap_or(CPUS).to_string()]);
        match &self.firmware {
            QemuFirmware::Bios => {}
            QemuFirmware::Uefi(pflash) => add_pflash(&mut command, pflash),
            QemuFirmware::SecureBoot(pflash) => {
                // Only code in system management mode may write the variables the keys are in.
                if self.arch == Architecture::X86_64 {
                    command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
                }
                add_pflash(&mut command, pflash);
            }
        }
        add_disk(&mut command, self, args.snapshot);
        if args.no_network {
            // Without a word QEMU adds a card of its own.
            command.args(["-nic", "none"]);
        } else {
            add_forwards(&mut command, &args.publish);
            // Without its boot ROM the card cannot hold up a failed boot with attempts to boot from the network.
            command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        }
        command.args(["-device", "virtio-rng-pci"]);
        if self.stays {
            stays::add_ports(&mut command);
            stays::add_console(&mut command);
        } else {
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

/// That the disk is in its own file alone. QEMU opens those that a disk file names, and writes to some of them: a
/// hostile one may name any file of the user's.
fn check_alone(file: &Path) -> Result<()> {
    let alone = || format!("qemu-img convert -O qcow2 {} alone.qcow2", shell::quote(file));
    container::open(file).map(drop).map_err(|error| match error.kind() {
        Kind::Unsupported => error.with_hint(format!("if you trust what it names: {}", alone())).into(),
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
    // `file.driver=file` keeps QEMU from reading a name with a colon as a protocol.
    let options = format!("if=none,id=disk,format={driver},{snapshot}file.driver=file,file.filename=");
    let mut drive = OsString::from(options);
    drive.push(option_value(disk));
    let sectors = match *sector_size {
        sectors::USUAL => String::new(),
        size => format!(",logical_block_size={size},physical_block_size={size}"),
    };
    let device = format!("virtio-blk-pci,drive=disk,bootindex=0{sectors}");
    command.arg("-drive").arg(drive).args(["-device", &device]);
}

/// User-mode NAT, `net`, with ports of this host that lead to the machine.
fn add_forwards(command: &mut Command, publish: &[Publish]) {
    let forwards: String = publish.iter().map(|port| format!(",hostfwd={}", port.hostfwd())).collect();
    command.args(["-netdev", &format!("user,id=net{forwards}")]);
}

/// A path as the value of a QEMU option, where a comma ends a value unless it is doubled.
fn option_value(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    OsString::from_vec(bytes.split(|&byte| byte == b',').collect::<Vec<_>>().join(&b",,"[..]))
}

#[cfg(test)]
mod tests;
