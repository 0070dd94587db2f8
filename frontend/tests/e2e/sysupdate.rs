//! systemd-sysupdate of Debian 13, on a disk with two slots that systemd-boot starts.

use std::path::Path;
use std::time::Duration;

use super::lab::{Report, boot_told, build, context, scratch, testdata};
use super::rpm::Server;

const DOCKERFILE: &str = r#"
FROM vmimage-test/debian:13
COPY --chmod=755 steps /usr/local/bin/steps
COPY steps.service /etc/systemd/system/
RUN systemctl enable steps.service
"#;

/// Where a guest finds the host.
const HOST: &str = "10.0.2.2";

const CONFIG: &str = r#"
hostname = "web"
layout = "ab"
loader = "systemd-boot"
install = ["systemd-boot", "systemd-container", "gpg"]

[image]
id = "kiosk"

[update]
healthy = "test -e /run/asked"
deadline = 240
tries = 2
"#;

const SERVICE: &str = "\
[Unit]
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=/usr/local/bin/steps
[Install]
WantedBy=multi-user.target
";

/// The first version updates itself and restarts; the second says what became of it.
const STEPS: &str = r#"#!/bin/sh
echo on >/proc/sys/kernel/printk_devkmsg
fact() { printf '<4>report:%s=%s\n' "$1" "$2" >/dev/kmsg; }
told() { /usr/lib/systemd/systemd-sysupdate update >"/persist/$1" 2>&1; echo "exit $?" >>"/persist/$1"; }
# The kernel's log takes a line of 1 KiB.
ended() { tail -c 700 "/persist/$1" | tr '\n' ';'; }
entries() { ls /boot/efi/loader/entries | tr '\n' ' '; }
version() { . /etc/os-release; echo "$IMAGE_VERSION"; }
serial=$(cat /sys/class/dmi/id/product_serial)
[ -e /persist/early ] || told early
# Not before that this boot is a good one.
touch /run/asked
until vmimage-boot status | grep -q ' booted  *good '; do sleep 1; done
if [ ! -e /persist/machine ]; then
	cat /etc/machine-id >/persist/machine
	told said
	entries >/persist/entries
	version >/persist/version
	sync
	reboot
	exit
fi
fact token "${serial##*:}"
for name in early said; do fact "$name" "$(ended "$name")"; done
for name in entries version; do fact "first-$name" "$(cat "/persist/$name")"; done
seconds=0
until systemctl is-active --quiet systemd-bless-boot || [ "$seconds" = 120 ]; do sleep 1; seconds=$((seconds + 1)); done
fact blessed "$(systemctl is-active systemd-bless-boot)"
fact adopt "$(systemctl is-active vmimage-adopt)"
fact version "$(version)"
fact cmdline "$(cat /proc/cmdline)"
fact entries "$(entries)"
fact status "$(vmimage-boot status --json)"
fact kept "$([ "$(cat /etc/machine-id)" = "$(cat /persist/machine)" ] && echo kept)"
told again
fact again "$(ended again)"
fact end end
sync
poweroff
"#;

/// A machine of version 1.4.0 beside whose server lies version 1.5.0, both built with this in `[update]`; what it says in the
/// end.
fn updated(folder: &Path, sign: &str, args: &[&str], spoil: impl FnOnce(&Path)) -> Report {
    let served = folder.join("served");
    std::fs::create_dir(&served).unwrap();
    let server = Server::start(&served);
    let from = server.url.replace("127.0.0.1", HOST);
    let context = context(folder, DOCKERFILE);
    let config = format!("{CONFIG}from = \"{from}/kiosk/\"\n{sign}");
    for (name, text) in [("vmimage.toml", &*config), ("steps", STEPS), ("steps.service", SERVICE)] {
        std::fs::write(context.join(name), text).unwrap();
    }
    let (disk, update) = (folder.join("machine.qcow2"), served.join("kiosk"));
    build(&context, &disk, &[&["--image-version", "1.4.0"], args].concat());
    build(&context, &update, &[&["--image-version", "1.5.0", "--format", "update"], args].concat());
    assert!(update.join("kiosk_1.5.0.root.gz").exists(), "what systemd 257 unpacks");
    spoil(&update);
    boot_told(&disk, "--uefi", "update", &[], Duration::from_secs(2400))
}

fn is_updated(report: &Report) {
    // While the first boot was on trial there was no disk of that name.
    assert!(report.get("early").contains("good-disk"), "{}", report.get("early"));
    assert!(report.get("early").ends_with("exit 1;"), "{}", report.get("early"));
    assert!(report.get("said").contains("Successfully installed update '1.5.0'"), "{}", report.get("said"));
    assert_eq!((report.get("first-version"), report.get("first-entries")), ("1.4.0", "kiosk-A.conf"));
    assert!(report.get("cmdline").contains(" rauc.slot=B "), "{}", report.get("cmdline"));
    assert_eq!((report.get("version"), report.get("entries")), ("1.5.0", "kiosk-A.conf kiosk-B.conf"));
    assert_eq!((report.get("blessed"), report.get("adopt")), ("active", "active"));
    let status: serde_json::Value = serde_json::from_str(report.get("status")).unwrap();
    assert_eq!((&status["booted"], &status["good"]), (&"B".into(), &"B".into()), "{status}");
    assert_eq!(status["slots"][1]["label"], "kiosk_1.5.0", "{status}");
    assert_eq!(report.get("kept"), "kept");
    assert!(report.get("again").contains("No update needed"), "{}", report.get("again"));
}

#[test]
#[ignore = "long: make matrix"]
fn systemd_sysupdate_updates_the_other_slot() {
    let folder = scratch();
    is_updated(&updated(folder.path(), "", &[], |_| {}));
}

#[test]
#[ignore = "long: make matrix"]
fn systemd_sysupdate_takes_what_the_key_has_signed() {
    let folder = scratch();
    let key = testdata("update").join("gpg-ed25519.asc");
    let secret = format!("id=release,src={}", key.display());
    is_updated(&updated(folder.path(), "sign = \"release\"\n", &["--secret", &secret], |_| {}));
}

/// A line that was added to the list: the machine restarts, and is still the first version.
#[test]
#[ignore = "long: make matrix"]
fn systemd_sysupdate_takes_nothing_else() {
    let folder = scratch();
    let key = testdata("update").join("gpg-rsa3072.asc");
    let secret = format!("id=release,src={}", key.display());
    let report = updated(folder.path(), "sign = \"release\"\n", &["--secret", &secret], |update| {
        let sums = update.join("SHA256SUMS");
        let text = std::fs::read_to_string(&sums).unwrap();
        std::fs::write(&sums, text + &"0".repeat(64) + "  kiosk_9.root.gz\n").unwrap();
    });
    assert!(report.get("said").contains("BAD signature"), "{}", report.get("said"));
    assert_eq!((report.get("version"), report.get("entries")), ("1.4.0", "kiosk-A.conf"));
}
