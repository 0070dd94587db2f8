//! How the guest's instructions run: by the processor (KVM) or emulated (TCG).
//!
//! `/dev/kvm` may be there and still be of no use: in a nested or cut-down virtual machine QEMU aborts, or
//! the guest crawls. So KVM is tried by running a machine that does one thing and ends.

use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use exporter::spec::Architecture;

use super::qemu;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccelChoice {
    /// KVM if it works, else TCG
    Auto,
    /// The host's processor
    Kvm,
    /// Emulation: works everywhere, slower
    Tcg,
}

/// What is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accel {
    /// The host's processor.
    Kvm,
    /// Emulation.
    Tcg,
}

impl AccelChoice {
    /// Decides by probing where there is a choice.
    pub(crate) fn decide(self, arch: Architecture, qemu: &Path) -> Accel {
        match self {
            Self::Kvm => Accel::Kvm,
            Self::Tcg => Accel::Tcg,
            Self::Auto if probe_kvm(arch, qemu).is_ok() => Accel::Kvm,
            Self::Auto => Accel::Tcg,
        }
    }
}

impl Accel {
    /// QEMU's arguments, each with all the processor features there are.
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "emulation (TCG)",
        })
    }
}

/// A working KVM answers in about 0.2 s; one that takes longer than this is slower than emulation.
const DEADLINE: Duration = Duration::from_secs(3);

/// Runs a tiny machine with KVM; the error says why KVM is of no use.
pub(crate) fn probe_kvm(arch: Architecture, qemu: &Path) -> Result<(), String> {
    if !qemu::is_native(arch) {
        return Err(format!("{arch} is not this host's processor"));
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Err(format!("/dev/kvm: {error}"));
    }
    probe(Accel::Kvm, arch, qemu)
}

/// Runs the probe machine of `arch` and waits for the one exit code that only its guest can cause.
fn probe(accel: Accel, arch: Architecture, qemu: &Path) -> Result<(), String> {
    let machine = ProbeMachine::new(arch).map_err(|error| format!("the probe cannot be set up: {error}"))?;
    let mut command = Command::new(qemu);
    command.args(["-machine", qemu::machine(arch, false)]).args(accel.arguments());
    command.args(["-m", "64", "-nodefaults", "-display", "none", "-no-reboot"]);
    command.args(machine.arguments());
    let cannot = |error| format!("{}: {error}", qemu.display());
    let mut child = Probe(
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(cannot)?,
    );
    match child.wait(DEADLINE).map_err(cannot)? {
        None => Err(format!("a tiny machine did not finish within {} s", DEADLINE.as_secs())),
        Some(status) if status.code() == Some(machine.exit_code) => Ok(()),
        Some(status) => Err(format!("QEMU ended with {status}{}", child.last_words())),
    }
}

/// The value the PC's boot sector writes to the debug-exit port.
const TOKEN: u8 = 0x2a;

/// A boot sector that writes [`TOKEN`] to port 0xf4, where QEMU's `isa-debug-exit` device listens.
const BOOT_SECTOR: [u8; 7] = [
    0xb0, TOKEN, // mov al, TOKEN
    0xe6, 0xf4, // out 0xf4, al
    0xf4, // hlt
    0xeb, 0xfd, // jmp to the hlt
];

/// A kernel that asks PSCI (Arm DEN 0022, `SYSTEM_OFF` = 0x8400_0008) to switch the machine off.
const ARM_KERNEL: [u32; 4] = [
    0x52b0_8000, // movz w0, #0x8400, lsl #16
    0x7280_0100, // movk w0, #0x0008
    0xd400_0002, // hvc #0
    0x1400_0000, // b to itself
];

/// A machine that ends by itself, and how.
struct ProbeMachine {
    arch: Architecture,
    program: tempfile::NamedTempFile,
    exit_code: i32,
}

impl ProbeMachine {
    fn new(arch: Architecture) -> io::Result<Self> {
        let mut program = tempfile::NamedTempFile::new()?;
        let exit_code = match arch {
            Architecture::X86_64 => {
                let mut sector = [0; 512];
                sector[..BOOT_SECTOR.len()].copy_from_slice(&BOOT_SECTOR);
                sector[510..].copy_from_slice(&[0x55, 0xaa]);
                program.write_all(&sector)?;
                // SeaBIOS does not boot from a disk smaller than one cylinder.
                program.as_file().set_len(1 << 20)?;
                // The device's rule: exit with (value << 1) | 1.
                i32::from(TOKEN) << 1 | 1
            }
            Architecture::Aarch64 => {
                for instruction in ARM_KERNEL {
                    program.write_all(&instruction.to_le_bytes())?;
                }
                0
            }
        };
        Ok(Self { arch, program, exit_code })
    }

    fn arguments(&self) -> Vec<OsString> {
        let path = self.program.path();
        match self.arch {
            Architecture::X86_64 => {
                let mut drive = OsString::from("if=virtio,format=raw,readonly=on,file=");
                drive.push(super::option_value(path));
                vec!["-device".into(), "isa-debug-exit,iobase=0xf4,iosize=1".into(), "-drive".into(), drive]
            }
            Architecture::Aarch64 => vec!["-kernel".into(), path.into()],
        }
    }
}

/// A QEMU that does not outlive the probe.
struct Probe(Child);

impl Probe {
    fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    /// The last line QEMU printed, for a message.
    fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(stderr) = self.0.stderr.take() {
            // Whatever could be read is better than nothing; the exit status is the news.
            let _ = stderr.take(1 << 16).read_to_end(&mut text);
        }
        let text = String::from_utf8_lossy(&text);
        text.lines().last().map(|line| format!(": {}", line.trim())).unwrap_or_default()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Both fail only if it has already ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_machine_works_where_emulation_does() {
        let qemu = qemu::find(Architecture::X86_64).unwrap();
        assert_eq!(probe(Accel::Tcg, Architecture::X86_64, &qemu), Ok(()));
    }

    #[test]
    fn a_qemu_that_does_something_else_is_not_believed() {
        let error = probe(Accel::Tcg, Architecture::X86_64, Path::new("/bin/false")).unwrap_err();
        assert!(error.starts_with("QEMU ended with exit status: 1"), "{error}");
        let error = probe(Accel::Tcg, Architecture::X86_64, Path::new("/nonexistent")).unwrap_err();
        assert!(error.starts_with("/nonexistent: No such file"), "{error}");
        assert!(
            probe_kvm(Architecture::Aarch64, Path::new("/bin/true")).is_err()
                || qemu::is_native(Architecture::Aarch64)
        );
    }
}
