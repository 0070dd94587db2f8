//! Two disks of one build in one machine: what starts is the one that the firmware has chosen.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::machine_on;
use super::disk::check;
use super::lab::{Report, VMIMAGE, boot_by, run, scratch};

/// `vmimage run` of a disk that the firmware starts last.
const RUN_AS_LAST: &str = r#"eval "$("$0" "$@" --dry-run | sed s/bootindex=0/bootindex=9/)""#;

/// Boot a disk that lies behind `first` on the bus, where GRUB finds it second.
fn boot_second(started: &Path, first: &Path, firmware: &str) -> Report {
    let mut command = Command::new("sh");
    command.args(["-c", RUN_AS_LAST, VMIMAGE]);
    let drive = format!("--qemu-arg=if=none,id=started,snapshot=on,file={}", started.display());
    let device = "--qemu-arg=virtio-blk-pci,drive=started,bootindex=0,addr=0x1e";
    boot_by(
        command,
        first,
        firmware,
        &["--snapshot", "--qemu-arg=-drive", &drive, "--qemu-arg=-device", device],
    )
}

/// A copy whose menu says another word.
fn marked(disk: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("marked.raw");
    run(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(disk).arg(&copy));
    run(Command::new("sed").args(["-i", "s/ro console=tty0/ro console=tty1/"]).arg(&copy));
    copy
}

fn vmimage_clone(disk: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("clone.qcow2");
    run(Command::new(VMIMAGE).arg("clone").arg(disk).arg("-o").arg(&copy));
    check(&copy);
    copy
}

#[test]
fn the_disk_that_was_started_is_the_one_that_boots() {
    let folder = scratch();
    let disk = machine_on("vmimage-test/debian:12", folder.path(), &[]);
    let copy = marked(&disk, folder.path());
    let report = boot_second(&copy, &disk, "--uefi");
    assert!(report.get("cmdline").contains(" ro console=tty1 "), "{}", report.get("cmdline"));
}

#[test]
#[ignore = "long: make matrix"]
fn a_clone_beside_its_disk_has_its_own_root() {
    let folder = scratch();
    let disk = machine_on("vmimage-test/debian:12", folder.path(), &[]);
    let copy = vmimage_clone(&disk, folder.path());
    for firmware in ["--bios", "--uefi"] {
        for (started, first) in [(&copy, &disk), (&disk, &copy)] {
            let report = boot_second(started, first, firmware);
            assert_eq!((report.get("state"), report.get("failed")), ("running", ""));
            // /dev/vda is the first on the bus.
            assert_eq!(report.get("root-device"), "/dev/vdb3");
        }
    }
}
