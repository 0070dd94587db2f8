//! Two slots for roots: the machine is the same one whichever root it is started from, and keeps what is not of the root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::boot::bare_alpine;
use super::lab::{Partition, Report, boot, build, copy_of, extract, partitions, raw, run, scratch};
use super::scratch::Machine;

const DEBIAN: &str = "vmimage-test/debian:12";
const ALPINE: &str = "vmimage-test/alpine:3.23";

const CONFIG: &str = r#"
hostname = "web"
layout = "ab"

[[partitions]]
type = "srv"
label = "data"
size = "64M"
[[partitions]]
type = "swap"
size = "64M"
"#;

pub(super) const EROFS: &str = r#"
[[partitions]]
type = "root"
filesystem = "erofs"
[[partitions]]
type = "esp"
size = "512M"
"#;

/// What is mounted, and what the boots before have written.
const FACTS: &str = r#"
[[files]]
path = "/etc/report.d/slots"
content = '''
fact root "$(awk '$2 == "/" { print $3, substr($4, 1, 2) }' /proc/mounts)"
fact data "$(awk '$2 == "/srv" { print $3, substr($4, 1, 2) }' /proc/mounts)"
fact swap "$(awk 'NR > 1 { print $2 }' /proc/swaps)"
for folder in /etc /var/lib /srv; do echo boot >>"$folder/boots"; fact "$folder" "$(grep -c boot "$folder/boots")"; done
seconds=0
until vmimage-boot status | grep -q ' booted  *good ' || [ "$seconds" = 90 ]; do sleep 1; seconds=$((seconds + 1)); done
fact status "$(vmimage-boot status --json)"
if echo new 2>/dev/null >/usr/written; then fact usr written; else fact usr read-only; fi
'''
"#;

/// The raw disk of `testdata/machine` on a base, with these keys and tables beside what every one has.
pub(crate) fn machine(base: &str, [keys, more]: [&str; 2], folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    std::fs::write(context.join("vmimage.toml"), format!("{keys}{CONFIG}{more}{FACTS}")).unwrap();
    let disk = folder.join("machine.qcow2");
    build(&context, &disk, &["--build-arg", &format!("BASE={base}")]);
    raw(&disk, folder)
}

/// What GRUB reads of an environment block in which slot B has not been tried yet.
const SECOND_FIRST: &str = "# GRUB Environment Block\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=0\ngood=A\nORDER=B A\n";

/// Write the root of the first slot into the second one, which is called so, and let that be tried first.
pub(crate) fn fill_second_slot(disk: &Path, folder: &Path) {
    let (parts, root) = (partitions(disk), folder.join("root.raw"));
    let (first, second) = (&parts[2], &parts[3]);
    assert_eq!((first.size, &first.kind), (second.size, &second.kind));
    extract(disk, first, &root);
    run(Command::new("dd")
        .args(["bs=1M", "oflag=seek_bytes", "conv=notrunc", "status=none"])
        .arg(format!("if={}", root.display()))
        .arg(format!("of={}", disk.display()))
        .arg(format!("seek={}", second.start)));
    run(Command::new("sfdisk").args(["--quiet", "--part-label"]).arg(disk).args(["4", "root-b"]));
    let esp = esp(disk, &parts);
    if run(Command::new("mdir").args(["-b", "-i", &esp, "::/"])).contains("/A/") {
        let second = folder.join("B");
        run(Command::new("mcopy").args(["-s", "-i", &esp, "::/A"]).arg(folder));
        std::fs::rename(folder.join("A"), &second).unwrap();
        run(Command::new("mcopy").args(["-s", "-i", &esp]).arg(&second).arg("::/"));
    }
    for copy in ["grubenv", "grubenv.2"] {
        let block = folder.join(copy);
        std::fs::write(&block, format!("{SECOND_FIRST:#<1024}")).unwrap();
        run(Command::new("mcopy").args(["-o", "-i", &esp]).arg(&block).arg(format!("::/EFI/BOOT/{copy}")));
    }
}

fn esp(disk: &Path, parts: &[Partition]) -> String {
    format!("{}@@{}", disk.display(), parts[1].start)
}

/// What a machine is known by.
fn identity(report: &Report) -> [&str; 2] {
    ["machine-id", "host-key"].map(|fact| report.get(fact))
}

