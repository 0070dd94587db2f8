//! Encrypted partitions: opened by who types the passphrase at the serial port, and by nobody else.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::boot::check_report;
use super::lab::{
    Console, LIMIT, Report, VMIMAGE, build, copy_of, extract, machine, nonce, partitions, raw, run, scratch,
};

pub(super) const DEBIAN: &str = "vmimage-test/debian:12";
const ALPINE: &str = "vmimage-test/alpine:3.23";
pub(super) const PASSPHRASE: &str = "correct horse battery staple";

/// What every machine here says of its partitions.
const FACTS: &str = r#"
[[files]]
path = "/etc/report.d/encrypted"
content = '''
fact mounts "$(awk '$1 ~ "^/dev/(mapper|dm|vd)" && $2 != "/efi" { print $2, $1 }' /proc/mounts | sort -u | awk '{ printf "%s=%s ", $1, $2 }')"
fact swap "$(awk 'NR > 1 { print $2 }' /proc/swaps)"
srv=/srv
[ ! -d /srv/own ] || srv=/srv/own
fact large "$(df -P -k / $srv | awk 'NR > 1 { printf "%d ", ($2 > 4000000) }')"
fact slots "$(cryptsetup luksDump /dev/vda4 2>/dev/null | grep -c luks2)"
fact hello "$(cat $srv/hello 2>/dev/null)"
fact tokens "$(cryptsetup luksDump /dev/vda4 2>/dev/null | grep -c systemd-tpm2)"
[ -e $srv/hello ] || echo "from the first boot" >$srv/hello
'''
"#;
const HELLO: &str = r#"
[[files]]
path = "/srv/hello"
content = "from the image"
"#;

const ROOT: &str = r#"
hostname = "web"
layout = "split-boot"

[[partitions]]
type = "root"
encrypt = { passphrase = "disk", memory = "32M" }
"#;

/// A root that does not grow, and `/srv` that does.
pub(super) const SRV: &str = r#"
hostname = "web"
layout = "simple"

[[partitions]]
type = "srv"
grow = true
encrypt = { passphrase = "disk", memory = "32M" }
"#;

/// The root by a passphrase, and all else by keys that lie on it.
const KEYS: &str = r#"
hostname = "web"
layout = "split-boot"

[[partitions]]
type = "root"
encrypt = { passphrase = "disk", memory = "32M" }
[[partitions]]
type = "swap"
size = "128M"
encrypt = { key = "data", memory = "32M" }
[[partitions]]
type = "srv"
grow = true
encrypt = { key = "data", memory = "32M" }
"#;

/// Made by the machine, for its TPM.
const FIRST_BOOT: &str = r#"
hostname = "web"
layout = "simple"

[[partitions]]
type = "srv"
mount = "/srv/own"
grow = true
encrypt = "first-boot"
"#;

/// What the machine keeps, beside a root that is only read.
const PERSIST: &str = r#"
hostname = "web"
layout = "simple"

[persist]
bind = ["/var", "/srv"]

[[partitions]]
type = "linux-generic"
label = "persist"
mount = "/persist"
grow = true
encrypt = { passphrase = "disk", memory = "32M" }
"#;

/// The disk of `testdata/machine` on a base, with room to grow; the secrets are shown nowhere.
pub(super) fn encrypted(base: &str, config: &str, folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    std::fs::write(context.join("vmimage.toml"), format!("{config}{FACTS}")).unwrap();
    let key = nonce();
    let secrets = [("disk", format!("{PASSPHRASE}\n")), ("data", key.clone())].map(|(id, text)| {
        let path = folder.join(id);
        std::fs::write(&path, text).unwrap();
        format!("--secret=id={id},src={}", path.display())
    });
    let disk = folder.join("disk.qcow2");
    let base = format!("BASE={base}");
    let said = build(&context, &disk, &["--build-arg", &base, &secrets[0], &secrets[1]]);
    for secret in [PASSPHRASE, &key] {
        assert!(!said.contains(secret), "a secret is shown:\n{said}");
        let raw = raw(&disk, folder);
        let found = Command::new("grep").args(["-c", "-a", "-F", secret]).arg(&raw).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "0\n", "a secret is on the disk");
    }
    run(Command::new("qemu-img").args(["resize", "-q"]).arg(&disk).arg("8G"));
    disk
}

