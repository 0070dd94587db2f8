//! Roots that are only read: what a machine writes is in memory, and the disk stays what was built.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::{bare_alpine, check_report};
use super::lab::{Partition, Report, boot, build, copy_of, extract, partitions, raw, run, scratch};
use super::scratch::Machine;

const DEBIAN: &str = "vmimage-test/debian:12";

/// The kiosk of docs/layouts.md, with swap in place of what it keeps.
const KIOSK: &str = r#"
hostname = "web"
layout = "split-boot"
volatile = "overlay"

[[partitions]]
type = "root"
filesystem = "erofs"
[[partitions]]
type = "swap"
size = "64M"
"#;

/// Facts of what is mounted, and what can be written to.
const FACTS: &str = r#"
[[files]]
path = "/etc/report.d/volatile"
content = '''
fact root "$(awk '$2 == "/" { print $3 }' /proc/mounts)"
fact boot "$(awk '$2 == "/boot" { print $3, substr($4, 1, 2) }' /proc/mounts)"
fact swap "$(awk 'NR > 1 { print $2 }' /proc/swaps)"
writes() { if echo new 2>/dev/null >"$1/vmimage-test"; then fact "$1" written; else fact "$1" read-only; fi; }
for folder in /etc /usr /var/lib /tmp /run /boot; do writes "$folder"; done
fact early "$(ls /usr/lib/vmimage | tr '\n' ' ')"
'''
"#;

/// The disk of `testdata/machine` on a base with this configuration.
fn machine(base: &str, config: &str, folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    std::fs::write(context.join("vmimage.toml"), format!("{config}{FACTS}")).unwrap();
    let disk = folder.join("machine.qcow2");
    build(&context, &disk, &["--build-arg", &format!("BASE={base}")]);
    disk
}

/// The bytes of the partition with the root, by their digest.
fn root(disk: &Path, folder: &Path, number: usize) -> (Partition, String) {
    let (raw, root) = (raw(disk, folder), folder.join("root.raw"));
    let partition = partitions(&raw)[number - 1].clone();
    extract(&raw, &partition, &root);
    let sum = run(Command::new("sha256sum").arg(&root));
    (partition, sum)
}

fn written(report: &Report) -> [&str; 6] {
    ["/etc", "/usr", "/var/lib", "/tmp", "/run", "/boot"].map(|folder| report.get(folder))
}

/// Boot it, and see that not a byte of the root is another one afterwards. Its services run on what it writes.
fn boots_and_keeps_its_root(base: &str, disk: &Path, folder: &Path, firmware: &str, number: usize) -> Report {
    let (_, before) = root(disk, folder, number);
    let report = boot(disk, firmware, &[]);
    assert_eq!(root(disk, folder, number).1, before, "the root was written to");
    check_report(base, firmware, &report);
    assert_eq!(report.get("root"), "overlay");
    assert_eq!(written(&report), ["written", "written", "written", "written", "written", "read-only"]);
    // OpenRC makes none.
    assert!(base.contains("alpine") || !report.get("machine-id").is_empty());
    report
}

/// EROFS below, read by a kernel of a `/boot` of its own.
#[test]
fn a_kiosk_of_erofs_writes_to_memory() {
    let folder = scratch();
    let disk = machine(DEBIAN, KIOSK, folder.path());
    let (partition, _) = root(&disk, folder.path(), 4);
    run(Command::new("fsck.erofs").arg(folder.path().join("root.raw")));
    assert!(partition.size > 100 << 20, "{partition:?}");
    let report = boots_and_keeps_its_root(DEBIAN, &disk, folder.path(), "--bios", 4);
    assert!(report.get("cmdline").contains("rootfstype=erofs"), "{}", report.get("cmdline"));
    assert_eq!((report.get("boot"), report.get("swap")), ("ext4 ro", "partition"));
    assert_eq!(report.get("early"), "early early.json vmimage-carrier");
}

#[test]
#[ignore = "long: make matrix"]
fn a_kiosk_starts_by_uefi_and_secure_boot() {
    for base in [DEBIAN, "vmimage-test/debian:13"] {
        let folder = scratch();
        let disk = machine(base, KIOSK, folder.path());
        let first = boots_and_keeps_its_root(base, &disk, folder.path(), "--uefi", 4);
        let second = boots_and_keeps_its_root(base, &disk, folder.path(), "--secure-boot", 4);
        assert_ne!(first.get("machine-id"), second.get("machine-id"));
    }
}

/// OpenRC, mkinitfs and their modules, which the kernel does not unpack. The kernel comes by the graft, so that its
/// initramfs is made for the root.
#[test]
#[ignore = "long: make matrix"]
fn alpine_has_an_overlay_in_memory() {
    let base = bare_alpine();
    for (config, firmware, root) in [
        ("hostname = \"web\"\nvolatile = \"overlay\"\nlayout = \"split-boot\"\n", "--bios", 4),
        (KIOSK, "--bios", 4),
        (KIOSK, "--uefi", 4),
    ] {
        let folder = scratch();
        let disk = machine(&base, config, folder.path());
        boots_and_keeps_its_root(&base, &disk, folder.path(), firmware, root);
    }
}

/// `/etc` and `/usr` are those of the image; services that write to `/var` run.
#[test]
#[ignore = "long: make matrix"]
fn the_state_of_a_machine_is_in_memory() {
    let folder = scratch();
    let config = "hostname = \"web\"\nvolatile = \"state\"\nlayout = \"split-boot\"\n";
    let disk = machine(DEBIAN, config, folder.path());
    let (_, before) = root(&disk, folder.path(), 4);
    let report = boot(&disk, "--bios", &[]);
    assert_eq!(root(&disk, folder.path(), 4).1, before, "the root was written to");
    assert_eq!((report.get("state"), report.get("failed")), ("running", ""));
    assert_eq!(
        (report.get("root"), report.get("writable"), report.get("app")),
        ("ext4", "no", "version one")
    );
    assert_eq!(written(&report), ["read-only", "read-only", "written", "written", "written", "read-only"]);
    assert_ne!(report.get("machine-id"), "");
    assert!(report.get("address").starts_with("10.0.2."), "{}", report.get("address"));
}

/// vmimage's own init: what a container would write is in memory, and the image's own /run is there.
#[test]
#[ignore = "long: make matrix"]
fn a_program_from_scratch_writes_to_memory() {
    for (volatile, mounted, writable) in
        [("overlay", "overlay / overlay rw", "true"), ("state", " / erofs ro", "false")]
    {
        let folder = scratch();
        let context = copy_of("scratch", folder.path());
        let config = format!(
            "hostname = \"web\"\nlayout = \"split-boot\"\nvolatile = \"{volatile}\"\n\
             [[partitions]]\ntype = \"root\"\nfilesystem = \"erofs\"\n"
        );
        std::fs::write(context.join("vmimage.toml"), config).unwrap();
        let disk = folder.path().join("server.qcow2");
        build(&context, &disk, &[]);
        let (_, before) = root(&disk, folder.path(), 4);
        let mut machine = Machine::boot(&disk, "--bios");
        let report = machine.report();
        machine.power_down();
        let fact = |name: &str| {
            let found = report.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {report:?}"))
        };
        assert!(fact("root").contains(mounted), "{}", fact("root"));
        assert_eq!((fact("writable"), fact("app"), fact("hostname")), (writable, "version one", "web"));
        assert_eq!(root(&disk, folder.path(), 4).1, before, "the root was written to");
    }
}
