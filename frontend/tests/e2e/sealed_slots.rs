//! Two slots whose roots are verified: a machine that is started by images of keys of its own takes its next version with the
//! image of that, and goes back where the next one is none.

use std::path::Path;
use std::process::Command;

use super::lab::{Report, VMIMAGE, raw, run, scratch};
use super::rack::{Bus, Firmware, Rack};
use super::slots::EROFS;
use super::update_machine::{DEBIAN, Kiosk, Wishes, check};

const NEWER: &str = "vmimage-test/debian:13";
const KEYS: &str = "loader = \"systemd-boot\"\ninstall = [\"systemd-boot\"]";
/// Empty variables, as they come with the firmware, and those in the folder of a machine.
const TEMPLATE: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const VARIABLES: &str = "variables_4M.secboot.fd";

const VERITY: &str = r#"
[[partitions]]
type = "root"
verity = true
"#;
const SIGNED: &str = r#"
[secure-boot]
certificate = "db.crt"
key = "db"
[[partitions]]
type = "root"
verity = true
"#;

/// What each boot says of its root, under a name of its own.
const FACTS: &str = r#"
facts() {
	fact "$1" "$(tr ' ' '\n' </proc/cmdline | sed -n 's/^roothash=//p') $(cat /sys/block/dm-0/dm/name) $(ls /boot/efi/EFI/Linux | tr '\n' ' ')"
}
"#;

/// To the second version, and back to the first, which takes it no more.
const THERE_AND_BACK: &str = r#"
case "$version $(cat /var/lib/back 2>/dev/null)" in
"version one ")
	write
	facts one
	try applied vmimage-update apply "$server/2/" --reboot
	sleep 600
	;;
"version two ")
	echo back >/var/lib/back
	sync
	facts two
	try back vmimage-update rollback --reboot
	sleep 600
	;;
esac
facts again
try left vmimage-update apply "$server/2/"
"#;

/// A byte of the first block is another one once the second version is there: that of the file system's own number.
const DAMAGED: &str = r#"
if [ "$version" = "version one" ] && [ ! -e /var/lib/damaged ]; then
	write
	try applied vmimage-update apply "$server/2/"
	touch /var/lib/damaged
	printf x | dd of=/dev/vmimage/slot-B bs=1 seek=1080 conv=notrunc,fsync 2>/dev/null
	restart
fi
facts after
"#;

/// The root hash, the device and the images that a boot has told.
fn facts<'a>(report: &'a Report, name: &str) -> [&'a str; 3] {
    let mut words = report.get(name).splitn(3, ' ');
    let facts = [(); 3].map(|()| words.next().unwrap_or_default().trim());
    assert_eq!((facts[0].len(), facts[1]), (64, "root"), "{}", report.console());
    facts
}

fn goes_there_and_back(report: &Report) {
    let [one, two, again] = ["one", "two", "again"].map(|name| facts(report, name));
    assert_ne!(one[0], two[0], "both have the root hash of one root");
    assert_eq!(one[0], again[0]);
    // Only the one that is called good has no counters.
    assert_eq!(one[2], "kiosk-1-A.efi");
    assert_eq!(two[2], "kiosk-1-A.efi kiosk-2-B.efi");
    assert!(report.get("applied").starts_with("0 "), "{}", report.get("applied"));
    assert!(report.get("left").contains("left again"), "{}", report.get("left"));
    check(report, "A", "version one");
}

/// Keys of the machine's own, in this folder.
fn generate(keys: &Path) {
    run(Command::new(VMIMAGE).args(["keys", "generate", "--name", "Acme"]).arg(keys));
}

/// A machine whose firmware knows these keys and starts nothing else.
fn boot_by(keys: &Path, kiosk: &Kiosk<'_>, steps: &str) -> Report {
    let folder = scratch();
    let mut vars = Command::new(VMIMAGE);
    vars.args(["keys", "vars", "--template", TEMPLATE, "--keys"]).arg(keys);
    run(vars.arg("-o").arg(folder.path().join(VARIABLES)));
    let disk = raw(&kiosk.disk, folder.path());
    kiosk.server.tell(&format!("{FACTS}{steps}"));
    let rack = Rack::new(Firmware::OwnKeys, folder.path()).drive(Bus::Nvme, &disk).online_by_virtio();
    rack.told(&kiosk.told()).takes_an_hour().reports()
}

#[test]
#[ignore = "long: make matrix"]
fn a_sealed_machine_updates_itself_and_goes_back() {
    let folder = scratch();
    let keys = folder.path().join("keys");
    generate(&keys);
    let secret = format!("id=db,src={}", keys.join("db.key").display());
    let (args, certificate) = (["--secret", &*secret], keys.join("db.crt"));
    let files = [("db.crt", &*certificate)];
    let wishes = Wishes { keys: KEYS, tables: SIGNED, args: &args, files: &files, ..Wishes::default() };
    let kiosk = Kiosk::new(NEWER, wishes);
    kiosk.publish("2", "version two");

    let report = boot_by(&keys, &kiosk, THERE_AND_BACK);
    assert_eq!(report.get("secure-boot"), "1");
    goes_there_and_back(&report);

    // From its first version on, as if none of that had been.
    let report = boot_by(&keys, &kiosk, DAMAGED);
    leaves_what_is_damaged(&report);
}

/// It was tried as often as it may be, and each time the kernel has found the block.
fn leaves_what_is_damaged(report: &Report) {
    assert!(report.get("applied").starts_with("0 "), "{}", report.get("applied"));
    let corrupted = report.console().matches("data block 0 is corrupted").count();
    assert!(corrupted >= 2, "{corrupted} times\n{}", report.console());
    let boot: serde_json::Value = serde_json::from_str(report.get("boot")).unwrap();
    let second = &boot["slots"][1];
    assert_eq!((&second["state"], &second["tries"]), (&"bad".into(), &2.into()), "{boot}");
    assert_eq!(facts(report, "after")[2], "kiosk-1-A.efi kiosk-2-B+0-2.efi");
    check(report, "A", "version one");
}

/// Nobody signs it, and an older systemd-boot puts it in order. An EROFS has its hashes behind it as well.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_with_verity_updates_itself_without_a_key() {
    let erofs = EROFS.replacen("type = \"root\"", "type = \"root\"\nverity = true", 1);
    for tables in [VERITY, &erofs] {
        let kiosk = Kiosk::new(DEBIAN, Wishes { keys: KEYS, tables, ..Wishes::default() });
        kiosk.publish("2", "version two");
        let steps = format!("{FACTS}{THERE_AND_BACK}");
        goes_there_and_back(&kiosk.boot(&kiosk.copy(), "--uefi", &steps, &[]));
        if tables == VERITY {
            let steps = format!("{FACTS}{DAMAGED}");
            leaves_what_is_damaged(&kiosk.boot(&kiosk.copy(), "--uefi", &steps, &[]));
        }
    }
}
