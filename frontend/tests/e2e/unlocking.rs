//! Encrypted partitions that open without anybody typing: by a key file on a drive, by a TPM, by a Tang server. The
//! passphrase opens them as well.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::boot::check_report;
use super::encrypted::{DEBIAN, INITRAMFS_TOOLS, Machine, PASSPHRASE, SRV, Tpm, encrypted};
use super::lab::{Report, fat, run, scratch};

/// What systemd asks.
const SYSTEMD: &str = "enter passphrase for disk";

/// A root whose `encrypt` has further words.
fn root(words: &str) -> String {
    format!(
        "hostname = \"web\"\nlayout = \"split-boot\"\n[[partitions]]\ntype = \"root\"\n\
         encrypt = {{ passphrase = \"disk\", memory = \"32M\", {words} }}\n"
    )
}

/// The same of `/srv`.
fn srv(words: &str) -> String {
    SRV.replace("memory = \"32M\"", &format!("memory = \"32M\", {words}"))
}

/// A report that waits for a token of this kind in the header of the fourth partition.
fn once_bound(token: &str) -> String {
    format!(
        "[[files]]\npath = \"/etc/report.d/bound\"\ncontent = '''\n\
         for try in $(seq 120); do cryptsetup luksDump /dev/vda4 | grep -q \": {token}\" && break; sleep 1; done\n\
         fact bound \"$(cryptsetup luksDump /dev/vda4 | grep -c \": {token}\")\"\n'''\n"
    )
}

const ON_DRIVE: &str =
    r#"key = "data", unlock = ["key-file", "passphrase"], key-device = "LABEL=KEYS", key-path = "/web.key""#;

/// QEMU's arguments for a drive with this key.
fn drive(folder: &Path, key: &str) -> [String; 2] {
    let image = fat(folder, "KEYS", &[("web.key", key)]);
    ["-drive".to_owned(), format!("file={},format=raw,if=virtio,readonly=on", image.display())]
        .map(|argument| format!("--qemu-arg={argument}"))
}

/// A boot in which nobody types.
fn opens_by_itself(disk: &Path, firmware: &str, args: &[String], prompt: &str) -> Report {
    let report = Machine::boot_with(disk, firmware, args).report();
    assert!(!report.console().contains(prompt), "somebody was asked:\n{}", report.console());
    report
}

#[test]
#[ignore = "long: make matrix"]
fn a_key_file_on_a_drive_opens_the_root_and_a_passphrase_without_it() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, &root(ON_DRIVE), folder.path());
    let key = std::fs::read_to_string(folder.path().join("data")).unwrap();
    let report = opens_by_itself(&disk, "--uefi", &drive(folder.path(), &key), INITRAMFS_TOOLS[0]);
    check_report(DEBIAN, "--uefi", &report);
    assert!(report.get("mounts").starts_with("/=/dev/mapper/root "), "{}", report.get("mounts"));
    assert_eq!(report.get("slots"), "2");

    // The key of another machine opens nothing, and keeps nobody from typing.
    let mut machine = Machine::boot_with(&disk, "--bios", &drive(folder.path(), "another key"));
    machine.expect(INITRAMFS_TOOLS[1]);
    machine.answer(INITRAMFS_TOOLS[0], PASSPHRASE);
    check_report(DEBIAN, "--bios", &machine.report());

    let mut machine = Machine::boot(&disk, "--bios");
    machine.expect("vmimage-key: waiting for /dev/disk/by-label/KEYS");
    machine.answer(INITRAMFS_TOOLS[0], PASSPHRASE);
    check_report(DEBIAN, "--bios", &machine.report());
}

#[test]
#[ignore = "long: make matrix"]
fn a_key_file_on_a_drive_opens_what_systemd_opens() {
    let folder = scratch();
    let disk = encrypted(DEBIAN, &srv(ON_DRIVE), folder.path());
    let key = std::fs::read_to_string(folder.path().join("data")).unwrap();
    let report = opens_by_itself(&disk, "--bios", &drive(folder.path(), &key), SYSTEMD);
    check_report(DEBIAN, "--bios", &report);
    assert!(report.get("mounts").contains("/srv=/dev/mapper/srv"), "{}", report.get("mounts"));
    let mut machine = Machine::boot(&disk, "--bios");
    machine.answer(SYSTEMD, PASSPHRASE);
    let report = machine.report();
    assert_eq!(report.get("hello"), "from the first boot");
}