/// A machine whose serial port is typed at.
pub(super) struct Machine {
    qemu: Child,
    keys: ChildStdin,
    console: Console,
    token: String,
    end: Instant,
}

impl Machine {
    pub(super) fn boot(disk: &Path, firmware: &str) -> Self {
        Self::boot_with(disk, firmware, &[])
    }

    pub(super) fn boot_with(disk: &Path, firmware: &str, args: &[String]) -> Self {
        let mut command = Command::new(VMIMAGE);
        let token = nonce();
        machine(&mut command, disk, firmware, &token).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut qemu = command.spawn().unwrap();
        let (keys, console) = (qemu.stdin.take().unwrap(), Console::of(&mut qemu));
        Self { qemu, keys, console, token, end: Instant::now() + LIMIT }
    }

    /// Wait for these words, behind all that were waited for before.
    #[track_caller]
    pub(super) fn expect(&mut self, words: &str) {
        let is_there = self.console.has(words, self.end);
        assert!(is_there, "no {words:?} in:\n{}", self.console.text);
    }

    #[track_caller]
    pub(super) fn answer(&mut self, prompt: &str, line: &str) {
        self.expect(prompt);
        // Who asks may not listen yet.
        std::thread::sleep(Duration::from_secs(2));
        self.keys.write_all(format!("{line}\r").as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// What it reports once it has powered itself off.
    #[track_caller]
    pub(super) fn report(mut self) -> Report {
        self.expect("report:end");
        assert!(self.console.has_ended(self.end), "has not ended:\n{}", self.console.text);
        let text = std::mem::take(&mut self.console.text);
        assert!(!text.contains(PASSPHRASE), "the passphrase is shown:\n{text}");
        Report::read(text, &self.token)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A wrong passphrase first, which is told and asked for again.
fn asks_until_it_is_right(disk: &Path, firmware: &str, [prompt, refusal]: [&str; 2]) -> Report {
    let mut machine = Machine::boot(disk, firmware);
    machine.answer(prompt, "wrong horse");
    machine.expect(refusal);
    machine.answer(prompt, PASSPHRASE);
    machine.report()
}

/// What initramfs-tools asks, and what cryptsetup answers there.
pub(super) const INITRAMFS_TOOLS: [&str; 2] = ["Please unlock disk root", "bad password"];
/// The same of mkinitfs.
const MKINITFS: [&str; 2] = ["Enter passphrase for", "No key available"];

#[test]
#[ignore = "long: make matrix"]
fn debian_has_an_encrypted_root_that_opens_by_its_passphrase_and_grows() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, &[ROOT, HELLO].concat(), folder.path());
    for (firmware, is_large) in [("--bios", "0 0"), ("--secure-boot", "1 1")] {
        let report = asks_until_it_is_right(&disk, firmware, INITRAMFS_TOOLS);
        check_report(DEBIAN, firmware, &report);
        let mounts = report.get("mounts");
        assert!(mounts.starts_with("/=/dev/mapper/root /boot=/dev/vda3 "), "{mounts}");
        // The partition grows at the first boot, and what is opened by a passphrase with the second.
        assert_eq!((report.get("large"), report.get("hello")), (is_large, "from the image"));
        assert_eq!(report.get("slots"), "1");
    }
}

#[test]
#[ignore = "long: make matrix"]
fn alpine_has_an_encrypted_root_that_opens_by_its_passphrase() {
    let folder = scratch();
    let disk = encrypted(ALPINE, ROOT, folder.path());
    for firmware in ["--bios", "--uefi"] {
        let report = asks_until_it_is_right(&disk, firmware, MKINITFS);
        check_report(ALPINE, firmware, &report);
        assert!(report.get("mounts").starts_with("/=/dev/mapper/root "), "{}", report.get("mounts"));
    }
}

/// systemd asks for it, on the console.
#[test]
#[ignore = "long: make matrix"]
fn an_encrypted_partition_is_asked_for_by_the_init_and_grows() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, &[SRV, HELLO].concat(), folder.path());
    for is_large in ["0 0", "0 1"] {
        let mut machine = Machine::boot(&disk, "--bios");
        machine.answer("enter passphrase for disk", PASSPHRASE);
        let report = machine.report();
        check_report(DEBIAN, "--bios", &report);
        assert!(report.get("mounts").contains("/srv=/dev/mapper/srv"), "{}", report.get("mounts"));
        assert_eq!((report.get("large"), report.get("hello")), (is_large, "from the image"));
    }
}

