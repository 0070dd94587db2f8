//! Machines of hardware, in QEMU: disks on real buses, firmware whose variables stay, cards that it starts from.
//!
//! `vmimage run` starts disks of virtual machines. These start from media, have other disks or none at all, and are
//! typed to and pulled apart while they run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::{Console, LIMIT, Report, accel_arguments, nonce};
use super::qmp;

const QEMU: &str = "qemu-system-x86_64";

/// What starts a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// OVMF that enforces signatures, with Microsoft's keys.
    SecureBoot,
    /// The same with the keys in the variables that are there, and in setup mode without any.
    OwnKeys,
}

impl Firmware {
    /// The flag of `vmimage run` for it.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Bios => "--bios",
            Self::Uefi => "--uefi",
            Self::SecureBoot | Self::OwnKeys => "--secure-boot",
        }
    }

    /// The ends of the names of its two flash images.
    fn flash(self) -> Option<&'static str> {
        match self {
            Self::Bios => None,
            Self::Uefi => Some("_4M.fd"),
            Self::SecureBoot => Some("_4M.ms.fd"),
            Self::OwnKeys => Some("_4M.secboot.fd"),
        }
    }
}

/// What a drive is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// A disc, in a drive on AHCI.
    Disc,
    /// A stick on USB 3.
    Usb,
    /// A disk on AHCI.
    Ahci,
    /// A disk on NVMe.
    Nvme,
}

/// The first place in the order of a firmware; QEMU gives the one before it to a kernel of its own command line.
const FIRST: usize = 1;

/// A machine that is put together.
pub(crate) struct Rack {
    command: Command,
    firmware: Firmware,
    folder: PathBuf,
    token: String,
    /// How many ports of the AHCI controller are taken.
    ports: usize,
    /// Whether firmware is told in which order to try what is attached, and how many it knows of.
    order: Option<usize>,
    limit: Duration,
}

impl Rack {
    /// With 2 GiB and one processor. Its variables are in `folder`, where a machine before it may have left some.
    pub(crate) fn new(firmware: Firmware, folder: &Path) -> Self {
        Self::by(Command::new(QEMU), firmware, folder)
    }

    /// The same in a network of its own: `within` makes QEMU of its name.
    pub(crate) fn within(within: impl FnOnce(&str) -> Command, firmware: Firmware, folder: &Path) -> Self {
        Self::by(within(QEMU), firmware, folder)
    }

