//! Whether KVM runs what a machine is made of: a tiny machine is run with it, and must end by itself.

mod sector;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use exporter::spec::Architecture;

use super::accel::Accel;
use super::qemu;

/// Emulation answers in a fraction of a second; a KVM that takes longer than this is slower.
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
    let mut run = Run::start(&mut command).map_err(cannot)?;
    match run.wait(DEADLINE).map_err(cannot)? {
        None if run.last_words.contains(INTERNAL_ERROR) => Err(run.last_words.clone()),
        None => Err(format!("a tiny machine did not finish within {} s", DEADLINE.as_secs())),
        Some(status) if status.code() == Some(machine.exit_code) => Ok(()),
        Some(status) if run.last_words.is_empty() => Err(format!("QEMU ended with {status}")),
        Some(status) => Err(format!("QEMU ended with {status}: {}", run.last_words)),
    }
}

/// The value that the PC's boot sector writes to the debug-exit port.
const TOKEN: u8 = 0x2a;

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
                program.write_all(sector::boot_sector())?;
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

/// What QEMU prints when KVM does not know how to go on. It stops the guest, and stays.
const INTERNAL_ERROR: &str = "KVM internal error";

/// A QEMU that does not outlive the probe.
struct Run {
    child: Child,
    stderr: Receiver<String>,
    /// The last line QEMU printed, or that of an internal error.
    last_words: String,
}

impl Run {
    fn start(command: &mut Command) -> io::Result<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = quiet.spawn()?;
        let (sender, stderr) = channel();
        let pipe = child.stderr.take().expect("stderr was asked to be a pipe");
        std::thread::spawn(move || {
            let lines = BufReader::new(pipe).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.trim().to_owned()).is_ok()).for_each(drop);
        });
        Ok(Self { child, stderr, last_words: String::new() })
    }

    /// How it has ended; `None` if it has not, and will not.
    fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            match self.stderr.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.last_words = line,
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().map(Some),
            }
            if self.last_words.contains(INTERNAL_ERROR) {
                return Ok(None);
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Best effort: it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
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

    /// Without long mode the machine resets.
    #[test]
    fn a_processor_that_is_half_there_is_not_believed() {
        let machine = ProbeMachine::new(Architecture::X86_64).unwrap();
        let mut command = Command::new(qemu::find(Architecture::X86_64).unwrap());
        command.args(["-machine", "q35", "-accel", "tcg", "-cpu", "486", "-m", "64", "-nodefaults"]);
        command.args(["-display", "none", "-no-reboot"]).args(machine.arguments());
        let status = Run::start(&mut command).unwrap().wait(Duration::from_secs(60)).unwrap();
        assert!(status.is_some_and(|status| status.code() != Some(machine.exit_code)), "{status:?}");
    }

    #[test]
    fn an_internal_error_is_told_although_qemu_stays() {
        let script = "echo 'KVM internal error. Suberror: 1' >&2; sleep 60";
        let mut run = Run::start(Command::new("sh").args(["-c", script])).unwrap();
        assert!(run.wait(Duration::from_secs(600)).unwrap().is_none());
        assert!(run.last_words.starts_with(INTERNAL_ERROR));
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
