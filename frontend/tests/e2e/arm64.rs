//! Machines of arm64, on whatever processor this is: their programs are emulated, in the build and in the machine
//! (`.ci/setup arm64`).

use std::path::Path;
use std::process::Command;

use super::boot::{boots_and_grows, machine_on};
use super::lab::{VMIMAGE, binary_of, run, scratch, testdata};

const BASE: &str = "vmimage-test/debian:12-arm64";
const FRONTEND: &str = "vmimage-test/frontend:arm64";

#[test]
#[ignore = "long: make matrix"]
fn a_machine_of_arm64_boots_and_grows() {
    let folder = scratch();
    let disk = machine_on(BASE, folder.path(), &["--platform", "linux/arm64"]);
    boots_and_grows(BASE, &disk, "--uefi", &["--qemu-arg=-cpu", "--qemu-arg=max"]);
}

/// What it is compiled to there makes the same disk of a folder, byte for byte.
#[test]
#[ignore = "long: make matrix"]
fn the_frontend_is_compiled_for_arm64() {
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "-q", "--load", "--platform", "linux/arm64", "-t", FRONTEND]);
    build.args(["--build-arg", "PROFILE=demo", "-f"]);
    run(build.arg(testdata("../Dockerfile.frontend")).arg(testdata("..")));
    let inspect = ["image", "inspect", "--format", "{{.Architecture}}", FRONTEND];
    assert_eq!(run(Command::new("docker").args(inspect)).trim(), "arm64");

    let folder = scratch();
    let theirs = binary_of(FRONTEND, folder.path());
    let disk = |program: &Path, name: &str| {
        let disk = folder.path().join(name);
        run(Command::new(program)
            .args(["convert", "--profile", "data", "-q", "-o"])
            .arg(&disk)
            .arg(testdata("demo")));
        std::fs::read(disk).unwrap()
    };
    assert!(disk(&theirs, "theirs.qcow2") == disk(Path::new(VMIMAGE), "ours.qcow2"));
}