/// Two boots from the first slot and one from the second, which has the same root.
fn is_one_machine(base: &str, more: &str, root: &str, firmware: &str) {
    let folder = scratch();
    let disk = machine(base, ["", more], folder.path());
    let first = boot(&disk, firmware, &[]);
    let second = boot(&disk, firmware, &[]);
    fill_second_slot(&disk, folder.path());
    let other = boot(&disk, firmware, &[]);
    for (count, slot, report) in [("1", "A", &first), ("2", "A", &second), ("3", "B", &other)] {
        let cmdline = report.get("cmdline");
        assert!(cmdline.contains(&format!(" rauc.slot={slot} ")), "{cmdline}");
        assert_eq!(["/etc", "/var/lib", "/srv"].map(|folder| report.get(folder)), [count; 3], "{slot}");
        assert_eq!((report.get("root"), report.get("usr")), (root, "read-only"));
        assert_eq!((report.get("data"), report.get("swap")), ("ext4 rw", "partition"));
        assert_eq!((report.get("failed"), report.get("app")), ("", "version one"));
        let status: serde_json::Value = serde_json::from_str(report.get("status")).unwrap();
        assert_eq!((&status["booted"], &status["good"]), (&slot.into(), &slot.into()), "{status}");
        // OpenRC makes none.
        assert!(base.contains("alpine") || !report.get("machine-id").is_empty());
        assert_eq!(identity(report), identity(&first), "{slot}");
    }
}

#[test]
#[ignore = "long: make matrix"]
fn either_slot_starts_the_same_machine() {
    is_one_machine(DEBIAN, "", "ext4 ro", "--bios");
    is_one_machine("vmimage-test/debian:13", "", "ext4 ro", "--secure-boot");
}

#[test]
fn either_slot_starts_the_same_alpine() {
    is_one_machine(ALPINE, "", "ext4 ro", "--bios");
}

#[test]
#[ignore = "long: make matrix"]
fn either_slot_starts_the_same_alpine_by_uefi() {
    is_one_machine(ALPINE, "", "ext4 ro", "--uefi");
}

/// The kernels lie on the ESP, since no GRUB of a distribution reads the roots.
#[test]
#[ignore = "long: make matrix"]
fn either_slot_of_erofs_starts_the_same_machine() {
    is_one_machine(DEBIAN, EROFS, "erofs ro", "--secure-boot");
    is_one_machine(&bare_alpine(), EROFS, "erofs ro", "--bios");
}

/// vmimage's own init, which says itself that a boot was good once the program has been up for a while.
#[test]
#[ignore = "long: make matrix"]
fn either_slot_starts_the_same_program_from_scratch() {
    let folder = scratch();
    let context = copy_of("scratch", folder.path());
    std::fs::write(context.join("vmimage.toml"), "layout = \"ab\"\npersist.bind = [\"/data\"]\n").unwrap();
    let server = folder.path().join("server.qcow2");
    build(&context, &server, &[]);
    let disk = raw(&server, folder.path());
    for (firmware, slot, kept) in [
        ("--bios", "A", ""),
        ("--bios", "B", "written by the machine"),
        ("--uefi", "B", "written by the machine"),
    ] {
        if slot == "B" {
            fill_second_slot(&disk, folder.path());
        }
        let mut machine = Machine::boot(&disk, firmware);
        let report = machine.report();
        wait_until_good(&machine, slot);
        machine.power_down();
        let fact = |name: &str| report.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert!(fact("cmdline").contains(&format!(" rauc.slot={slot}")), "{report:?}");
        assert!(fact("root").contains(" / ext4 ro"), "{report:?}");
        assert_eq!((fact("kept"), fact("app")), (kept, "version one"), "{slot}");
        let esp = esp(&disk, &partitions(&disk));
        let grubenv = run(Command::new("mtype").args(["-i", &esp, "::/EFI/BOOT/grubenv"]));
        let good = format!("\n{slot}_TRY=0\n");
        assert!(grubenv.contains(&good) && grubenv.contains(&format!("\ngood={slot}\n")), "{grubenv}");
    }
}

/// As it is told on the console.
fn wait_until_good(machine: &Machine, slot: &str) {
    let start = Instant::now();
    while !machine.console().contains(&format!("last good: {slot}")) {
        assert!(start.elapsed() < Duration::from_secs(120), "nobody says good:\n{}", machine.console());
        std::thread::sleep(Duration::from_millis(500));
    }
}
