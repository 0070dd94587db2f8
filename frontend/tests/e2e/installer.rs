//! The installer: on which disks it writes and on which it does not, where it reads from, and what it leaves in a machine.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::config::ssh_key;
use super::lab::{VMIMAGE, fat, names_in, nonce, partitions, run, scratch};
use super::media::{
    ALPINE, LARGE, UNATTENDED, blank, boots_alone, check_installed, context, installer, is_from_disk, iso,
    kernel_of, netboot, written,
};
use super::rack::{Bus, Firmware, Rack, Running};
use super::registry::Registry;
use super::web::Server;

/// What begins a disk on which an installation has not come to its end.
const MARK: &str = "vmimage: installation not complete";
/// What the installer says once it writes, every two seconds.
const PROGRESS: &str = "vmimage: writing: ";
/// What it asks whoever is there when it has failed.
const WHAT_NOW: &str = "or a restart (r)?";

/// Bytes of a disk.
fn bytes(disk: &Path, at: SeekFrom, length: usize) -> Vec<u8> {
    let mut file = fs::File::open(disk).unwrap();
    file.seek(at).unwrap();
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).unwrap();
    bytes
}

/// Whether somebody who looks at a disk is told that it is not complete.
fn is_marked(disk: &Path) -> bool {
    String::from_utf8_lossy(&bytes(disk, SeekFrom::Start(0), 512)).contains(MARK)
}

fn write(disk: &Path, at: SeekFrom, text: &[u8]) {
    let mut file = fs::File::options().write(true).open(disk).unwrap();
    file.seek(at).unwrap();
    file.write_all(text).unwrap();
}

/// A machine with the medium in its drive.
fn with(firmware: Firmware, medium: &Path, folder: &Path) -> Rack {
    Rack::new(firmware, folder).drive(Bus::Disc, medium)
}

/// It fails with this, says so, and is restarted by whoever is there; all that was on the console.
#[track_caller]
fn fails(mut machine: Running, words: &[&str]) -> String {
    for word in words.iter().chain(&["vmimage: the machine is not installed", WHAT_NOW]) {
        machine.says(word);
    }
    machine.types("r\n");
    let console = machine.ends();
    assert!(!console.contains("Kernel panic") && !console.contains("vmimage: reading back"), "{console}");
    console
}

/// The same, and nothing was written.
#[track_caller]
fn is_refused(machine: Running, word: &str, target: &Path, before: &[u8]) {
    let console = fails(machine, &[word]);
    assert!(written(target) == before, "it was written to:\n{console}");
}

/// The firmware knows it by name, and starts it although nobody has told it to: no file that any firmware would look for is left.
#[test]
#[ignore = "long: make matrix"]
fn it_installs_to_nvme_and_the_firmware_knows_it() {
    let folder = scratch();
    let medium = installer(ALPINE, UNATTENDED, folder.path(), &[]);
    let target = blank(folder.path(), "target", LARGE);
    let console = with(Firmware::Uefi, &medium, folder.path()).drive(Bus::Nvme, &target).ends();
    assert!(console.contains(PROGRESS), "{console}");

    let rack = Rack::new(Firmware::Uefi, folder.path()).unordered().drive(Bus::Nvme, &target);
    let report = rack.online().reports();
    check_installed(ALPINE, Firmware::Uefi, &report, &target, folder.path());
    let entry = report.get("entry");
    assert!(entry.contains("Alpine"), "{entry}");
    assert_eq!(report.get("first-entry"), entry);

    // A board that knows nothing of it has other entries.
    let fresh = scratch();
    let rack = Rack::new(Firmware::Uefi, fresh.path()).unordered().drive(Bus::Nvme, &target);
    let report = rack.online().reports();
    assert!(!report.get("entry").contains("Alpine"), "{}", report.get("entry"));
}

#[test]
#[ignore = "long: make matrix"]
fn a_machine_is_not_entered_where_that_is_not_wanted() {
    let folder = scratch();
    let install = format!("{UNATTENDED}boot-entry = false\n");
    let medium = installer(ALPINE, &install, folder.path(), &[]);
    let target = blank(folder.path(), "target", LARGE);
    with(Firmware::Uefi, &medium, folder.path()).drive(Bus::Ahci, &target).ends();
    let report = boots_alone(ALPINE, Firmware::Uefi, Bus::Ahci, &target, folder.path());
    assert!(!report.get("first-entry").contains("Alpine"), "{}", report.get("first-entry"));
}

