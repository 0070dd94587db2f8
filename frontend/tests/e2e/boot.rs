//! Distribution by firmware: every disk boots, reports from inside, and is whole after shutdown.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::check_made_on;
use super::lab::{Report, boot, build, copy_of, partitions, raw, run, scratch, testdata};

/// Build `testdata/machine` on a base and boot the disk with each firmware.
pub(crate) fn boots_on(base: &str, firmwares: &[&str]) {
    let folder = scratch();
    let disk = machine_on(base, folder.path(), &[]);
    for firmware in firmwares {
        boots_and_grows(base, &disk, firmware, &[]);
    }
}

/// The disk of `testdata/machine` on a base.
pub(crate) fn machine_on(base: &str, folder: &Path, args: &[&str]) -> PathBuf {
    let disk = folder.join("machine.qcow2");
    let base = format!("BASE={base}");
    build(&testdata("machine"), &disk, &[&["--build-arg", &base, "--hostname", "web"], args].concat());
    check_made_on(&base, &disk);
    disk
}

/// Boot a copy that is larger than it was built: its root has to grow.
pub(crate) fn boots_and_grows(base: &str, disk: &Path, firmware: &str, args: &[&str]) -> Report {
    let folder = scratch();
    let copy = folder.path().join("copy.qcow2");
    std::fs::copy(disk, &copy).unwrap();
    run(Command::new("qemu-img").args(["resize", "-q"]).arg(&copy).arg("5G"));
    let report = boot(&copy, firmware, args);
    check_report(base, firmware, &report);
    check_after(base, &copy, folder.path(), &report);
    report
}

/// On a disk of 16 TB: no unit waits for the growth, none fails, and the rest is under way.
#[test]
#[ignore = "long: make matrix"]
fn a_huge_disk_grows_beside_the_services() {
    for base in ["vmimage-test/debian:12", "vmimage-test/debian:13", "vmimage-test/alpine:3.23"] {
        let folder = scratch();
        let disk = machine_on(base, folder.path(), &[]);
        run(Command::new("qemu-img").args(["resize", "-q"]).arg(&disk).arg("16T"));
        let report = boot(&disk, "--bios", &[]);
        check_report(base, "--bios", &report);
        let bytes: u64 = report.get("root-bytes").parse().unwrap();
        assert!(bytes > 31 << 30, "a root of {bytes} bytes has no room");
    }
}

/// Bases whose init has no state to tell.
const WITHOUT_SYSTEMD: [&str; 3] = ["alpine", "busybox", "sysvinit"];

pub(crate) fn check_report(base: &str, firmware: &str, report: &Report) {
    check_report_in(base, firmware, report, "10.0.2.");
    assert_ne!(report.get("resolves"), "0");
}

/// The same of a machine in a network whose addresses begin with this, and where no name server need be.
pub(crate) fn check_report_in(base: &str, firmware: &str, report: &Report, network: &str) {
    if !WITHOUT_SYSTEMD.into_iter().any(|name| base.contains(name)) {
        assert_eq!((report.get("state"), report.get("failed")), ("running", ""));
    }
    assert_eq!(report.get("failed"), "", "{}", report.console());
    assert_eq!(report.get("app"), "version one");
    assert_eq!(report.get("hostname"), "web");
    assert_eq!(report.get("writable"), "yes");
    assert!(report.get("address").starts_with(network), "{}", report.get("address"));
    let (kind, secure) = match firmware {
        "--bios" => ("bios", None),
        "--uefi" => ("uefi", Some("0")),
        _ => ("uefi", Some("1")),
    };
    assert_eq!(report.get("firmware"), kind);
    if let Some(secure) = secure {
        assert_eq!(report.get("secure-boot"), secure);
    }
}

/// After shutdown the disk is whole, and its root fills what was asked.
pub(crate) fn check_after(base: &str, disk: &Path, folder: &Path, report: &Report) {
    check_made_on(base, disk);
    let raw = raw(disk, folder);
    let root = partitions(&raw)[2].clone();
    let end = std::fs::metadata(&raw).unwrap().len();
    assert!(
        end - (root.start + root.size) < 2 << 20,
        "the partition ends at {} of {end}",
        root.start + root.size
    );
    let bytes: u64 = report.get("root-bytes").parse().unwrap();
    assert!(bytes > root.size / 100 * 95, "a root of {bytes} bytes in a partition of {}", root.size);
}

/// By a BIOS it is booted in `identity.rs`, by UEFI without its Secure Boot in `config.rs`, `install.rs` and `buildah.rs`.
#[test]
fn debian_12() {
    boots_on("vmimage-test/debian:12", &["--secure-boot"]);
}

#[test]
fn debian_13() {
    boots_on("vmimage-test/debian:13", &["--secure-boot"]);
}

/// By UEFI, it is booted in `convert.rs`.
#[test]
fn alpine_3_23() {
    boots_on("vmimage-test/alpine:3.23", &["--bios"]);
}

/// A container's Alpine: kernel and init come from a repository, through the graft.
#[test]
fn alpine_without_kernel_and_init() {
    boots_on(&bare_alpine(), &["--bios"]);
}

/// The name of that image.
pub(crate) fn bare_alpine() -> String {
    let folder = scratch();
    let context = copy_of("bare-alpine", folder.path());
    let key = folder.path().join("test.rsa");
    run(Command::new("openssl").args(["genrsa", "-out"]).arg(&key));
    run(Command::new("openssl")
        .args(["rsa", "-pubout", "-in"])
        .arg(&key)
        .arg("-out")
        .arg(context.join("test.rsa.pub")));
    let image = "vmimage-test/bare-alpine";
    let secret = format!("id=key,src={}", key.display());
    run(Command::new("docker").args(["build", "-q", "--secret", &secret, "-t", image]).arg(&context));
    image.to_owned()
}