/// The passphrase is typed once: systemd remembers it until the TPM has a key slot.
#[test]
#[ignore = "long: make matrix"]
fn a_tpm_opens_at_the_second_boot_what_the_build_has_encrypted() {
    let folder = scratch();
    let config = [srv(r#"unlock = ["passphrase", "tpm2"]"#), once_bound("systemd-tpm2")].concat();
    let disk = encrypted(DEBIAN, &config, folder.path());
    let tpm = Tpm::new(folder.path().join("tpm"));
    let mut machine = Machine::boot_with(&disk, "--uefi", &tpm.start());
    machine.answer(SYSTEMD, PASSPHRASE);
    machine.expect("the TPM of this machine opens it from now on");
    let report = machine.report();
    check_report(DEBIAN, "--uefi", &report);
    assert!(!report.console().contains("Passphrase of srv once more"), "{}", report.console());
    assert_eq!((report.get("bound"), report.get("slots")), ("1", "2"), "the passphrase stays");

    let report = opens_by_itself(&disk, "--uefi", &tpm.start(), SYSTEMD);
    assert_eq!(report.get("hello"), "from the first boot");
    let other = Tpm::new(folder.path().join("other"));
    let mut machine = Machine::boot_with(&disk, "--uefi", &other.start());
    machine.answer(SYSTEMD, PASSPHRASE);
    machine.report();
}

/// Debian's own server, at a port of this host that machines reach as 10.0.2.2; it ends when dropped.
struct TangServer {
    keys: PathBuf,
    port: u16,
    running: Child,
}

impl TangServer {
    fn new(keys: PathBuf) -> Self {
        std::fs::create_dir(&keys).unwrap();
        run(Command::new("/usr/libexec/tangd-keygen").arg(&keys));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let running = Self::start(&keys, port);
        Self { keys, port, running }
    }

    fn start(keys: &Path, port: u16) -> Child {
        let mut command = Command::new("systemd-socket-activate");
        command.args(["--accept", "--inetd", "--listen", &format!("127.0.0.1:{port}"), "/usr/libexec/tangd"]);
        let child = command.arg(keys).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "the Tang server does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
        child
    }

    /// What `encrypt` has of it.
    fn words(&self) -> String {
        let port = self.port;
        let thumbprint = run(Command::new("tang-show-keys").arg(port.to_string()));
        let thumbprint = thumbprint.trim();
        format!(
            "unlock = [\"tang\", \"passphrase\"], tang = {{ url = \"http://10.0.2.2:{port}\", thumbprint = \"{thumbprint}\" }}"
        )
    }

    fn stop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Drop for TangServer {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_tang_server_opens_the_root_at_the_second_boot() {
    let folder = scratch();
    let mut server = TangServer::new(folder.path().join("tang"));
    let config = [root(&server.words()), once_bound("clevis")].concat();
    let disk = encrypted(DEBIAN, &config, folder.path());
    let mut machine = Machine::boot(&disk, "--bios");
    machine.answer(INITRAMFS_TOOLS[0], PASSPHRASE);
    machine.answer("Passphrase of root once more", PASSPHRASE);
    let report = machine.report();
    check_report(DEBIAN, "--bios", &report);
    assert_eq!((report.get("bound"), report.get("slots")), ("1", "2"));

    // The question is there, and clevis answers it.
    let report = Machine::boot(&disk, "--uefi").report();
    check_report(DEBIAN, "--uefi", &report);
    assert!(report.get("mounts").starts_with("/=/dev/mapper/root "), "{}", report.get("mounts"));

    server.stop();
    let mut machine = Machine::boot(&disk, "--bios");
    machine.answer(INITRAMFS_TOOLS[0], PASSPHRASE);
    machine.report();
    server.running = TangServer::start(&server.keys, server.port);
    Machine::boot(&disk, "--bios").report();
}

#[test]
#[ignore = "long: make matrix"]
fn a_tang_server_opens_at_the_second_boot_what_systemd_opens() {
    let folder = scratch();
    let server = TangServer::new(folder.path().join("tang"));
    let config = [srv(&server.words()), once_bound("clevis")].concat();
    let disk = encrypted(DEBIAN, &config, folder.path());
    let mut machine = Machine::boot(&disk, "--bios");
    machine.answer(SYSTEMD, PASSPHRASE);
    let report = machine.report();
    check_report(DEBIAN, "--bios", &report);
    assert_eq!((report.get("bound"), report.get("slots")), ("1", "2"));
    let report = Machine::boot(&disk, "--bios").report();
    check_report(DEBIAN, "--bios", &report);
    assert!(report.get("mounts").contains("/srv=/dev/mapper/srv"), "{}", report.get("mounts"));
    assert_eq!(report.get("hello"), "from the first boot");
}