#[test]
#[ignore = "long: make matrix"]
fn a_disk_that_is_too_small_is_left_as_it_is() {
    let folder = scratch();
    let medium = installer(ALPINE, UNATTENDED, folder.path(), &[]);
    let target = blank(folder.path(), "target", 64 << 20);
    let before = written(&target);
    let machine = with(Firmware::Bios, &medium, folder.path()).drive(Bus::Ahci, &target).start();
    is_refused(machine, "is too small: the system needs", &target, &before);
}

/// A file system, a table, and what is at the end alone, as an array's or a pool's label is. What says that it may, may.
#[test]
#[ignore = "long: make matrix"]
fn a_disk_with_data_is_left_as_it_is_unless_it_may_be_overwritten() {
    let folder = scratch();
    let medium = installer(ALPINE, UNATTENDED, folder.path(), &[]);
    let target = |name: &str| blank(folder.path(), name, LARGE);
    let [file_system, table, end] = ["files", "table", "end"].map(target);
    run(Command::new("mkfs.ext4").arg("-q").arg(&file_system));
    run(Command::new("sgdisk").args(["-n", "1"]).arg(&table));
    write(&end, SeekFrom::End(-4096), b"a label");
    for target in [&file_system, &table, &end] {
        let before = written(target);
        let machine = with(Firmware::Bios, &medium, folder.path()).drive(Bus::Ahci, target).start();
        is_refused(machine, "has data, nothing was written", target, &before);
    }
    let install = format!("{UNATTENDED}overwrite = true\n");
    let seed = fat(folder.path(), "VMIMAGE", &[("install.toml", &install)]);
    let rack = with(Firmware::Bios, &medium, folder.path()).drive(Bus::Ahci, &file_system);
    rack.drive(Bus::Usb, &seed).ends();
    boots_alone(ALPINE, Firmware::Bios, Bus::Ahci, &file_system, folder.path());
}

/// Slower than any disk, so that it is under way when something happens to it.
const SLOW: u64 = 4 << 20;

/// One line says which disk, and how far it has come; a later run goes on with it.
#[test]
#[ignore = "long: make matrix"]
fn a_disk_that_vanishes_is_told_and_taken_again() {
    let folder = scratch();
    let medium = installer(ALPINE, UNATTENDED, folder.path(), &[]);
    let target = blank(folder.path(), "target", LARGE);
    let rack = with(Firmware::Uefi, &medium, folder.path());
    let mut machine = rack.slow_drive(Bus::Usb, &target, SLOW).start();
    machine.says(PROGRESS);
    machine.pull_out("target");
    let console = fails(machine, &["/dev/sda is not complete", "/dev/sda: cannot be written at byte "]);
    assert!(is_marked(&target), "{console}");

    with(Firmware::Uefi, &medium, folder.path()).drive(Bus::Ahci, &target).ends();
    assert!(!is_marked(&target));
    boots_alone(ALPINE, Firmware::Uefi, Bus::Ahci, &target, folder.path());
}

/// The sector is the root's first, of which something is always written.
#[test]
#[ignore = "long: make matrix"]
fn a_disk_that_fails_is_told() {
    let folder = scratch();
    let disk = folder.path().join("built.raw");
    let output = format!("--output={}", disk.display());
    let medium = installer(ALPINE, UNATTENDED, folder.path(), &[&output, "--format=raw"]);
    let sector = partitions(&disk)[2].start / 512 + 2;
    let target = blank(folder.path(), "target", LARGE);
    let rack = with(Firmware::Bios, &medium, folder.path());
    let machine = rack.failing_drive(Bus::Ahci, &target, sector).start();
    let console = fails(machine, &["/dev/sda is not complete", "/dev/sda: cannot be written at byte "]);
    assert!(is_marked(&target), "{console}");
}

/// A netboot folder that a server of the test has, and a medium that installs from there alone.
struct Remote {
    folder: tempfile::TempDir,
    server: Server,
}