/// vmimage-early asks for it, before there is an init.
#[test]
#[ignore = "long: make matrix"]
fn what_a_machine_keeps_is_encrypted_and_grows() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, &[PERSIST, HELLO].concat(), folder.path());
    for is_large in ["0 0", "0 1"] {
        let report = asks_until_it_is_right(&disk, "--bios", ["Enter passphrase for", "No key available"]);
        check_report(DEBIAN, "--bios", &report);
        assert!(!report.console().contains("NOT KEPT"), "{}", report.console());
        assert_eq!((report.get("large"), report.get("hello")), (is_large, "from the image"));
    }
}

/// One passphrase opens all: what is opened by a key grows at the first boot.
#[test]
#[ignore = "long: make matrix"]
fn keys_on_an_encrypted_root_open_all_else() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, KEYS, folder.path());
    let report = asks_until_it_is_right(&disk, "--uefi", INITRAMFS_TOOLS);
    check_report(DEBIAN, "--uefi", &report);
    assert!(report.get("mounts").contains("/srv=/dev/mapper/srv"), "{}", report.get("mounts"));
    assert_eq!((report.get("swap"), report.get("large")), ("partition", "0 1"));
}

/// Without the passphrase there is no machine; the header is that of cryptsetup's own format.
#[test]
#[ignore = "long: make matrix"]
fn a_wrong_passphrase_starts_nothing() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, ROOT, folder.path());
    let mut machine = Machine::boot(&disk, "--bios");
    for _ in 0..3 {
        machine.answer(INITRAMFS_TOOLS[0], "wrong horse");
        machine.expect(INITRAMFS_TOOLS[1]);
    }
    machine.expect("maximum number of tries exceeded");
    assert!(!machine.console.text.contains("systemd[1]:"), "{}", machine.console.text);
    drop(machine);

    let raw = raw(&disk, folder.path());
    let root = partitions(&raw).pop().unwrap();
    let volume = folder.path().join("root.raw");
    extract(&raw, &root, &volume);
    let opens = |passphrase: &str| {
        let key = folder.path().join("key");
        std::fs::write(&key, passphrase).unwrap();
        let mut command = Command::new("cryptsetup");
        command.args(["open", "--test-passphrase", "--key-file"]).arg(key).arg(&volume);
        command.status().unwrap().success()
    };
    assert!(opens(PASSPHRASE) && !opens("wrong horse"));
}

/// What a partition for `/srv` is in a GPT.
const SRV_TYPE: &str = "3b8f8425-20e0-4f3b-907f-1a25a76f98e8";

/// The volume key of `/srv` that this opens, by cryptsetup.
fn volume_key(disk: &Path, secret: &Path, folder: &Path) -> String {
    let raw = raw(disk, folder);
    let volume = folder.join("volume.raw");
    let srv = partitions(&raw).into_iter().find(|partition| partition.kind == SRV_TYPE).unwrap();
    extract(&raw, &srv, &volume);
    let mut command = Command::new("cryptsetup");
    command.args(["luksDump", "--dump-volume-key", "--batch-mode", "--key-file"]).arg(secret).arg(volume);
    let said = run(&mut command);
    said[said.find("MK dump:").unwrap()..].to_owned()
}

