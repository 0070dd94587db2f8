//! The microVM's QEMU: no more devices than it needs, each by virtio, and no firmware of its own choice.

use std::ffi::OsString;
use std::process::Command;

use super::description::Drive;
use super::{Board, Machine, clock};
use crate::cli::run::accel::Accel;
use crate::cli::run::{Args, add_forwards, option_value, stays};

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
    let Machine { microvm, board, qemu, accel, .. } = machine;
    let mut command = Command::new(qemu);
    command.args(["-machine", board.qemu_name()]).args(accel.arguments());
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
        add_drive(&mut command, *board, drive, args.snapshot);
    }
    add_ports(&mut command, machine, args, status);
    if !args.no_network {
        add_network(&mut command, *board, args);
    }
    command.args(["-device", &format!("virtio-rng-{}", board.bus())]);
    match machine.stays {
        true => stays::add_console(&mut command),
        false => drop(command.args(["-serial", "mon:stdio"])),
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

fn add_drive(command: &mut Command, board: Board, drive: &Drive, snapshot: bool) {
    let Drive { id, file, format, read_only } = drive;
    let mode = match (read_only, snapshot) {
        (true, _) => "readonly=on,",
        (false, true) => "snapshot=on,",
        (false, false) => "",
    };
    let options = format!("if=none,id={id},format={},{mode}file.driver=file,file.filename=", format.name());
    let mut value = OsString::from(options);
    value.push(option_value(file));
    command.arg("-drive").arg(value);
    command.args(["-device", &format!("virtio-blk-{},drive={id},serial={id}", board.bus())]);
}

/// Ports of the machine's first process, which finds them by their names.
fn add_ports(command: &mut Command, machine: &Machine, args: &Args, status: &str) {
    let microvm = &machine.microvm;
    command.args(["-device", &format!("virtio-serial-{},id=ports", machine.board.bus())]);
    let mut add = |id: &str, name: &str, back_end: OsString| {
        command.arg("-chardev").arg(back_end);
        command.args(["-device", &format!("virtserialport,bus=ports.0,chardev={id},name={name}")]);
    };
    let (kind, value) = status.split_once(',').unwrap_or((status, ""));
    add("status", &microvm.status, format!("{kind},id=status,{value}").into());
    let agent = if machine.stays { Some(stays::port_path()) } else { args.agent.as_deref() };
    if let Some(path) = agent {
        let mut socket = OsString::from("socket,id=agent,server=on,wait=off,path=");
        socket.push(option_value(path));
        add("agent", &microvm.agent, socket);
    }
}

fn add_network(command: &mut Command, board: Board, args: &Args) {
    add_forwards(command, &args.publish);
    // A boot ROM is for cards on PCI alone.
    let rom = if board.bus() == "pci" { ",romfile=" } else { "" };
    command.args(["-device", &format!("virtio-net-{},netdev=net{rom}", board.bus())]);
}