    fn by(mut command: Command, firmware: Firmware, folder: &Path) -> Self {
        let token = nonce();
        let is_secure = matches!(firmware, Firmware::SecureBoot | Firmware::OwnKeys);
        let board = if is_secure { "q35,smm=on" } else { "q35" };
        command.args(["-machine", board]).args(accel_arguments());
        command.args(["-m", "2G", "-smp", "1", "-nodefaults", "-vga", "std", "-display", "none"]);
        // A machine that restarts has ended: the next one is put together otherwise.
        command.args(["-no-reboot", "-serial", "stdio", "-device", "virtio-rng-pci"]);
        command.args(["-device", "qemu-xhci,id=usb"]);
        command.args(["-smbios", &format!("type=1,serial={token}")]);
        if is_secure {
            // Only code in system management mode may write the variables the keys are in.
            command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        }
        if let Some(flash) = firmware.flash() {
            let code = format!("/usr/share/OVMF/OVMF_CODE{flash}");
            let variables = folder.join(format!("variables{flash}"));
            if !variables.exists() {
                fs::copy(format!("/usr/share/OVMF/OVMF_VARS{flash}"), &variables).unwrap();
            }
            command.args(["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={code}")]);
            let variables = variables.display();
            command.args(["-drive", &format!("if=pflash,unit=1,format=raw,file={variables}")]);
        }
        Self {
            command,
            firmware,
            folder: folder.to_owned(),
            token,
            ports: 0,
            order: Some(FIRST),
            limit: LIMIT,
        }
    }

    /// It is told this in front of its token, and restarts by itself as often as it wants to.
    pub(crate) fn told(mut self, told: &str) -> Self {
        let serial = format!("type=1,serial={told}:{}", self.token);
        self.command.args(["-action", "reboot=reset", "-smbios", &serial]);
        self
    }

    /// Firmware is not told an order: it boots what its own variables say.
    pub(crate) fn unordered(mut self) -> Self {
        self.order = None;
        self
    }

    /// It has gigabytes to write and to check, by emulation.
    pub(crate) fn takes_an_hour(mut self) -> Self {
        self.limit = Duration::from_secs(3600);
        self
    }

    pub(crate) fn memory(mut self, size: &str) -> Self {
        self.command.args(["-m", size]);
        self
    }

    /// A drive with the bytes of a file, whose name without its extension is the drive's serial number. Of several,
    /// the firmware tries the first one first.
    pub(crate) fn drive(self, bus: Bus, file: &Path) -> Self {
        let node = json!({ "driver": "file", "filename": file });
        self.node(bus, file, node)
    }

    /// A drive that is written to at no more bytes per second than this.
    pub(crate) fn slow_drive(mut self, bus: Bus, file: &Path, rate: u64) -> Self {
        let group = json!({ "qom-type": "throttle-group", "id": "slow", "limits": { "bps-write": rate } });
        self.command.args(["-object", &group.to_string()]);
        let node = json!({
            "driver": "throttle",
            "throttle-group": "slow",
            "file": { "driver": "file", "filename": file },
        });
        self.node(bus, file, node)
    }

    /// A drive that cannot be written to at this sector of 512 bytes.
    pub(crate) fn failing_drive(self, bus: Bus, file: &Path, sector: u64) -> Self {
        let error =
            json!({ "event": "none", "iotype": "write", "errno": 5, "sector": sector, "once": false });
        let node = json!({
            "driver": "blkdebug",
            "image": { "driver": "file", "filename": file },
            "inject-error": [error],
        });
        self.node(bus, file, node)
    }

    fn node(mut self, bus: Bus, file: &Path, mut node: Value) -> Self {
        let name = file.file_stem().unwrap().to_str().unwrap();
        node["read-only"] = (bus == Bus::Disc).into();
        let raw = json!({
            "driver": "raw",
            "node-name": format!("node-{name}"),
            "read-only": bus == Bus::Disc,
            "file": node,
        });
        self.command.args(["-blockdev", &raw.to_string()]);
        let device = match bus {
            Bus::Disc => format!("ide-cd,bus=ide.{}", self.ahci_port()),
            Bus::Ahci => format!("ide-hd,bus=ide.{},werror=report,rerror=report", self.ahci_port()),
            Bus::Usb => "usb-storage,bus=usb.0,removable=on,werror=report".to_owned(),
            Bus::Nvme => "nvme".to_owned(),
        };
        let order = self.next_in_order();
        let device = format!("{device},drive=node-{name},id={name},serial={name}{order}");
        self.command.args(["-device", &device]);
        self
    }

    fn ahci_port(&mut self) -> usize {
        self.ports += 1;
        self.ports - 1
    }

    fn next_in_order(&mut self) -> String {
        let Some(next) = &mut self.order else { return String::new() };
        *next += 1;
        format!(",bootindex={}", *next - 1)
    }

    /// With a card that kernels of virtual machines know.
    pub(crate) fn online_by_virtio(mut self) -> Self {
        self.command.args(["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]);
        self
    }

    /// A card behind QEMU's own network, from which the firmware starts nothing.
    pub(crate) fn online(mut self) -> Self {
        self.command.args(["-netdev", "user,id=net", "-device", "e1000e,netdev=net,romfile="]);
        self
    }

    /// A card in a port of a site, from which the firmware starts: by its own means, or a BIOS by iPXE in the card.
    pub(crate) fn card(mut self, port: &str) -> Self {
        let rom = if self.firmware == Firmware::Bios { "" } else { ",romfile=" };
        let order = self.next_in_order();
        let tap = format!("tap,id=net,ifname={port},script=no,downscript=no");
        let mac = port.bytes().last().unwrap();
        let device = format!("virtio-net-pci,netdev=net,mac=52:54:00:00:77:{mac:02x}{rom}{order}");
        self.command.args(["-netdev", &tap, "-device", &device]);
        self
    }

    /// UEFI that knows HTTP boot alone, as a board whose PXE is switched off.
    pub(crate) fn by_http(mut self) -> Self {
        for version in ["4", "6"] {
            let option = format!("name=opt/org.tianocore/IPv{version}PXESupport,string=no");
            self.command.args(["-fw_cfg", &option]);
        }
        self
    }

    /// The kernel of a netboot folder with these words, without any firmware or server that would find it.
    pub(crate) fn kernel(mut self, netboot: &Path, words: &str) -> Self {
        self.command.arg("-kernel").arg(netboot.join("vmlinuz"));
        self.command.arg("-initrd").arg(netboot.join("initramfs")).args(["-append", words]);
        self
    }

    /// Switch it on.
    pub(crate) fn start(mut self) -> Running {
        let socket = self.folder.join(format!("qmp-{}", self.token));
        self.command.args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())]);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut qemu = self.command.spawn().unwrap_or_else(|error| panic!("{QEMU}: {error} (see .ci/setup)"));
        let (console, keyboard) = (Console::of(&mut qemu), qemu.stdin.take().unwrap());
        Running { qemu, console, keyboard, socket, token: self.token, limit: self.limit }
    }

    /// Switch it on, and wait until it has reported and switched itself off.
    #[track_caller]
    pub(crate) fn reports(self) -> Report {
        self.start().reports()
    }

    /// Switch it on, and wait until it has switched itself off or wants to restart; what was on its console.
    #[track_caller]
    pub(crate) fn ends(self) -> String {
        self.start().ends()
    }
}

/// A machine that is on; switched off when dropped.
pub(crate) struct Running {
    qemu: Child,
    console: Console,
    keyboard: ChildStdin,
    socket: PathBuf,
    token: String,
    limit: Duration,
}

impl Running {
    /// Wait until its console has this, after all that was waited for before.
    #[track_caller]
    pub(crate) fn says(&mut self, word: &str) {
        let is_there = self.console.has(word, Instant::now() + self.limit);
        assert!(is_there, "the machine has not said {word:?}:\n{}", self.console.text);
    }

    /// All of its console so far.
    pub(crate) fn console(&self) -> &str {
        &self.console.text
    }

    /// Type on its console.
    pub(crate) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Pull out a drive by its name. AHCI of QEMU holds on to what is in it.
    pub(crate) fn pull_out(&self, drive: &str) {
        let order = json!({ "execute": "device_del", "arguments": { "id": drive } }).to_string();
        qmp::tell(&self.socket, &[&order]);
    }

    #[track_caller]
    pub(crate) fn reports(self) -> Report {
        let token = self.token.clone();
        Report::read(self.ends(), &token)
    }

    #[track_caller]
    pub(crate) fn ends(mut self) -> String {
        let has_ended = self.console.has_ended(Instant::now() + self.limit);
        let console = std::mem::take(&mut self.console.text);
        assert!(has_ended, "the machine is still on:\n{console}");
        let status = self.qemu.wait().unwrap();
        assert!(status.success(), "{status}:\n{console}");
        console
    }

    /// Pull its plug; what was on its console.
    pub(crate) fn switch_off(mut self) -> String {
        let _ = self.qemu.kill();
        self.console.has_ended(Instant::now() + self.limit);
        std::mem::take(&mut self.console.text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
