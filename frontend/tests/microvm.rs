//! `vmimage run` of a microVM, with a `qemu-system-x86_64` of the test's own: what the machine tells of its program's end
//! becomes the exit code, whatever a machine may tell.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

/// A QEMU whose machine tells what `$TELLS` says, and which ends with the code 3. With KVM it is watched, and its machine
/// reads a sector of its root.
const QEMU: &str = r#"#!/usr/bin/env python3
import json, os, re, socket, sys
words = " ".join(sys.argv)
if "isa-debug-exit" in words:
    sys.exit(0x2a << 1 | 1)
port = socket.socket(fileno=int(re.search(r"id=status,fd=(\d+)", words)[1]))
port.sendall(os.environ["TELLS"].encode())
print("the program's words", flush=True)
watch = re.search(r"id=watch,fd=(\d+)", words)
if watch:
    monitor = socket.socket(fileno=int(watch[1])).makefile("rw")
    def tell(**line):
        print(json.dumps(line), file=monitor, flush=True)
    tell(QMP={})
    for line in monitor:
        asked = json.loads(line)["execute"]
        tell(**{"return": [{"device": "root", "stats": {"rd_bytes": 512, "wr_bytes": 0}}] if "block" in asked else {}})
        if "block" in asked:
            break
sys.exit(3)
"#;

fn run(tells: &str, accel: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("qemu-system-x86_64"), QEMU).unwrap();
    fs::set_permissions(at("qemu-system-x86_64"), fs::Permissions::from_mode(0o755)).unwrap();
    write_microvm(&at("web"));
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["run", "web", "--accel", accel]).args(args).current_dir(folder.path());
    command.env("PATH", path).env("TELLS", tells).output().unwrap()
}

fn write_microvm(folder: &Path) {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("vmlinuz"), "content").unwrap();
    fs::write(folder.join("root.raw"), "content").unwrap();
    let description = json!({
        "version": 1, "name": "web", "architecture": "x86_64", "cpus": 1, "memory_mib": 128,
        "kernel": "vmlinuz", "cmdline": "root=/dev/vda",
        "drives": [{"id": "root", "file": "root.raw", "format": "raw", "read_only": true}],
        "ports": [], "agent": "io.vmimage.agent", "status": "io.vmimage.status", "machines": ["q35"],
    });
    fs::write(folder.join("vm.json"), description.to_string()).unwrap();
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// By emulation, and where there is a KVM by one that is watched.
#[test]
fn the_exit_code_is_that_of_the_images_program() {
    for (tells, code, line) in [
        ("{\"status\":42}\n", 42, ""),
        ("{\"status\":0}\n", 0, ""),
        ("{\"status\":137,\"signal\":9}\n", 137, ""),
        (
            "{\"status\":1}\n{\"status\":127,\"error\":\"/app: \\u001b[2J\"}\n",
            127,
            "error: /app: \\u{1b}[2J\n",
        ),
        ("", 125, "the machine ended without an exit status of its program\n"),
        ("{\"status\":4", 125, "the machine ended without an exit status of its program\n"),
    ] {
        for accel in ["tcg", "auto"] {
            let output = run(tells, accel, &[]);
            assert_eq!(output.status.code(), Some(code), "{accel}: {tells}{}", told(&output));
            assert_eq!(output.stdout, b"the program's words\n");
            assert!(told(&output).ends_with(line), "{accel}: {}", told(&output));
        }
    }
}

#[test]
fn a_dry_run_shows_a_command_that_tells_the_same_to_its_user() {
    let output = run("", "tcg", &["--dry-run", "--agent", "agent.sock"]);
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && shown.lines().count() == 1, "{shown}{}", told(&output));
    for part in [
        "-chardev file,id=status,path=/dev/stderr ",
        "path=agent.sock ",
        "-kernel web/vmlinuz ",
        " -no-reboot ",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn a_machine_of_another_architecture_is_emulated_and_that_is_said() {
    let (own, other, board) = match std::env::consts::ARCH {
        "aarch64" => ("aarch64", "x86_64", "q35"),
        own => (own, "aarch64", "virt"),
    };
    let folder = tempfile::tempdir().unwrap();
    write_microvm(&folder.path().join("web"));
    let path = folder.path().join("web/vm.json");
    let text = fs::read_to_string(&path).unwrap().replace("x86_64", other).replace("q35", board);
    fs::write(&path, text).unwrap();
    let run = |qemu: &[&str], path: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(["run", "web"]).args(qemu).current_dir(folder.path()).env("TELLS", "{\"status\":0}\n");
        path.map(|path| command.env("PATH", path));
        command.output().unwrap()
    };
    fs::write(folder.path().join("qemu"), QEMU).unwrap();
    fs::set_permissions(folder.path().join("qemu"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = run(&["--qemu", "./qemu", "--accel", "tcg"], None);
    assert!(output.status.success(), "{}", told(&output));
    let said = format!("it is for {other}, which this host emulates: it is {own}\n");
    assert!(told(&output).contains(&said), "{}", told(&output));
    // Where there is none for it.
    let output = run(&[], Some(folder.path()));
    assert_eq!(output.status.code(), Some(1));
    let said = format!("error: qemu-system-{other}: is not installed\nhint: ");
    assert!(told(&output).starts_with(&said), "{}", told(&output));
}

#[test]
fn flags_of_microvms_are_not_for_disks() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), vec![0; 1 << 20]).unwrap();
    for flag in [["--machine", "microvm"], ["--agent", "socket"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        let output =
            command.args(["run", "disk.raw"]).args(flag).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(told(&output).starts_with(&format!("error: {}: disk.raw is no microVM\nhint: ", flag[0])));
    }
}
