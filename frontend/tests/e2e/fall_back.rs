//! Two slots: what GRUB's script makes of an environment, and machines that go back by themselves.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::lab::{
    Partition, Report, VMIMAGE, accel, boot_told, build, context, partitions, raw, run, run_until, scratch,
};

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
	init) rm /mnt/sbin/init; rm -f /mnt/lib/systemd/systemd /mnt/usr/lib/systemd/systemd ;;
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

fn machine(folder: &Path) -> PathBuf {
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

fn ends_in(disk: &Path, firmware: &str, how: &str, slot: &str, tries: u64) {
    let report = boot_broken(disk, firmware, how);
    let status: serde_json::Value = serde_json::from_str(report.get("status")).unwrap();
    assert_eq!((&status["booted"], &status["good"]), (&slot.into(), &slot.into()), "{how}: {status}");
    assert_eq!(status["slots"][1]["tries"], tries, "{how}: {status}");
    assert!(report.get("cmdline").contains(&format!("rauc.slot={slot}")), "{how}: {}", report.get("cmdline"));
    assert_eq!((report.get("machine-id"), report.get("edited")), ("kept", "edited"), "{how}");
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
    for (how, tries) in [("init", 2), ("lost", 2), ("initramfs", 2), ("root", 0), ("sick", 2), ("hang", 2)] {
        ends_in(&disk, "--bios", how, "A", tries);
    }
    ends_in(&disk, "--uefi", "init", "A", 2);
    ends_in(&disk, "--secure-boot", "sick", "A", 2);
}

#[test]
#[ignore = "long: make matrix"]
fn where_both_slots_are_bad_the_last_good_one_is_started() {
    let folder = scratch();
    let disk = machine(folder.path());
    let report = boot_broken(&disk, "--bios", "both");
    assert!(report.get("cmdline").contains("rauc.slot=A"), "{}", report.get("cmdline"));
    assert!(report.get("cmdline").ends_with("vmimage.guard=off"), "{}", report.get("cmdline"));
}

/// What GRUB's script is given, and what the slot that it takes is told: its name, further words, and the tries of both. A
/// copy of `None` is not there.
struct Case {
    copies: [Option<Vec<u8>>; 2],
    expected: &'static str,
}

fn block(a: &str, b: &str, good: &str, order: &str) -> Option<Vec<u8>> {
    let [(a_ok, a_try), (b_ok, b_try)] = [a, b].map(|slot| slot.split_once('/').unwrap());
    Some(padded(&format!(
        "A_OK={a_ok}\nA_TRY={a_try}\nB_OK={b_ok}\nB_TRY={b_try}\ngood={good}\nORDER={order}\n"
    )))
}

fn padded(variables: &str) -> Vec<u8> {
    let mut bytes = format!("# GRUB Environment Block\n{variables}").into_bytes();
    bytes.resize(1024, b'#');
    bytes
}

fn cases() -> Vec<Case> {
    let case = |first, second, expected| Case { copies: [first, second], expected };
    let fresh = || block("1/0", "0/0", "A", "A B");
    let next = || block("1/0", "1/0", "A", "B A");
    let cut = |len| next().map(|bytes| bytes[..len].to_vec());
    vec![
        case(fresh(), fresh(), "A 1 0 ."),
        case(block("1/1", "0/0", "A", "A B"), fresh(), "A 2 0 ."),
        case(next(), fresh(), "B 0 1 ."),
        case(block("1/0", "1/2", "A", "B A"), fresh(), "A 1 2 ."),
        case(block("1/0", "0/0", "A", "B A"), fresh(), "A 1 0 ."),
        case(block("1/2", "1/2", "B", "B A"), fresh(), "B 2 2 vmimage.guard=off."),
        case(block("0/0", "0/0", "A", "B A"), fresh(), "A 0 0 vmimage.guard=off."),
        case(Some(Vec::new()), next(), "B 0 1 ."),
        case(cut(60), next(), "B 0 1 ."),
        case(Some(vec![0; 1024]), next(), "B 0 1 ."),
        case(None, next(), "B 0 1 ."),
        case(next(), None, "B 0 1 ."),
        case(None, cut(70), "A 1 0 vmimage.guard=off."),
    ]
}

/// A menu in place of a slot's, which tells what it was given. Its last entry fails as a kernel does that is not there, and
/// so the machine restarts.
const MENU: &str = "\
set default=0
set timeout=0
menuentry 'told' {
\techo \"told:$number:$slot $A_TRY $B_TRY $slot_words.\"
\tlinux /nothing
}
";

/// Each case is a folder of the ESP, with the machine's own script that starts from the environment in it.
#[test]
#[ignore = "long: make matrix"]
fn grub_chooses_as_its_environment_says() {
    let folder = scratch();
    let disk = raw(&machine(folder.path()), folder.path());
    let parts = partitions(&disk);
    let of_type = |kind| parts.iter().filter(move |part: &&Partition| part.kind.starts_with(kind));
    of_type("4f68bce3").for_each(|slot| fill(&disk, slot, folder.path()));
    let esp = Esp { disk: &disk, at: of_type("c12a7328").next().unwrap().start, folder: folder.path() };
    let (script, cases) = (esp.read("/EFI/debian/grub.cfg"), cases());
    for (number, case) in cases.iter().enumerate() {
        esp.add(number, case, &script);
    }
    let last = cases.len();
    let driver = format!(
        "set number=0\nload_env --file ($root)/EFI/BOOT/number number\n\
         if [ \"$number\" = {last} ]; then echo told:end; sleep 600; fi\n\
         configfile ($root)/CASE$number/grub.cfg\n"
    );
    esp.write("/EFI/debian/grub.cfg", driver.as_bytes());
    for firmware in ["--bios", "--uefi"] {
        for (number, case) in cases.iter().enumerate() {
            esp.fill(number, case);
        }
        esp.write("/EFI/BOOT/number", &padded("number=0\n"));
        let mut command = Command::new(VMIMAGE);
        command.env("VMIMAGE_ACCEL", accel()).arg("run").arg(&disk).args([firmware, "--cpus", "1"]);
        let console = run_until(&mut command, "told:end", Duration::from_secs(900));
        for (number, case) in cases.iter().enumerate() {
            let expected = format!("told:{number}:{}", case.expected);
            assert!(console.contains(&expected), "{firmware}: {expected}:\n{console}");
        }
        assert!(console.contains("is not started, the machine restarts"), "{console}");
        // Counted where it was read, and in the other copy, if that was one.
        let counted = |folder: &str, copy: &str| esp.read(&format!("/{folder}/{copy}"));
        for (folder, copy) in [("CASE2", "grubenv"), ("CASE2", "grubenv.2"), ("CASE7", "grubenv.2")] {
            assert!(counted(folder, copy).contains("\nB_TRY=1\n"), "{firmware}: {folder}/{copy}");
        }
    }
}

/// A slot with the menu of the test.
fn fill(disk: &Path, slot: &Partition, folder: &Path) {
    let (tree, volume) = (folder.join("slot"), folder.join("slot.raw"));
    std::fs::create_dir_all(tree.join("boot/grub")).unwrap();
    std::fs::write(tree.join("boot/grub/grub.cfg"), MENU).unwrap();
    let _ = std::fs::remove_file(&volume);
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(tree).arg(&volume).arg("16M"));
    run(Command::new("dd")
        .args(["bs=1M", "conv=notrunc", "oflag=seek_bytes", "status=none"])
        .arg(format!("if={}", volume.display()))
        .arg(format!("of={}", disk.display()))
        .arg(format!("seek={}", slot.start)));
}

