//! Without a build: the static binary of the frontend image makes a machine of an image's layers.

use std::path::Path;
use std::process::Command;

use super::boot::check_report;
use super::disk;
use super::lab::{boot, run, scratch, static_binary, syntax, testdata};

const BASE: &str = "vmimage-test/alpine:3.23";
const IMAGE: &str = "vmimage-test/machine";

#[test]
fn a_saved_image_becomes_a_machine_that_boots() {
    let folder = scratch();
    let binary = static_binary(folder.path());
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "-q", "--load", "-t", IMAGE, "--build-arg", "VMIMAGE_STAGE=rootfs"]);
    build.args(["--build-arg", &syntax(), "--build-arg", &format!("BASE={BASE}")]);
    run(build.arg(testdata("machine")));

    let saved = folder.path().join("machine.tar");
    run(Command::new("docker").args(["save", IMAGE, "-o"]).arg(&saved));
    let disk = folder.path().join("machine.qcow2");
    let convert = |source: &Path, disk: &Path| {
        let mut command = Command::new(&binary);
        command.args(["convert", "--no-install", "--hostname", "web"]).arg(source).arg("-o").arg(disk);
        run(&mut command);
    };
    convert(&saved, &disk);
    disk::check(&disk);

    // The same layers by another way in are the same disk, byte for byte.
    let layout = folder.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    run(Command::new("tar").arg("-xf").arg(&saved).arg("-C").arg(&layout));
    assert!(layout.join("oci-layout").exists(), "docker save writes a layout since 25");
    let again = folder.path().join("again.qcow2");
    for source in [&*layout, Path::new("docker-daemon:vmimage-test/machine")] {
        convert(source, &again);
        run(Command::new("cmp").arg(&disk).arg(&again));
    }
    check_report(BASE, "--uefi", &boot(&disk, "--uefi", &[]));
}
