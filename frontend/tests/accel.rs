//! `vmimage run` where KVM is half there: a `qemu-system-x86_64` of the test's own is first in PATH, passes the
//! probe, and then fails with KVM in every way that such machines do.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A QEMU that runs a guest by emulation alone. With KVM it speaks QMP, and does what `$HOW` says.
const QEMU: &str = r#"#!/usr/bin/env python3
import json, os, re, socket, sys, time
words = " ".join(sys.argv)
if "isa-debug-exit" in words:
    sys.exit(0x2a << 1 | 1)
if "-accel kvm" not in words:
    print("a boot by emulation")
    sys.exit(7)
print("a boot by KVM", flush=True)
how = os.environ["HOW"]
if how == "dies":
    os.abort()
monitor = socket.socket(fileno=int(re.search(r"fd=(\d+)", words)[1])).makefile("rw")
def tell(**line):
    print(json.dumps(line), file=monitor, flush=True)
tell(QMP={})
for line in monitor:
    command = json.loads(line)["execute"]
    disks = [{"device": "disk", "stats": {"rd_bytes": 2048, "wr_bytes": 4096 if how == "writes" else 0}}]
    answers = {
        "query-status": {"status": "internal-error" if how in ("stops", "writes") else "running"},
        "query-blockstats": disks,
    }
    tell(**{"return": answers.get(command, {})})
    if command == "qmp_capabilities" and how in ("stops", "writes"):
        tell(event="STOP")
    if command == "qmp_capabilities" and how == "ends":
        sys.exit(3)
    if command == "quit":
        break
"#;

fn run(folder: &Path, how: &str, args: &[&str]) -> Output {
    let qemu = folder.join("qemu-system-x86_64");
    fs::write(&qemu, QEMU).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("disk.raw"), vec![0; 1 << 20]).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["run", "disk.raw", "--bios"]).args(args).current_dir(folder);
    command.env("PATH", path).env("HOW", how).env_remove("VMIMAGE_ACCEL").output().unwrap()
}

fn has_kvm() -> bool {
    fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

#[test]
fn a_machine_that_kvm_does_not_run_is_booted_by_emulation() {
    let folder = tempfile::tempdir().unwrap();
    for (how, reason) in [
        ("stops", "KVM: internal error"),
        ("dies", "QEMU ended with signal: 6 (SIGABRT)"),
        ("is silent", "KVM: no sign of life within 15 s"),
    ] {
        let output = run(folder.path(), how, &[]);
        let said = String::from_utf8(output.stdout).unwrap();
        let told = String::from_utf8(output.stderr).unwrap().replace(" (core dumped)", "");
        assert!(said.ends_with("a boot by emulation\n"), "{how}: {said}{told}");
        assert_eq!(output.status.code(), Some(7), "{how}: {told}");
        let line = format!("{reason}; the disk is untouched, booting it again with emulation (TCG)\n");
        assert_eq!(told.ends_with(&line), has_kvm(), "{how}: {told}");
    }
}

#[test]
fn a_disk_that_was_written_to_is_not_booted_a_second_time() {
    let folder = tempfile::tempdir().unwrap();
    if !has_kvm() {
        return;
    }
    let output = run(folder.path(), "writes", &[]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a boot by KVM\n");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("error: KVM: internal error, when the machine had already written"), "{told}");
    assert!(told.contains("hint: ") && told.contains("--accel tcg"), "{told}");
    // What is written is thrown away: there is nothing to lose.
    let output = run(folder.path(), "writes", &["--snapshot"]);
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("a boot by emulation\n"));
}

#[test]
fn a_qemu_that_ends_by_itself_is_not_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), "ends", &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    let (words, code) = if has_kvm() { ("a boot by KVM\n", 3) } else { ("a boot by emulation\n", 7) };
    assert_eq!((said.as_str(), output.status.code()), (words, Some(code)));
}

#[test]
fn the_variable_decides_and_the_flag_before_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), vec![0; 1 << 20]).unwrap();
    let accel = |variable: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(["run", "disk.raw", "--bios", "--dry-run"]).args(args).env("VMIMAGE_ACCEL", variable);
        let output = command.current_dir(folder.path()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap().contains("-accel kvm"))
    };
    assert_eq!(accel("kvm", &[]), (true, true));
    assert_eq!(accel("tcg", &[]), (true, false));
    assert_eq!(accel("tcg", &["--accel", "kvm"]), (true, true));
    assert_eq!(accel("fast", &[]), (false, false));
}