impl Remote {
    fn new() -> Self {
        let folder = scratch();
        let web = folder.path().join("web");
        fs::create_dir(&web).unwrap();
        netboot(&context(folder.path(), ""), ALPINE, &web, &[]);
        Self { server: Server::start(&web).unwrap(), folder }
    }

    fn netboot(&self) -> PathBuf {
        self.folder.path().join("web/netboot")
    }

    /// A machine that is about to install from there.
    fn machine(&self, source: &str, target: &Path) -> Rack {
        let install = format!("{UNATTENDED}source = \"{source}\"\n");
        let medium = installer(ALPINE, &install, self.folder.path(), &[]);
        with(Firmware::Bios, &medium, self.folder.path()).drive(Bus::Ahci, target).online()
    }

    /// A file of it with another byte in its middle.
    fn damage(&self, name: &str) {
        let file = self.netboot().join(name);
        let middle = SeekFrom::Start(fs::metadata(&file).unwrap().len() / 2);
        let byte = bytes(&file, middle, 1)[0];
        write(&file, middle, &[!byte]);
    }
}

/// Each block is one of those that were built, or is not written.
#[test]
#[ignore = "long: make matrix"]
fn it_installs_from_a_web_server_and_nothing_that_is_damaged() {
    let remote = Remote::new();
    let source = format!("http://10.0.2.2:{}/netboot/", remote.server.port());
    let target = blank(remote.folder.path(), "target", LARGE);
    remote.machine(&source, &target).ends();
    assert!(remote.server.asked().iter().any(|path| path == "/netboot/disk.zst"), "it came by another way");
    boots_alone(ALPINE, Firmware::Bios, Bus::Ahci, &target, remote.folder.path());

    remote.damage("disk.zst");
    let target = blank(remote.folder.path(), "target", LARGE);
    let console = fails(remote.machine(&source, &target).start(), &["is damaged: it was not written"]);
    assert!(is_marked(&target), "{console}");
}

#[test]
#[ignore = "long: make matrix"]
fn it_installs_from_a_registry() {
    let remote = Remote::new();
    let folder = remote.folder.path();
    let registry = Registry::start(folder, false);
    push(&remote.netboot(), &format!("{}/team/web:1", registry.host), folder);
    let port = registry.host.rsplit(':').next().unwrap();
    let target = blank(folder, "target", LARGE);
    remote.machine(&format!("docker+http://10.0.2.2:{port}/team/web:1"), &target).ends();
    assert!(remote.server.asked().is_empty(), "it came by another way");
    boots_alone(ALPINE, Firmware::Bios, Bus::Ahci, &target, folder);
}

/// Push a folder as an image of one layer, a tar that is not packed: such a one can be read in parts.
fn push(netboot: &Path, image: &str, folder: &Path) {
    let layout = folder.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |file: &Path, kind: &str| {
        let digest = run(Command::new("sha256sum").arg(file))[..64].to_owned();
        fs::rename(file, blobs.join(&digest)).unwrap();
        let size = fs::metadata(blobs.join(&digest)).unwrap().len();
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
    };
    let text = |value: Value, kind: &str| {
        let file = folder.join("blob");
        fs::write(&file, value.to_string()).unwrap();
        blob(&file, kind)
    };
    let tar = folder.join("layer.tar");
    run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(netboot).args(names_in(netboot)));
    let layer = blob(&tar, "layer.v1.tar");
    let root = json!({ "type": "layers", "diff_ids": [layer["digest"]] });
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": root });
    let config = text(config, "config.v1+json");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] });
    let manifest = text(manifest, "manifest.v1+json");
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]);
    run(skopeo.args([format!("oci:{}", layout.display()), format!("docker://{image}")]));
}

