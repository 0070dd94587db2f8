//! Two slots: machines that go back by themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lab::{Report, boot_told, build, context, scratch};

/// For a machine whose slot B gets what slot A has, broken in the way that the firmware's tables say, at its first boot. It
/// tells where it ends up and powers off.
const DOCKERFILE: &str = r#"
FROM vmimage-test/debian:12
COPY --chmod=755 steps /usr/local/bin/steps
COPY steps.service /etc/systemd/system/
RUN systemctl enable steps.service
"#;

const CONFIG: &str = r#"
hostname = "web"
layout = "ab"
install = ["fdisk"]

[update]
healthy = "test ! -e /sick"
deadline = 240
tries = 2
"#;

const SERVICE: &str = "[Service]\nExecStart=/usr/local/bin/steps\n[Install]\nWantedBy=multi-user.target\n";

const STEPS: &str = r#"#!/bin/sh
echo on >/proc/sys/kernel/printk_devkmsg
fact() { printf '<4>report:%s=%s\n' "$1" "$2" >/dev/kmsg; }
serial=$(cat /sys/class/dmi/id/product_serial)
how=${serial%%:*} token=${serial#*:}
until vmimage-boot status | grep -q ' booted  *good '; do sleep 1; done
if [ ! -e /persist/filled ]; then
	echo "edited" >/etc/edited
	cat /etc/machine-id >/persist/filled
	slot=$(readlink /dev/vmimage/slot-B)
	dd if=/dev/vmimage/slot-A of="$slot" bs=1M conv=fsync 2>/dev/null
	number=$(cat "/sys/class/block/${slot#/dev/}/partition")
	sfdisk --no-reread --part-label "${slot%"$number"}" "$number" root-b
	mount "$slot" /mnt
	case $how in
	init | torn) rm /mnt/sbin/init; rm -f /mnt/lib/systemd/systemd /mnt/usr/lib/systemd/systemd ;;
	panic) rm /mnt/sbin/init; printf '#!/bin/sh\nexit 1\n' >/mnt/sbin/init; chmod 755 /mnt/sbin/init ;;
	lost) sed -i 's#rauc.slot=#root=/dev/nothing rauc.slot=#' /mnt/boot/grub/grub.cfg ;;
	sick) touch /mnt/sick ;;
	hang) rm /mnt/sbin/init; printf '#!/bin/sh\nwhile true; do sleep 60; done\n' >/mnt/sbin/init; chmod 755 /mnt/sbin/init ;;
	initramfs) rm -f /mnt/boot/initr* ;;
	esac
	umount /mnt
	[ "$how" != root ] || dd if=/dev/zero of="$slot" bs=1M count=16 conv=fsync 2>/dev/null
	if [ "$how" = both ]; then
		vmimage-boot next B && vmimage-boot bad A && vmimage-boot bad B
	else
		vmimage-boot next B
	fi
	[ "$how" != torn ] || printf '# GRUB Environment Block\nA_OK=1\nA_TRY=0\nB_O' >/boot/efi/EFI/BOOT/grubenv
	sync
	reboot
	exit
fi
fact token "$token"
fact cmdline "$(cat /proc/cmdline)"
fact status "$(vmimage-boot status --json)"
fact machine-id "$([ "$(cat /etc/machine-id)" = "$(cat /persist/filled)" ] && echo kept)"
fact edited "$(cat /etc/edited)"
fact end end
sync
poweroff
"#;

pub(super) fn machine(folder: &Path) -> PathBuf {
    machine_with(folder, CONFIG, STEPS)
}

/// A Debian 12 that takes these steps in each of its boots.
pub(super) fn machine_with(folder: &Path, config: &str, steps: &str) -> PathBuf {
    let context = context(folder, DOCKERFILE);
    for (name, text) in [("vmimage.toml", config), ("steps", steps), ("steps.service", SERVICE)] {
        std::fs::write(context.join(name), text).unwrap();
    }
    let disk = folder.join("machine.qcow2");
    build(&context, &disk, &[]);
    disk
}

/// Boot a copy of the disk whose slot B is broken so; what it tells where it ends up.
fn boot_broken(disk: &Path, firmware: &str, how: &str) -> Report {
    boot_told(disk, firmware, how, &["--snapshot"], Duration::from_secs(2400))
}

fn ends_in(disk: &Path, firmware: &str, how: &str, slot: &str, tries: u64) -> Report {
    let report = boot_broken(disk, firmware, how);
    let status: serde_json::Value = serde_json::from_str(report.get("status")).unwrap();
    assert_eq!((&status["booted"], &status["good"]), (&slot.into(), &slot.into()), "{how}: {status}");
    assert_eq!(status["slots"][1]["tries"], tries, "{how}: {status}");
    assert!(report.get("cmdline").contains(&format!("rauc.slot={slot}")), "{how}: {}", report.get("cmdline"));
    assert_eq!(status["environment"], "whole", "{how}: {status}");
    assert_eq!((report.get("machine-id"), report.get("edited")), ("kept", "edited"), "{how}");
    report
}

#[test]
#[ignore = "long: make matrix"]
fn a_root_in_the_other_slot_is_the_same_machine() {
    let folder = scratch();
    let disk = machine(folder.path());
    for firmware in ["--bios", "--uefi", "--secure-boot"] {
        ends_in(&disk, firmware, "none", "B", 0);
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_broken_slot_is_left_without_a_hand() {
    let folder = scratch();
    let disk = machine(folder.path());
    for (how, tries) in [("lost", 2), ("initramfs", 2), ("root", 0), ("sick", 2), ("hang", 2)] {
        ends_in(&disk, "--bios", how, "A", tries);
    }
    ends_in(&disk, "--uefi", "init", "A", 2);
    ends_in(&disk, "--secure-boot", "sick", "A", 2);
}

/// Once for each try. Of the last, GRUB believes and counts in the other copy.
#[test]
#[ignore = "long: make matrix"]
fn a_slot_whose_kernel_panics_is_left_without_a_hand() {
    let folder = scratch();
    let disk = machine(folder.path());
    for how in ["init", "panic", "torn"] {
        let report = ends_in(&disk, "--bios", how, "A", 2);
        let panics = report.console().matches("Rebooting in 10 seconds").count();
        assert_eq!(panics, 2, "{how}:\n{}", report.console());
    }
}

#[test]
#[ignore = "long: make matrix"]
fn where_both_slots_are_bad_the_last_good_one_is_started() {
    let folder = scratch();
    let disk = machine(folder.path());
    let report = boot_broken(&disk, "--bios", "both");
    assert!(report.get("cmdline").contains("rauc.slot=A"), "{}", report.get("cmdline"));
    assert!(report.get("cmdline").ends_with("vmimage.guard=off"), "{}", report.get("cmdline"));
    for reason in [
        "vmimage: no slot has a try left: slot A is started",
        "vmimage: A_OK=0 A_TRY=0 B_OK=0 B_TRY=0 ORDER=B A",
    ] {
        assert!(report.console().contains(reason), "{reason}:\n{}", report.console());
    }
    // It was good once more, and so it has tries.
    let status: serde_json::Value = serde_json::from_str(report.get("status")).unwrap();
    assert_eq!(status["slots"][0]["state"], "good", "{status}");
}
