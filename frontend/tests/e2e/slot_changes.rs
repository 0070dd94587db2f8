//! Two slots: a change from one to the other that is cut, one that RAUC makes, and one by systemd-boot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::fall_back::machine_with;
use super::lab::{boot, boot_and_kill, boot_between, boot_told, run, scratch};
use super::slots::{EROFS, fill_second_slot, machine};

const DEBIAN: &str = "vmimage-test/debian:12";

/// Told to change, it goes to the other slot, and from there back.
const CHANGE: &str = r#"
[[files]]
path = "/etc/report.d/change"
content = '''
change() {
	until vmimage-boot status | grep -q ' booted  *good '; do sleep 1; done
	slot=$(sed 's/.*rauc.slot=\(.\).*/\1/' /proc/cmdline)
	fact change "$slot"
	other=$(echo "$slot" | tr AB BA)
	vmimage-boot next "$other"
	sync
	reboot
	sleep 600
}
case $(cat /sys/class/dmi/id/product_serial) in
change:*) change ;;
esac
'''
"#;

/// Twenty changes, each cut at another moment, from the command to the boot from the other slot.
#[test]
#[ignore = "long: make matrix"]
fn a_change_of_slots_can_be_cut_at_any_moment() {
    let folder = scratch();
    let disk = machine(DEBIAN, ["", CHANGE], folder.path());
    let first = boot(&disk, "--bios", &[]);
    fill_second_slot(&disk, folder.path());
    let [start, end] = ["report:change=B", "report:change=A"];
    let change = boot_between(&copy(&disk, folder.path()), "--bios", "change", [start, end]);
    let mut slots = Vec::new();
    for number in 0..20 {
        let copy = copy(&disk, folder.path());
        let after = change * number / 19;
        boot_and_kill(&copy, "--bios", "change", start, after);
        let report = boot(&copy, "--bios", &[]);
        let status: serde_json::Value = serde_json::from_str(report.get("status")).unwrap();
        let booted = status["booted"].as_str().unwrap().to_owned();
        assert!(report.get("cmdline").contains(&format!(" rauc.slot={booted} ")), "{after:?}: {status}");
        assert_eq!(
            (&status["good"], &status["environment"]),
            (&status["booted"], &"whole".into()),
            "{after:?}"
        );
        assert_eq!((report.get("failed"), report.get("app")), ("", "version one"), "{after:?}");
        assert_eq!(report.get("machine-id"), first.get("machine-id"), "{after:?}");
        // That of the first boot is there, and this one's.
        for folder in ["/etc", "/var/lib", "/srv"] {
            let boots: u32 = report.get(folder).parse().unwrap();
            assert!(boots >= 2, "{after:?}: {folder}: {boots}");
        }
        slots.push(booted);
    }
    // Some were cut before, and some after.
    assert!(slots.iter().any(|slot| slot == "A") && slots.iter().any(|slot| slot == "B"), "{slots:?}");
}

fn copy(disk: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("copy.raw");
    run(Command::new("cp").args(["--sparse=always"]).arg(disk).arg(&copy));
    copy
}

/// RAUC's words, and what is made of them.
const RAUC: &str = r#"
[[files]]
path = "/etc/report.d/rauc"
content = '''
view() { fact "$1" "$(rauc status --output-format=json)"; fact "$1-status" "$(vmimage-boot status --json)"; }
until vmimage-boot status | grep -q ' booted  *good '; do sleep 1; done
view rauc
rauc status mark-bad other
view rauc-bad
rauc status mark-active other
view rauc-active
vmimage-boot next B >/dev/null
view rauc-next
'''
"#;

#[test]
#[ignore = "long: make matrix"]
fn rauc_reads_the_slots_and_marks_them() {
    let folder = scratch();
    let packages = r#"install = ["rauc", "rauc-service", "grub-common"]"#;
    let disk = machine(DEBIAN, [packages, RAUC], folder.path());
    fill_second_slot(&disk, folder.path());
    let report = boot(&disk, "--bios", &[]);
    let json = |fact: &str| -> serde_json::Value { serde_json::from_str(report.get(fact)).unwrap() };
    for (view, primary, a, order) in [
        ("rauc", "rootfs.1", "good", ["B", "A"]),
        ("rauc-bad", "rootfs.1", "bad", ["B", "A"]),
        ("rauc-active", "rootfs.0", "good", ["A", "B"]),
        ("rauc-next", "rootfs.1", "good", ["B", "A"]),
    ] {
        let (rauc, status) = (json(view), json(&format!("{view}-status")));
        assert_eq!(
            (&rauc["booted"], &rauc["boot_primary"]),
            (&"B".into(), &primary.into()),
            "{view}: {rauc}"
        );
        assert_eq!((&status["booted"], &status["order"]), (&"B".into(), &order.into()), "{view}: {status}");
        for (number, name, state) in [(0_usize, "rootfs.0", a), (1, "rootfs.1", "good")] {
            let slots = rauc["slots"].as_array().unwrap();
            let slot = slots.iter().find_map(|slot| slot.get(name)).unwrap();
            assert_eq!(slot["boot_status"], state, "{view}: {rauc}");
            assert_eq!(status["slots"][number]["state"], state, "{view}: {status}");
        }
    }
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
const STEPS: &str = r#"#!/bin/sh
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
        let disk = machine_with(folder.path(), &format!("{SYSTEMD_BOOT}{more}"), STEPS);
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