/// The address that no DHCP would give, and a name, a key and a word that nothing else has.
#[test]
#[ignore = "long: make matrix"]
fn what_it_is_told_reaches_the_machine() {
    let folder = scratch();
    let key = ssh_key(&nonce());
    let name = format!("rack-{}", std::process::id());
    let install = format!(
        "{UNATTENDED}hostname = \"{name}\"\nssh-keys = [\"{key}\"]\n\
         [[interfaces]]\nname = \"eth0\"\naddresses = [\"10.0.2.77/24\"]\ngateway = \"10.0.2.2\"\ndns = [\"192.0.2.53\"]\n"
    );
    let medium = installer(ALPINE, "disk = \"ask\"\n", folder.path(), &[]);
    let seed = fat(folder.path(), "VMIMAGE", &[("install.toml", &format!("disk = \"smallest\"\n{install}"))]);
    let [target, other] =
        [("target", LARGE), ("other", 2 * LARGE)].map(|(name, size)| blank(folder.path(), name, size));
    let before = written(&other);
    let rack =
        with(Firmware::Bios, &medium, folder.path()).drive(Bus::Ahci, &other).drive(Bus::Ahci, &target);
    rack.drive(Bus::Usb, &seed).ends();
    let report = Rack::new(Firmware::Bios, folder.path()).drive(Bus::Ahci, &target).online().reports();
    is_from_disk(&report);
    assert_eq!((report.get("hostname"), report.get("keys")), (&*name, &*key));
    assert_eq!(report.get("address"), "10.0.2.77/24");
    assert!(report.get("name-servers").contains("192.0.2.53"), "{}", report.get("name-servers"));
    assert_eq!(written(&other), before);
}

/// By its serial number, from the kernel's command line; the other disk stays as it is.
#[test]
#[ignore = "long: make matrix"]
fn it_takes_the_disk_that_is_meant() {
    let folder = scratch();
    let medium = iso(&context(folder.path(), ""), ALPINE, folder.path(), &[]);
    let keys =
        "vmimage.install.unattended=true vmimage.install.after=poweroff vmimage.install.disk.serial=target";
    let words = kernel_of(&medium, "install", keys, folder.path());
    let [target, other] = ["target", "other"].map(|name| blank(folder.path(), name, LARGE));
    let before = written(&other);
    let rack = with(Firmware::Bios, &medium, folder.path()).kernel(folder.path(), &words);
    rack.drive(Bus::Ahci, &other).drive(Bus::Ahci, &target).ends();
    assert_eq!(written(&other), before);
    boots_alone(ALPINE, Firmware::Bios, Bus::Ahci, &target, folder.path());
}

/// Of two disks nothing is written where nobody says which. Whoever is there says it, and a disk with data by its name.
#[test]
#[ignore = "long: make matrix"]
fn it_asks_who_is_there_and_writes_nothing_where_nobody_is() {
    let folder = scratch();
    let [target, other] = ["target", "other"].map(|name| blank(folder.path(), name, LARGE));
    run(Command::new("mkfs.ext4").arg("-q").arg(&target));
    let both = |install: &str| {
        let medium = installer(ALPINE, install, folder.path(), &[]);
        with(Firmware::Bios, &medium, folder.path())
            .drive(Bus::Ahci, &target)
            .drive(Bus::Ahci, &other)
            .start()
    };
    let before = [&target, &other].map(|disk| written(disk));
    let machine = both(&format!("{UNATTENDED}disk = \"ask\"\n"));
    is_refused(machine, "nobody is there to say which", &target, &before[0]);

    let mut machine = both("disk = \"ask\"\nafter = \"poweroff\"\n");
    let which = "the number of the one that is to be written";
    machine.says(which);
    let (number, name) = listed(machine.console(), "target");
    machine.types(&format!("{number}\n"));
    machine.says("to overwrite it:");
    machine.types("no\n");
    machine.says("nothing was written");
    machine.says(which);
    machine.types(&format!("{number}\n"));
    machine.says("to overwrite it:");
    machine.types(&format!("{name}\n"));
    machine.ends();
    assert!(written(&other) == before[1]);
    boots_alone(ALPINE, Firmware::Bios, Bus::Ahci, &target, folder.path());
}

/// In a list of disks the number of the one with this serial number, and its name:
/// `  1) /dev/sda, 5.0 GiB, sata, QEMU HARDDISK, serial target: has ext4`.
fn listed(console: &str, serial: &str) -> (String, String) {
    let serial = format!("serial {serial}:");
    let line = console.lines().rfind(|line| line.contains(&serial)).unwrap_or_else(|| panic!("{console}"));
    let (number, disk) = line.split_once(") /dev/").unwrap_or_else(|| panic!("{line}"));
    let number = number.rsplit(' ').next().unwrap();
    (number.to_owned(), disk.split(',').next().unwrap().to_owned())
}

