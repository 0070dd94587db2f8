//! GRUB that starts nothing but what a key has signed: one bit of its configuration, its menu, a kernel or an initramfs is another one,
//! and it says so and starts nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::check_report;
use super::disk::damage;
use super::lab::{VMIMAGE, boot, build, copy_of, partitions, run, scratch, testdata};
use super::own_keys::find;
use super::rack::{Bus, Firmware, Rack};

const DEBIAN: &str = "vmimage-test/debian:12";
const ROOT: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
/// Bytes of a block of ext4.
const BLOCK: u64 = 4096;
const BAD: &str = "bad signature";
/// What the first configuration has, and not what is in the image of GRUB.
const STUB: &[u8] = b"export superusers\nregexp";
/// Such a root, and where what is written goes.
const VERIFIED: &str =
    "layout = \"simple\"\nvolatile = \"overlay\"\n[[partitions]]\ntype = \"root\"\nverity = true\n";
/// Of OVMF in setup mode.
const TEMPLATE: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// The machine of `testdata/machine`, whose GRUB knows a key.
struct Machine {
    folder: tempfile::TempDir,
    disk: PathBuf,
}

impl Machine {
    /// With these keys and tables in its configuration, files of this folder in the context, and further secrets.
    fn build(base: &str, config: &str, keys: Option<&Path>, secrets: &[String]) -> Self {
        let folder = scratch();
        let context = copy_of("machine", folder.path());
        if let Some(keys) = keys {
            run(Command::new("cp").arg("-r").arg(keys).arg(context.join("keys")));
        }
        let config = format!("hostname = \"web\"\n{config}\n[grub]\nkey = \"grub\"\n");
        fs::write(context.join("vmimage.toml"), config).unwrap();
        let disk = folder.path().join("disk.raw");
        let key = format!("id=grub,src={}", testdata("update").join("gpg-rsa3072.asc").display());
        let base = format!("BASE={base}");
        let mut words = vec!["--build-arg", &base, "--secret", &key];
        words.extend(secrets.iter().flat_map(|secret| ["--secret", secret]));
        let progress = build(&context, &disk, &words);
        assert!(progress.contains("reads nothing but what the key "), "{progress}");
        Self { folder, disk }
    }

    fn rack(&self, firmware: Firmware) -> Rack {
        Rack::new(firmware, self.folder.path()).drive(Bus::Ahci, &self.disk)
    }

    /// It ends with this on the console, and no kernel has begun.
    fn refuses(&self, firmware: Firmware, said: &str) {
        let mut machine = self.rack(firmware).start();
        machine.says(said);
        let console = machine.switch_off();
        assert!(!console.contains("Linux version") && !console.contains("report:"), "{console}");
    }

    /// With a bit of this place of the disk flipped.
    fn is_refused_with(&self, what: &str, at: u64, firmware: Firmware) {
        eprintln!("{what}");
        damage(&self.disk, at, || self.refuses(firmware, BAD));
    }

