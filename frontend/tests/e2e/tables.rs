//! Partition tables other than the usual one: an MBR, and a GPT that counts in sectors of 4096 bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::check_report;
use super::lab::{Report, boot, partitions, raw, run, scratch};
use super::layouts::{BASE, machine, mib};

const MBR: &str = r#"
hostname = "web"
size = "3G"
layout = "simple"
table = "mbr"

[[partitions]]
type = "swap"
size = "64M"

[[files]]
path = "/etc/report.d/table"
content = '''
fact table "$(lsblk -n -d -o PTTYPE /dev/vda)"
fact id "$(lsblk -n -o PARTUUID /dev/vda3)"
fact swap "$(awk 'NR > 1 { print $1 }' /proc/swaps)"
'''
"#;

/// Boots a copy that is larger than it was built, and returns what it has reported, with the disk as it is then.
fn boots_larger(disk: &Path, firmware: &str, folder: &Path) -> (Report, PathBuf) {
    let copy = folder.join("copy.qcow2");
    std::fs::copy(disk, &copy).unwrap();
    run(Command::new("qemu-img").args(["resize", "-q"]).arg(&copy).arg("5G"));
    let report = boot(&copy, firmware, &[]);
    check_report(BASE, firmware, &report);
    assert!(mib(&report, "root-bytes") > 4200, "{}", mib(&report, "root-bytes"));
    (report, raw(&copy, folder))
}

fn an_mbr_boots_by(firmwares: &[&str]) {
    let folder = scratch();
    let disk = machine(folder.path(), MBR);
    for firmware in firmwares {
        let (report, raw) = boots_larger(&disk, firmware, folder.path());
        assert_eq!((report.get("table"), report.get("swap")), ("dos", "/dev/vda2"));
        let id = report.get("id").strip_suffix("-03").unwrap_or_default();
        let listed: serde_json::Value =
            serde_json::from_str(&run(Command::new("sfdisk").arg("-J").arg(&raw))).unwrap();
        assert_eq!(listed["partitiontable"]["id"], format!("0x{id}"));
        run(Command::new("sfdisk").arg("--verify").arg(&raw));
        let table = partitions(&raw);
        assert_eq!(table.iter().map(|part| &*part.kind).collect::<Vec<_>>(), ["ef", "82", "83"]);
        assert!((5 << 30) - (table[2].start + table[2].size) < 2 << 20, "{table:?}");
        run(Command::new("e2fsck").args(["-fn", &format!("{}?offset={}", raw.display(), table[2].start)]));
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_disk_with_an_mbr_boots_and_grows_on_a_bios() {
    an_mbr_boots_by(&["--bios"]);
}

#[test]
#[ignore = "long: make matrix"]
fn a_disk_with_an_mbr_boots_by_uefi() {
    an_mbr_boots_by(&["--uefi", "--secure-boot"]);
}

const LARGE_SECTORS: &str = r#"
hostname = "web"
size = "3G"
firmware = "uefi"
sector-size = 4096

[[files]]
path = "/etc/report.d/table"
content = '''
fact sectors "$(cat /sys/block/vda/queue/logical_block_size)"
'''
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_disk_with_sectors_of_4096_bytes_boots_and_grows() {
    let folder = scratch();
    let disk = machine(folder.path(), LARGE_SECTORS);
    for firmware in ["--uefi", "--secure-boot"] {
        let (report, raw) = boots_larger(&disk, firmware, folder.path());
        assert_eq!(report.get("sectors"), "4096");
        let attach = ["--find", "--show", "--sector-size", "4096"];
        let device = run(Command::new("losetup").args(attach).arg(&raw));
        let verdict = run(Command::new("sgdisk").args(["-v", device.trim()]));
        run(Command::new("losetup").args(["--detach", device.trim()]));
        assert!(verdict.contains("No problems found"), "{verdict}");
    }
}