#[test]
fn a_disk_is_found_in_a_list() {
    let list = "vmimage:   1) /dev/sdb, 5.0 GiB, sata, QEMU, serial other: is empty\r\n\
                vmimage:   2) /dev/sda, 5.0 GiB, sata, QEMU, serial target: has ext4\r\n";
    assert_eq!(listed(list, "target"), ("2".to_owned(), "sda".to_owned()));
    assert!(std::panic::catch_unwind(|| listed(list, "third")).is_err());
}

/// What somebody chooses and types who has to repair a machine.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_is_rescued_by_hand() {
    let folder = scratch();
    let install = installer(ALPINE, UNATTENDED, folder.path(), &[]);
    let target = blank(folder.path(), "target", LARGE);
    with(Firmware::Bios, &install, folder.path()).drive(Bus::Ahci, &target).ends();

    let menu = "[medium]\ntimeout = 60\n";
    let medium = iso(&context(folder.path(), menu), ALPINE, folder.path(), &[]);
    let word = nonce();
    let mut machine = with(Firmware::Bios, &medium, folder.path()).drive(Bus::Ahci, &target).start();
    // The third entry of GRUB's menu, by Ctrl-N as on any serial line.
    machine.says("Rescue: find an installed system");
    machine.types("\u{e}\u{e}\r");
    machine.says("exit leaves it");
    machine.says("# ");
    // What the shell computes is not what was typed to it, and its echo.
    machine.types(&format!("cat /srv/app/app.txt && echo {word} >/srv/rescued && echo it-is-$((6 * 7))\n"));
    machine.says("version one");
    machine.says("it-is-42");
    machine.types("exit\n");
    machine.ends();
    let report = boots_alone(ALPINE, Firmware::Bios, Bus::Ahci, &target, folder.path());
    assert_eq!(report.get("rescued"), word);
}

/// The way back: what the machine has written is in the archive and in the image, and a container of that is there again.
#[test]
#[ignore = "long: make matrix"]
fn an_installed_disk_is_exported_with_what_the_machine_has_written() {
    let folder = scratch();
    let medium = installer(ALPINE, UNATTENDED, folder.path(), &[]);
    let target = blank(folder.path(), "target", LARGE);
    with(Firmware::Bios, &medium, folder.path()).drive(Bus::Ahci, &target).ends();
    assert!(!files(&exported(&target, folder.path())).contains(WRITTEN), "no machine has written it yet");
    boots_alone(ALPINE, Firmware::Bios, Bus::Ahci, &target, folder.path());

    let archive = exported(&target, folder.path());
    assert!(files(&archive).contains(WRITTEN));
    let image = format!("vmimage-test/exported:{}", nonce());
    run(Command::new("docker").arg("import").arg(&archive).arg(&image));
    let file = format!("/{WRITTEN}");
    let said = run(Command::new("docker").args(["run", "--rm", &image, "cat", &file, "/etc/alpine-release"]));
    run(Command::new("docker").args(["rmi", &image]));
    assert!(said.starts_with("written by the machine\n3.23"), "{said}");

    let layout = folder.path().join("layout");
    run(Command::new(VMIMAGE).arg("export").arg(&target).arg("-o").arg(format!("oci:{}", layout.display())));
    let copy = format!("docker-archive:{}", folder.path().join("copy.tar").display());
    run(Command::new("skopeo").args(["copy", "-q", &format!("oci:{}", layout.display()), &copy]));
}

/// By `report.sh` of every machine here.
const WRITTEN: &str = "srv/app/written";

/// A disk's files as an archive.
pub(crate) fn exported(disk: &Path, folder: &Path) -> PathBuf {
    let archive = folder.join("exported.tar");
    let _ = fs::remove_file(&archive);
    run(Command::new(VMIMAGE).arg("export").arg(disk).arg("-o").arg(&archive));
    archive
}

/// The names in an archive, by tar.
pub(crate) fn files(archive: &Path) -> String {
    run(Command::new("tar").arg("-tf").arg(archive))
}
