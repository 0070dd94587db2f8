//! The commands as typed: what they print, how they end.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::process::{Command, Output};

fn vmimage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(args);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_command_teaches_with_examples() {
    for (args, part) in [
        (&["--help"][..], "vmimage build . -o web.qcow2"),
        (&["build", "--help"], "--build-arg VERSION=1.2"),
        (&["run", "--help"], "vmimage run web.qcow2 -p 8080:80"),
        (&["inspect", "--help"], "vmimage inspect web.qcow2 --json"),
        (&["push", "--help"], "vmimage push web.qcow2 registry.example:5000/team/web:v1"),
        (&["serve", "pxe", "--help"], "sudo vmimage serve pxe web --listen 10.9.0.1"),
        (&["doctor", "--help"], "Exit code 0"),
        (&["install", "--help"], "docker buildx build --output type=vmdisk,dest=web.qcow2 ."),
    ] {
        let output = vmimage(args).output().unwrap();
        assert!(output.status.success() && stdout(&output).contains(part), "{args:?}");
    }
    assert_eq!(
        vmimage(&[]).output().unwrap().status.code(),
        Some(2),
        "wrong usage is told apart from failure"
    );
}

#[test]
fn run_shows_the_command_it_would_run() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("my disk.raw"), vec![0; 1 << 20]).unwrap();
    let mut command =
        vmimage(&["run", "my disk.raw", "--bios", "--accel", "tcg", "-p", "8080:80", "--dry-run"]);
    let output = command.current_dir(dir.path()).output().unwrap();
    assert_eq!(stderr(&output), "");
    assert!(stdout(&output).ends_with(
        "/qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -m 1G -smp 2 \
         -drive 'if=none,id=disk,format=raw,file.driver=file,file.filename=my disk.raw' \
         -device virtio-blk-pci,drive=disk,bootindex=0 -netdev user,id=net,hostfwd=tcp:127.0.0.1:8080-:80 \
         -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci -serial mon:stdio -display none\n"
    ));
}

#[test]
fn run_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.raw");
    let run = |path: &str| vmimage(&["run"]).arg(&disk).env("PATH", path).output().unwrap();
    let output = run("/usr/bin");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).ends_with("disk.raw: cannot be read: No such file or directory (os error 2)\n"));
    fs::write(&disk, vec![0; 1 << 20]).unwrap();
    assert!(
        stderr(&run("/nonexistent"))
            .starts_with("error: qemu-system-x86_64: is not installed\nhint: install it")
    );
}

/// A boot sector that writes a letter to the serial port and ends the machine through the debug port.
#[test]
fn run_boots_the_disk_and_ends_as_the_machine_does() {
    let program = [
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xb0, b'!', // mov al, '!'
        0xee, // out dx, al
        0xb0, 0x10, // mov al, 0x10
        0xe6, 0xf4, // out 0xf4, al
        0xf4, // hlt
    ];
    let mut disk = vec![0; 1 << 20];
    disk[..program.len()].copy_from_slice(&program);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a:b,c.raw");
    fs::write(&path, &disk).unwrap();
    let mut command = vmimage(&["run", "--bios", "--snapshot", "--qemu-arg=-device"]);
    command.arg("--qemu-arg=isa-debug-exit,iobase=0xf4,iosize=1").arg("a:b,c.raw").current_dir(dir.path());
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0x10 << 1 | 1), "{}", stderr(&output));
    assert!(stdout(&output).contains('!'));
    assert!(stderr(&output).starts_with("booting a:b,c.raw with BIOS, "));
}

#[test]
fn doctor_names_everything_and_what_to_type() {
    let output = vmimage(&["doctor", "--json"]).env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["build"], &report["run"]), (&false.into(), &false.into()));
    let checks = report["checks"].as_array().unwrap();
    for name in ["docker", "docker buildx", "podman", "buildah", "QEMU"] {
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["ok"], false);
        assert!(check["hint"].as_str().unwrap().starts_with("install it"), "{check}");
    }

    let output = vmimage(&["doctor"]).output().unwrap();
    assert!(output.status.success(), "this machine has all that the other tests need: {}", stdout(&output));
    assert!(stdout(&output).ends_with("vmimage build can work, vmimage run can work\n"));
}

#[test]
fn every_flag_of_the_reference_is_one_of_build() {
    let help = stdout(&vmimage(&["build", "--help"]).output().unwrap());
    let page = stdout(&vmimage(&["config", "reference"]).output().unwrap());
    let flags: Vec<_> =
        page.lines().filter_map(|line| line.split(" | ").nth(4)?.strip_prefix("`--")).collect();
    assert!(flags.len() > 10, "{page}");
    for flag in flags {
        assert!(help.contains(&format!("--{} <", flag.trim_end_matches('`'))), "{flag}");
    }
}

#[test]
fn config_says_what_is_wrong_in_a_file_or_that_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        fs::write(dir.path().join("vmimage.toml"), text).unwrap();
        vmimage(&["config", "check"]).current_dir(dir.path()).output().unwrap()
    };
    let output = check("size = \"10G\"\n");
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(0), "vmimage.toml: nothing is wrong\n".to_owned())
    );
    let output = check("size = \"big\"\nhostnam = \"a\"\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "error: vmimage.toml:1:8: size is \"big\": \"big\" is not a size: write a number with K, M, G or T, such as 10G\n \
         1 | size = \"big\"\n   |        ^^^^^\n\
         vmimage.toml:2:1: unknown key hostnam: did you mean hostname?\n \
         2 | hostnam = \"a\"\n   | ^^^^^^^\n"
    );
    let schema = stdout(&vmimage(&["config", "schema"]).output().unwrap());
    assert!(serde_json::from_str::<serde_json::Value>(&schema).unwrap()["properties"]["size"].is_object());
}