/// The ESP of a raw disk, by mtools.
struct Esp<'a> {
    disk: &'a Path,
    at: u64,
    folder: &'a Path,
}

impl Esp<'_> {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-i").arg(format!("{}@@{}", self.disk.display(), self.at));
        command
    }

    fn read(&self, path: &str) -> String {
        run(self.command("mtype").arg(format!("::{path}")))
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let file = self.folder.join("file");
        std::fs::write(&file, bytes).unwrap();
        run(self.command("mcopy").arg("-o").arg(file).arg(format!("::{path}")));
    }

    /// The script of a case, for its folder, which knows the next one before it can fail.
    fn add(&self, number: usize, case: &Case, script: &str) {
        run(self.command("mmd").arg(format!("::/CASE{number}")));
        let next = number + 1;
        let script = script.replace("/EFI/BOOT/$", &format!("/CASE{number}/$"));
        let script = format!(
            "set number={next}\nsave_env --file ($root)/EFI/BOOT/number number\nset number={number}\n{script}"
        );
        self.write(&format!("/CASE{number}/grub.cfg"), script.as_bytes());
        self.fill(number, case);
    }

    fn fill(&self, number: usize, case: &Case) {
        for (name, copy) in ["grubenv", "grubenv.2"].into_iter().zip(&case.copies) {
            if let Some(bytes) = copy {
                self.write(&format!("/CASE{number}/{name}"), bytes);
            }
        }
    }
}
