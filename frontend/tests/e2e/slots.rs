//! Two slots for roots: the machine is the same one whichever root it is started from, and keeps what is not of the root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::boot::bare_alpine;
use super::fall_back::machine_with;
use super::lab::{
    Partition, Report, boot, boot_told, build, copy_of, extract, partitions, raw, run, scratch,
};

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

const EROFS: &str = r#"
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

/// The raw disk of `testdata/machine` on a base, with this beside what every one has.
fn machine(base: &str, more: &str, folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    std::fs::write(context.join("vmimage.toml"), format!("{CONFIG}{more}{FACTS}")).unwrap();
    let disk = folder.join("machine.qcow2");
    build(&context, &disk, &["--build-arg", &format!("BASE={base}")]);
    raw(&disk, folder)
}

/// What GRUB reads of an environment block in which slot B has not been tried yet.
const SECOND_FIRST: &str = "# GRUB Environment Block\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=0\ngood=A\nORDER=B A\n";

/// Write the root of the first slot into the second one, and let that be tried first.
fn fill_second_slot(disk: &Path, folder: &Path) {
    let (parts, root) = (partitions(disk), folder.join("root.raw"));
    let (first, second) = (&parts[2], &parts[3]);
    assert_eq!((first.size, &first.kind), (second.size, &second.kind));
    extract(disk, first, &root);
    run(Command::new("dd")
        .args(["bs=1M", "oflag=seek_bytes", "conv=notrunc", "status=none"])
        .arg(format!("if={}", root.display()))
        .arg(format!("of={}", disk.display()))
        .arg(format!("seek={}", second.start)));
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
    let disk = machine(base, more, folder.path());
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

const SYSTEMD_BOOT: &str = r#"
hostname = "web"
layout = "ab"
loader = "systemd-boot"
install = ["systemd-boot", "fdisk"]

[image]
id = "kiosk"

[update]
healthy = "test ! -e /persist/sick || grep -q rauc.slot=A /proc/cmdline"
deadline = 240
tries = 2
"#;

/// Slot A fills slot B and makes it the next one; that is good, falls sick, is the next one again, and is left.
const CHANGE: &str = r#"#!/bin/sh
echo on >/proc/sys/kernel/printk_devkmsg
fact() { printf '<4>report:%s=%s\n' "$1" "$2" >/dev/kmsg; }
told() { fact "$1" "$(cat "/persist/$1")"; }
entries() { ls /boot/efi/loader/entries | tr '\n' ' '; }
serial=$(cat /sys/class/dmi/id/product_serial)
until vmimage-boot status | grep -q ' booted  *good '; do sleep 1; done
case $(cat /persist/stage 2>/dev/null) in
'')
	slot=$(readlink /dev/vmimage/slot-B)
	dd if=/dev/vmimage/slot-A of="$slot" bs=1M conv=fsync 2>/dev/null
	number=$(cat "/sys/class/block/${slot#/dev/}/partition")
	sfdisk --no-reread --part-label "${slot%"$number"}" "$number" root-b
	vmimage-boot next B >/persist/said 2>&1
	entries >/persist/next
	echo filled >/persist/stage
	;;
filled)
	seconds=0
	until systemctl is-active --quiet systemd-bless-boot || [ "$seconds" = 120 ]; do sleep 1; seconds=$((seconds + 1)); done
	systemctl is-active systemd-bless-boot >/persist/blessed
	cat /proc/cmdline >/persist/second
	entries >/persist/good
	bootctl list 2>/dev/null | sed -n 's/^ *title: //p' | tr '\n' ';' >/persist/list
	touch /persist/sick
	echo sick >/persist/stage
	vmimage-boot next B
	;;
*)
	fact token "${serial##*:}"
	for name in said next blessed second good list; do told "$name"; done
	fact cmdline "$(cat /proc/cmdline)"
	fact entries "$(entries)"
	fact status "$(vmimage-boot status --json)"
	fact end end
	sync
	poweroff
	exit
	;;
esac
sync
reboot
"#;

/// The entries and their counters are those that systemd's own programs know.
#[test]
#[ignore = "long: make matrix"]
fn systemd_boot_changes_slots_and_goes_back() {
    for more in ["", EROFS] {
        let folder = scratch();
        let disk = machine_with(folder.path(), &format!("{SYSTEMD_BOOT}{more}"), CHANGE);
        let report = boot_told(&disk, "--uefi", "change", &[], Duration::from_secs(2400));
        assert_eq!(report.get("next"), "kiosk-A.conf kiosk-B+2-0.conf", "{}", report.get("said"));
        assert!(report.get("second").contains(" rauc.slot=B "), "{}", report.get("second"));
        assert_eq!((report.get("good"), report.get("blessed")), ("kiosk-A.conf kiosk-B.conf", "active"));
        let list = report.get("list");
        assert!(list.contains(", slot A") && list.contains(", slot B"), "{list}");
        assert!(report.get("cmdline").contains(" rauc.slot=A "), "{}", report.get("cmdline"));
        assert_eq!(report.get("entries"), "kiosk-A.conf kiosk-B+0-2.conf");
        let status: serde_json::Value = serde_json::from_str(report.get("status")).unwrap();
        assert_eq!((&status["booted"], &status["good"]), (&"A".into(), &"A".into()), "{status}");
        let second = &status["slots"][1];
        assert_eq!((&second["state"], &second["tries"]), (&"bad".into(), &2.into()), "{status}");
    }
}
