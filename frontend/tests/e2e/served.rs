//! Disks that are served and not written: images of engines, read by qemu-img, and a machine that boots from one.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::boot::{check_report, machine_on};
use super::lab::{
    LIMIT, Report, VMIMAGE, accel_arguments, alone_with_the_store, nonce, run, run_to_end, scratch,
};

const IMAGE: &str = "vmimage-test/alpine:3.23";
const BASE: &str = "vmimage-test/debian:12";

/// `vmimage serve nbd`, which ends with this.
struct Serving {
    process: Child,
    out: BufReader<ChildStdout>,
    uri: String,
}

impl Serving {
    #[track_caller]
    fn start(source: &str, folder: &Path, more: &[&str]) -> Self {
        let listen = format!("unix:{}", folder.join("socket").display());
        let mut command = Command::new(VMIMAGE);
        command.args(["serve", "nbd", source, "--json", "--listen", &listen]).args(more);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{command:?}: {line}"));
        Self { process, out, uri: ready["uri"].as_str().unwrap().to_owned() }
    }

    /// Bytes that its clients got.
    fn end(mut self) -> u64 {
        run(Command::new("kill").arg(self.process.id().to_string()));
        let mut lines = String::new();
        self.out.read_to_string(&mut lines).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line["bytes"].as_u64()).sum()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn images_of_engines_are_served_as_they_are_written() {
    let _alone = alone_with_the_store();
    let folder = scratch();
    let raw = folder.path().join("disk.raw");
    for source in [format!("docker-daemon:{IMAGE}"), format!("containers-storage:localhost/{IMAGE}")] {
        let mut convert = Command::new(VMIMAGE);
        convert.args(["convert", "--quiet", "--no-install", "--profile", "data", &source, "-o"]).arg(&raw);
        run(&mut convert);
        let serving = Serving::start(&source, folder.path(), &["--profile", "data"]);
        let mut compare = Command::new("qemu-img");
        run(compare.args(["compare", "-f", "raw", "-F", "raw"]).arg(&raw).arg(&serving.uri));
        assert!(serving.end() > 0, "{source}");
    }
}

/// What it writes is QEMU's, and gone; it reads a part of the disk, and the file stays as it is.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_boots_from_a_disk_that_is_served() {
    let (folder, token) = (scratch(), nonce());
    let disk = machine_on(BASE, folder.path(), &[]);
    let before = std::fs::read(&disk).unwrap();
    let serving = Serving::start(disk.to_str().unwrap(), folder.path(), &[]);
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", "q35", "-m", "1G", "-smp", "1"]).args(accel_arguments());
    qemu.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-device", "virtio-rng-pci"]);
    qemu.args(["-nic", "user,model=virtio-net-pci", "-smbios", &format!("type=1,serial={token}")]);
    qemu.args(["-drive", &format!("if=virtio,format=raw,snapshot=on,file={}", serving.uri)]);
    let (status, console) = run_to_end(&mut qemu, LIMIT);
    assert!(status.success(), "{status}:\n{console}");
    check_report(BASE, "--bios", &Report::read(console, &token));
    let sent = serving.end();
    assert!((1 << 20..1 << 30).contains(&sent), "{sent} bytes were read");
    assert!(before == std::fs::read(&disk).unwrap(), "the disk was written to");
}
