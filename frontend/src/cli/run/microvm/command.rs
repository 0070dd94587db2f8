//! The microVM's QEMU: no more devices than it needs, each by virtio, and no firmware of its own choice.

use std::ffi::OsString;
use std::process::Command;

use super::{At, Board, Console, Drive, Machine, clock};
use crate::cli::run::accel::Accel;
use crate::cli::run::{Args, add_drive, add_read_only, option_value, share, stays};

/// The serial number by which a machine knows the drive that tells it more.
const TOLD: &str = "vmimage-config";

impl Board {
    /// A PC has controllers that nothing here is on: a kernel would look at them all.
    fn qemu_name(self) -> &'static str {
        match self {
            Self::Q35 => "q35,vmport=off,smbus=off,sata=off",
            Self::Microvm => "microvm",
            Self::MicrovmWithoutAcpi => "microvm,acpi=off",
            Self::Virt => "virt,gic-version=max",
        }
    }

    /// What devices are on: PCI, or memory of their own.
    fn bus(self) -> &'static str {
        match self {
            Self::Q35 | Self::Virt => "pci",
            Self::Microvm | Self::MicrovmWithoutAcpi => "device",
        }
    }
}

/// The command line. `status` is where the machine tells how its program has ended: a character device of QEMU without its
/// id.
pub(super) fn command(machine: &Machine, args: &Args, status: &str) -> Command {
    let Machine { microvm, board, qemu, accel, network, shares, told, console, .. } = machine;
    let mut command = Command::new(qemu);
    command.args(["-machine", &(board.qemu_name().to_owned() + &share::of_machine(shares))]);
    command.args(accel.arguments());
    let memory = args.memory.clone().unwrap_or_else(|| format!("{}M", microvm.memory_mib));
    let cpus = args.cpus.map_or(microvm.cpus, u32::from);
    command.args(["-m", &memory, "-smp", &cpus.to_string()]);
    // A machine that restarts has ended.
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    command.arg("-kernel").arg(&microvm.kernel);
    if let Some(initramfs) = &microvm.initramfs {
        command.arg("-initrd").arg(initramfs);
    }
    command.args(["-append", &words(machine)]);
    for drive in &microvm.drives {
        add_root(&mut command, *board, drive, args.snapshot);
    }
    if let Some(told) = told {
        add_read_only(&mut command, board.bus(), "told", TOLD, told);
    }
    share::add_all(&mut command, shares, board.bus(), &memory);
    add_ports(&mut command, machine, status);
    // A boot ROM is for cards on PCI alone.
    let rom = if board.bus() == "pci" { ",romfile=" } else { "" };
    network.add_card(&mut command, &args.publish, &format!("virtio-net-{}{rom}", board.bus()));
    command.args(["-device", &format!("virtio-rng-{}", board.bus())]);
    match console {
        Console::Terminal => drop(command.args(["-serial", "mon:stdio"])),
        Console::File(path) => {
            let mut file = OsString::from("file,id=console,path=");
            file.push(option_value(path));
            command.arg("-chardev").arg(file).args(["-serial", "chardev:console"]);
        }
        Console::Kept => stays::add_console(&mut command),
    }
    command.args(&args.qemu_args);
    command
}

/// The kernel's command line; what the build says comes last and counts.
fn words(Machine { microvm, board, accel, .. }: &Machine) -> String {
    let measures_by_ticks = matches!(board, Board::Microvm | Board::MicrovmWithoutAcpi);
    let clock = if measures_by_ticks && *accel == Accel::Tcg { clock::words() } else { None };
    clock.into_iter().chain([microvm.cmdline.clone()]).collect::<Vec<_>>().join(" ")
}

fn add_root(command: &mut Command, board: Board, drive: &Drive, snapshot: bool) {
    let Drive { id, at, format, read_only } = drive;
    let is_served = matches!(at, At::Server(_));
    let mode = match (read_only, snapshot || is_served) {
        (true, _) => "readonly=on,",
        (false, true) => "snapshot=on,",
        (false, false) => "",
    };
    let options = format!("if=none,id={id},format={},{mode}", format.name());
    let device = format!("virtio-blk-{},drive={id},serial={id}", board.bus());
    match at {
        At::File(file) => add_drive(command, &options, file, &device),
        At::Server(socket) => {
            let mut value =
                OsString::from(format!("{options}file.driver=nbd,file.server.type=unix,file.server.path="));
            value.push(option_value(socket));
            command.arg("-drive").arg(value).args(["-device", &device]);
        }
    }
}

/// Ports of the machine's first process, which finds them by their names.
fn add_ports(command: &mut Command, machine: &Machine, status: &str) {
    let microvm = &machine.microvm;
    command.args(["-device", &format!("virtio-serial-{},id=ports", machine.board.bus())]);
    let mut add = |id: &str, name: &str, back_end: OsString| {
        command.arg("-chardev").arg(back_end);
        command.args(["-device", &format!("virtserialport,bus=ports.0,chardev={id},name={name}")]);
    };
    let (kind, value) = status.split_once(',').unwrap_or((status, ""));
    add("status", &microvm.status, format!("{kind},id=status,{value}").into());
    if let Some(path) = &machine.agent {
        let mut socket = OsString::from("socket,id=agent,server=on,wait=off,path=");
        socket.push(option_value(path));
        add("agent", &microvm.agent, socket);
    }
}
