//! Debian's RAUC installs the bundle that a build has made, and the machine goes on with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::lab::{boot_told, build, context, run, scratch};

const DOCKERFILE: &str = r#"
FROM vmimage-test/debian:12
COPY --chmod=755 steps /usr/local/bin/steps
COPY steps.service /etc/systemd/system/
RUN systemctl enable steps.service
ARG VERSION
RUN echo "$VERSION" >/usr/local/share/version
"#;

const CONFIG: &str = r#"
hostname = "web"
layout = "ab"
install = ["rauc", "rauc-service", "grub-common"]

[image]
id = "kiosk"
compatible = "acme kiosk-2"

[rauc]
certificate = "release.crt"
key = "release"
"#;

const SERVICE: &str = "[Service]\nExecStart=/usr/local/bin/steps\n[Install]\nWantedBy=multi-user.target\n";

/// The first version installs the second one, after it was given one by another signer.
const STEPS: &str = r#"#!/bin/sh
echo on >/proc/sys/kernel/printk_devkmsg
fact() { printf '<4>report:%s=%s\n' "$1" "$2" >/dev/kmsg; }
install() { rauc install "/mnt/$1.raucb" >"/persist/$1" 2>&1; echo "$?" >>"/persist/$1"; }
serial=$(cat /sys/class/dmi/id/product_serial)
until vmimage-boot status | grep -q ' booted  *good '; do sleep 1; done
if [ ! -e /persist/stage ]; then
	cat /etc/machine-id >/persist/stage
	mount -o ro LABEL=bundle /mnt
	install other
	vmimage-boot status --json >/persist/before
	install second
	vmimage-update status --json >/persist/installed
	umount /mnt
	sync
	reboot
	exit
fi
fact token "${serial##*:}"
fact version "$(cat /usr/local/share/version)"
fact cmdline "$(cat /proc/cmdline)"
for name in other second before installed; do fact "$name" "$(tr '\n' ';' <"/persist/$name")"; done
fact status "$(vmimage-boot status --json)"
fact rauc "$(rauc status --output-format=json)"
fact machine-id "$([ "$(cat /etc/machine-id)" = "$(cat /persist/stage)" ] && echo kept)"
fact end end
sync
poweroff
"#;

/// A certificate that has signed itself, and where its key is.
fn signer(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let [certificate, key] = ["crt", "key"].map(|end| folder.join(format!("{name}.{end}")));
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=release"];
    let usage = ["-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=codeSigning"];
    run(Command::new("openssl")
        .args(request)
        .args(usage)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    (certificate, key)
}

#[test]
#[ignore = "long: make matrix"]
fn rauc_installs_a_bundle_and_the_machine_goes_on_with_it() {
    let folder = scratch();
    let context = context(folder.path(), DOCKERFILE);
    for (name, text) in [("vmimage.toml", CONFIG), ("steps", STEPS), ("steps.service", SERVICE)] {
        std::fs::write(context.join(name), text).unwrap();
    }
    let bundles = folder.path().join("bundles");
    std::fs::create_dir(&bundles).unwrap();
    let make = |output: &Path, version: &str, (certificate, key): &(PathBuf, PathBuf)| {
        std::fs::copy(certificate, context.join("release.crt")).unwrap();
        let (secret, argument) = (format!("id=release,src={}", key.display()), format!("VERSION={version}"));
        build(&context, output, &["--secret", &secret, "--build-arg", &argument, "--image-version", version]);
    };
    let [release, other] = ["release", "other"].map(|name| signer(folder.path(), name));
    let [disk, stick] = ["kiosk.raw", "stick.raw"].map(|name| folder.path().join(name));
    make(&disk, "1", &release);
    make(&bundles.join("second.raucb"), "2", &release);
    make(&bundles.join("other.raucb"), "3", &other);
    run(Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-L", "bundle", "-d"])
        .args([&bundles, &stick])
        .arg("4G"));

    let drive = format!("--qemu-arg=file={},format=raw,if=virtio,readonly=on", stick.display());
    let args = ["--qemu-arg=-drive", &drive];
    let report = boot_told(&disk, "--bios", "rauc", &args, Duration::from_secs(2400));
    assert!(report.get("other").contains("signature verification failed"), "{}", report.get("other"));
    assert!(!report.get("other").ends_with(";0;"), "{}", report.get("other"));
    let json = |fact: &str| -> serde_json::Value { serde_json::from_str(report.get(fact)).unwrap() };
    let before: serde_json::Value = serde_json::from_str(report.get("before").trim_end_matches(';')).unwrap();
    assert_eq!(before["order"][0], "A", "{before}");

    assert!(report.get("second").ends_with(";0;"), "{}", report.get("second"));
    let installed: serde_json::Value =
        serde_json::from_str(report.get("installed").trim_end_matches(';')).unwrap();
    assert_eq!((&installed["booted"], &installed["next"]), (&"A".into(), &"B".into()), "{installed}");
    assert_eq!(report.get("version"), "2");
    assert!(report.get("cmdline").contains(" rauc.slot=B "), "{}", report.get("cmdline"));
    let (status, rauc) = (json("status"), json("rauc"));
    assert_eq!((&status["booted"], &status["good"]), (&"B".into(), &"B".into()), "{status}");
    assert_eq!((&rauc["booted"], &rauc["compatible"]), (&"B".into(), &"acme kiosk-2".into()), "{rauc}");
    assert_eq!(report.get("machine-id"), "kept");
}