/// The first boot leaves another volume key than that of the build, whose secrets open it as before.
#[test]
#[ignore = "long: make matrix"]
fn the_first_boot_makes_a_volume_key_that_the_builder_does_not_know() {
    let folder = scratch();
    let config = [KEYS, HELLO].concat().replace("grow = true\nencrypt = {", "encrypt = { reencrypt = true,");
    let told = "[[files]]\npath = \"/etc/report.d/anew\"\ncontent = '''\n\
                until cryptsetup luksDump /dev/disk/by-partlabel/srv | grep -q vmimage-reencrypted; do sleep 1; done\n'''\n";
    let disk = encrypted(DEBIAN, &format!("{config}{told}"), folder.path());
    let secret = folder.path().join("data");
    let before = volume_key(&disk, &secret, folder.path());
    for _ in 0..2 {
        let report = asks_until_it_is_right(&disk, "--bios", INITRAMFS_TOOLS);
        check_report(DEBIAN, "--bios", &report);
        assert_eq!(report.get("hello"), "from the image");
    }
    assert_ne!(volume_key(&disk, &secret, folder.path()), before);
}

/// A TPM 2.0 that keeps what it has from boot to boot, and ends with the machine.
pub(super) struct Tpm {
    folder: PathBuf,
}

impl Tpm {
    /// With what it has in this folder.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// QEMU's arguments for it, once it runs.
    pub(super) fn start(&self) -> Vec<String> {
        std::fs::create_dir_all(&self.folder).unwrap();
        let (state, socket) = (self.folder.display(), self.folder.join("socket"));
        let control = format!("type=unixio,path={}", socket.display());
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--terminate", "--daemon", "--tpmstate", &format!("dir={state}")]);
        run(swtpm.args(["--ctrl", &control]));
        let arguments = [
            "-chardev",
            &format!("socket,id=tpm,path={}", socket.display()),
            "-tpmdev",
            "emulator,id=tpm,chardev=tpm",
            "-device",
            "tpm-tis,tpmdev=tpm",
        ];
        arguments.map(|argument| format!("--qemu-arg={argument}")).to_vec()
    }
}

/// The first boot makes the partition, without a secret; the second opens it, and no machine with another TPM does.
#[test]
#[ignore = "long: make matrix"]
fn a_partition_that_the_first_boot_makes_is_opened_by_the_tpm_alone() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, FIRST_BOOT, folder.path());
    let tpm = Tpm::new(folder.path().join("tpm"));
    for hello in ["", "from the first boot"] {
        let report = Machine::boot_with(&disk, "--uefi", &tpm.start()).report();
        check_report(DEBIAN, "--uefi", &report);
        assert!(report.get("mounts").contains("/srv/own=/dev/mapper/srv"), "{}", report.get("mounts"));
        assert_eq!((report.get("hello"), report.get("tokens"), report.get("large")), (hello, "1", "0 1"));
        assert_eq!(report.get("slots"), "1", "the key of the first boot is gone");
    }
    let other = Tpm::new(folder.path().join("other"));
    let mut machine = Machine::boot_with(&disk, "--uefi", &other.start());
    machine.expect("enter passphrase for disk");
}

/// Whoever has no TPM gets no partition that everybody could read.
#[test]
#[ignore = "long: make matrix"]
fn without_a_tpm_the_first_boot_encrypts_nothing_and_says_so() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, FIRST_BOOT, folder.path());
    let mut machine = Machine::boot(&disk, "--bios");
    machine.expect("this machine has no TPM 2.0 that could keep the key");
    machine.expect("emergency mode");
}