    /// Where the first block of a file of the root lies.
    fn place(&self, path: &str) -> u64 {
        let root = partitions(&self.disk).into_iter().find(|partition| partition.kind == ROOT).unwrap();
        let mut debugfs = Command::new("debugfs");
        debugfs.args(["-R", &format!("bmap {path} 0")]);
        let said = run(debugfs.arg(format!("{}?offset={}", self.disk.display(), root.start)));
        let block: u64 = said.split_whitespace().last().unwrap().parse().unwrap();
        root.start + block * BLOCK
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_grub_with_a_key_starts_what_it_has_signed_and_nothing_else() {
    let machine = Machine::build(DEBIAN, "", None, &[]);
    let report = boot(&machine.disk, "--bios", &["--snapshot"]);
    check_report(DEBIAN, "--bios", &report);
    check_report(DEBIAN, "--uefi", &boot(&machine.disk, "--uefi", &["--snapshot"]));
    let kernel = report.get("kernel");
    let stub = find(&File::open(&machine.disk).unwrap(), STUB);
    let [image, initramfs] =
        ["vmlinuz", "initrd.img"].map(|name| machine.place(&format!("/boot/{name}-{kernel}")));
    let menu = machine.place("/boot/grub/grub.cfg");
    machine.is_refused_with("the configuration", stub, Firmware::Bios);
    machine.is_refused_with("the configuration, by UEFI", stub, Firmware::Uefi);
    machine.is_refused_with("the menu", menu, Firmware::Bios);
    machine.is_refused_with("the kernel", image + 1000, Firmware::Bios);
    machine.is_refused_with("the kernel, by UEFI", image + 1000, Firmware::Uefi);
    machine.is_refused_with("the initramfs", initramfs + 1000, Firmware::Bios);
    check_report(DEBIAN, "--bios", &boot(&machine.disk, "--bios", &["--snapshot"]));
}

/// GRUB checks the configuration with the root hash, and by that the kernel checks each block of the root.
#[test]
#[ignore = "long: make matrix"]
fn a_root_whose_hash_grubs_key_has_signed_boots_and_no_other() {
    let machine = Machine::build(DEBIAN, VERIFIED, None, &[]);
    for firmware in ["--bios", "--uefi"] {
        check_report(DEBIAN, firmware, &boot(&machine.disk, firmware, &["--snapshot"]));
    }
    let hash = find(&File::open(&machine.disk).unwrap(), b"set root_hash=") + 14;
    machine.is_refused_with("the root hash", hash, Firmware::Bios);
    machine.is_refused_with("the root hash, by UEFI", hash, Firmware::Uefi);
    let root = partitions(&machine.disk).into_iter().find(|partition| partition.kind == ROOT).unwrap();
    damage(&machine.disk, root.start, || {
        let mut running = machine.rack(Firmware::Bios).start();
        running.says("data block 0 is corrupted");
        let console = running.switch_off();
        assert!(!console.contains("report:"), "{console}");
    });
}

/// The frontend image's GRUB for a distribution that signs none, and one with a `/boot` of its own.
#[test]
#[ignore = "long: make matrix"]
fn other_distributions_and_a_boot_partition_start_by_a_key() {
    for (base, config, firmwares) in [
        ("vmimage-test/alpine:3.23", "", &["--bios", "--uefi"][..]),
        ("vmimage-test/debian:13", "layout = \"split-boot-vfat\"\n", &["--bios", "--uefi"]),
    ] {
        let machine = Machine::build(base, config, None, &[]);
        for firmware in firmwares {
            check_report(base, firmware, &boot(&machine.disk, firmware, &["--snapshot"]));
        }
    }
}

/// Secure Boot by a key of one's own in front: the firmware checks GRUB, and GRUB the rest.
#[test]
#[ignore = "long: make matrix"]
fn firmware_that_knows_who_has_signed_grub_starts_it() {
    for base in [DEBIAN, "vmimage-test/debian:13"] {
        let folder = scratch();
        let (keys, given) = (folder.path().join("keys"), folder.path().join("given"));
        run(Command::new(VMIMAGE).args(["keys", "generate", "--name", "Acme"]).arg(&keys));
        fs::create_dir(&given).unwrap();
        fs::copy(keys.join("db.crt"), given.join("db.crt")).unwrap();
        let config = "firmware = \"uefi\"\n[secure-boot]\ncertificate = \"keys/db.crt\"\nkey = \"db\"\n";
        let secret = format!("id=db,src={}", keys.join("db.key").display());
        let machine = Machine::build(base, config, Some(&given), &[secret]);
        let variables = machine.folder.path().join("variables_4M.secboot.fd");
        let mut vars = Command::new(VMIMAGE);
        vars.args(["keys", "vars", "--template", TEMPLATE, "--keys"]).arg(&keys).arg("-o").arg(variables);
        run(&mut vars);
        let report = machine.rack(Firmware::OwnKeys).online().reports();
        assert_eq!((report.get("secure-boot"), report.get("app")), ("1", "version one"));
        let disk = File::open(&machine.disk).unwrap();
        let stub = find(&disk, STUB);
        machine.is_refused_with("the configuration", stub, Firmware::OwnKeys);
        // In the image of GRUB itself.
        let program = find(&disk, b"set check_signatures=enforce");
        damage(&machine.disk, program, || machine.refuses(Firmware::OwnKeys, "Access Denied"));
    }
}
