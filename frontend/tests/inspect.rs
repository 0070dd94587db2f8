//! `vmimage inspect` on disks that other tools made, whole and damaged.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// Where the partitions start.
const ESP: u64 = 2 * MIB;
const ROOT: u64 = 18 * MIB;
const DISK: u64 = 64 * MIB;

fn tool(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

/// A disk like the ones `build` makes, by sgdisk, mkfs.fat, mtools and mkfs.ext4.
struct Lab {
    dir: TempDir,
}

impl Lab {
    fn new(boot_file: &str) -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        let disk = lab.text("disk.raw");
        fs::File::create(&disk).unwrap().set_len(DISK).unwrap();
        let partitions = [
            "-n1:2048:4095",
            "-t1:21686148-6449-6E6F-744E-656564454649",
            "-n2:4096:36863",
            "-t2:C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            "-c2:esp",
            "-n3:36864:0",
            "-t3:4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
            "-c3:root",
            "-u3:11111111-2222-4333-8444-555555555555",
        ];
        tool("sgdisk", &[&partitions[..], &[disk.as_str()]].concat());
        lab.put_esp(boot_file);
        lab.make_tree();
        lab.put_root();
        let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
        file.write_all_at(b"\xeb\x63\x90GRUB ", 0).unwrap();
        file.write_all_at(b"core", MIB).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn put_esp(&self, boot_file: &str) {
        let esp = self.text("esp");
        fs::File::create(&esp).unwrap().set_len(ROOT - ESP).unwrap();
        tool("mkfs.fat", &["-n", "BOOT", "-i", "1234abcd", &esp]);
        fs::write(self.path("efi"), "MZ").unwrap();
        tool("mmd", &["-i", &esp, "::/EFI", "::/EFI/BOOT"]);
        tool("mcopy", &["-i", &esp, &self.text("efi"), &format!("::/EFI/BOOT/{boot_file}")]);
        self.put(&esp, ESP);
    }

    fn make_tree(&self) {
        let tree = self.path("tree");
        for dir in ["etc", "usr/lib", "boot/grub"] {
            fs::create_dir_all(tree.join(dir)).unwrap();
        }
        let release = "PRETTY_NAME=\"Debian \u{1b}[31m12\"\nIMAGE_ID=kiosk\nIMAGE_VERSION=1.4\n";
        fs::write(tree.join("usr/lib/os-release"), release).unwrap();
        std::os::unix::fs::symlink("../usr/lib/os-release", tree.join("etc/os-release")).unwrap();
        fs::write(
            tree.join("boot/grub/grub.cfg"),
            "menuentry x {\n linux /boot/vmlinuz-6.1 root=LABEL=root ro\n initrd /boot/initrd.img-6.1\n}\n",
        )
        .unwrap();
    }

    /// The files of the tree as a file system.
    fn put_root(&self) {
        let (root, tree) = (self.text("root"), self.path("tree"));
        fs::File::create(&root).unwrap().set_len(24 * MIB).unwrap();
        let uuid = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
        tool("mkfs.ext4", &["-q", "-F", "-L", "root", "-U", uuid, "-d", tree.to_str().unwrap(), &root]);
        self.put(&root, ROOT);
    }

    fn put(&self, from: &str, offset: u64) {
        let disk = fs::OpenOptions::new().write(true).open(self.path("disk.raw")).unwrap();
        disk.write_all_at(&fs::read(from).unwrap(), offset).unwrap();
    }

    /// The disk in another format.
    fn convert(&self, name: &str, options: &[&str]) -> PathBuf {
        let (from, to) = (self.text("disk.raw"), self.text(name));
        tool("qemu-img", &[&["convert", "-f", "raw", "-O", "qcow2"], options, &[&from, &to]].concat());
        self.path(name)
    }
}

fn inspect(file: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmimage")).arg("inspect").arg(file).args(more).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_disk_tells_everything() {
    let lab = Lab::new("BOOTX64.EFI");
    let output = inspect(&lab.path("disk.raw"), &["--json"]);
    assert_eq!(stderr(&output), "");
    let report = json(&output);
    assert_eq!(report["format"], "raw");
    assert_eq!(report["virtual_size"], DISK);
    assert!(report["actual_size"].as_u64().unwrap() < DISK);
    let partitions = report["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 3);
    assert_eq!(partitions[0]["kind"], "bios-boot");
    assert_eq!(partitions[0]["file_system"], serde_json::Value::Null);
    let esp = &partitions[1];
    assert_eq!((&esp["kind"], &esp["label"], &esp["start"]), (&"esp".into(), &"esp".into(), &ESP.into()));
    assert_eq!(esp["size"], ROOT - ESP);
    assert_eq!(esp["file_system"]["type"], "vfat");
    assert_eq!(esp["file_system"]["label"], "BOOT");
    assert_eq!(esp["file_system"]["uuid"], "1234-ABCD");
    let root = &partitions[2];
    assert_eq!(root["number"], 3);
    assert_eq!(root["guid"], "11111111-2222-4333-8444-555555555555");
    assert_eq!(root["kind"], "root-x86-64");
    assert_eq!(root["file_system"]["type"], "ext4");
    assert_eq!(root["file_system"]["uuid"], "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee");
    assert_eq!(root["file_system"]["size"], 24 * MIB);
    assert!(root["file_system"]["free"].as_u64().unwrap() < 24 * MIB);
    assert_eq!(report["boot"]["bios"], "GRUB");
    assert_eq!(report["boot"]["uefi"], serde_json::json!(["EFI/BOOT/BOOTX64.EFI"]));
    assert_eq!(report["linux"]["name"], "Debian \u{1b}[31m12");
    assert_eq!(
        (&report["linux"]["image_id"], &report["linux"]["image_version"]),
        (&"kiosk".into(), &"1.4".into())
    );
    assert_eq!(report["linux"]["kernel"], "/boot/vmlinuz-6.1");
    assert_eq!(report["linux"]["initramfs"], "/boot/initrd.img-6.1");
    assert_eq!(report["linux"]["command_line"], "root=LABEL=root ro");
    assert_eq!(report["problems"], serde_json::json!([]));
}

#[test]
fn every_kind_of_qcow2_tells_the_same() {
    let lab = Lab::new("BOOTX64.EFI");
    let raw = json(&inspect(&lab.path("disk.raw"), &["--json"]));
    for (name, options) in [
        ("plain.qcow2", &[][..]),
        ("zlib.qcow2", &["-c"]),
        ("zstd.qcow2", &["-c", "-o", "compression_type=zstd"]),
        ("small.qcow2", &["-o", "cluster_size=4096"]),
        ("old.qcow2", &["-o", "compat=0.10"]),
    ] {
        let output = inspect(&lab.convert(name, options), &["--json"]);
        assert_eq!(stderr(&output), "");
        let report = json(&output);
        assert_eq!(report["format"], "qcow2");
        for key in ["virtual_size", "disk_guid", "partitions", "boot", "linux"] {
            assert_eq!(report[key], raw[key], "{name}: {key}");
        }
    }
}

#[test]
fn the_text_is_readable_and_harmless() {
    let lab = Lab::new("BOOTX64.EFI");
    let text = String::from_utf8(inspect(&lab.path("disk.raw"), &[]).stdout).unwrap();
    for line in [
        "  1  bios-boot        1 MiB at 1 MiB",
        "  2  esp             16 MiB at 2 MiB     \"esp\" vfat \"BOOT\" 1234-ABCD, ",
        "  BIOS           GRUB",
        "  UEFI           EFI/BOOT/BOOTX64.EFI",
        "  command line   root=LABEL=root ro",
        "  name           Debian \\u{1b}[31m12",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn slots_are_told_with_what_the_boot_loader_would_do() {
    let lab = Lab::new("BOOTX64.EFI");
    let root = "-t1:4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
    tool("sgdisk", &[root, "-c1:_empty", &lab.text("disk.raw")]);
    let slots = |first: &str, second: &str| {
        for (name, text) in [("grubenv", first), ("grubenv.2", second)] {
            fs::write(lab.path(name), format!("{text:#<1024}")).unwrap();
            let to = format!("::/EFI/BOOT/{name}");
            tool("mcopy", &["-o", "-i", &lab.text("esp"), &lab.text(name), &to]);
        }
        lab.put(&lab.text("esp"), ESP);
        json(&inspect(&lab.path("disk.raw"), &["--json"]))["slots"].clone()
    };
    let whole = "# GRUB Environment Block\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=2\ngood=A\nORDER=B A\n";
    let expected = serde_json::json!({
        "order": "B A",
        "good": "A",
        "slots": [
            { "name": "A", "partition": 1, "state": "empty", "tries": 0 },
            { "name": "B", "partition": 3, "state": "trying", "tries": 2 },
        ],
    });
    assert_eq!(slots(whole, "# GRUB Environment Block\n"), expected);
    assert_eq!(slots(&whole[..40], whole), expected);
    let text = String::from_utf8(inspect(&lab.path("disk.raw"), &[]).stdout).unwrap();
    for line in ["  B              partition 3, trying, 2 tries used", "  order          B A, last good: A"] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    assert_eq!(slots("", ""), serde_json::Value::Null);
}

/// Files of systemd-boot on the FAT in a file, which lies on the disk from `offset` on: an entry for each name.
fn put_entries(lab: &Lab, volume: &str, offset: u64, names: &[&str]) {
    let volume = lab.text(volume);
    tool("mmd", &["-i", &volume, "::/loader", "::/loader/entries"]);
    fs::write(lab.path("mark"), "type1\n").unwrap();
    tool("mcopy", &["-i", &volume, &lab.text("mark"), "::/loader/entries.srel"]);
    for (version, name) in (1..).zip(names) {
        let slot = if name.contains("-A") { "A" } else { "B" };
        let text = format!(
            "version    {version}\noptions    root=PARTUUID=x ro rauc.slot={slot}\n\
             linux      /kiosk/{slot}/linux\ninitrd     /kiosk/{slot}/initrd.img-6.{version}\n"
        );
        fs::write(lab.path("entry"), text).unwrap();
        tool("mcopy", &["-i", &volume, &lab.text("entry"), &format!("::/loader/entries/{name}")]);
    }
    lab.put(&volume, offset);
}

#[test]
fn slots_are_told_by_the_entries_of_systemd_boot() {
    let lab = Lab::new("BOOTX64.EFI");
    let root = "-t1:4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
    tool("sgdisk", &[root, "-c1:root-a", &lab.text("disk.raw")]);
    put_entries(&lab, "esp", ESP, &["kiosk-B+0-3.conf", "kiosk-A.conf"]);
    let output = inspect(&lab.path("disk.raw"), &["--json"]);
    assert_eq!(stderr(&output), "");
    let report = json(&output);
    let expected = serde_json::json!({
        "order": "A B",
        "good": "A",
        "slots": [
            { "name": "A", "partition": 1, "state": "good", "tries": 0 },
            { "name": "B", "partition": 3, "state": "bad", "tries": 3 },
        ],
    });
    assert_eq!(report["slots"], expected);
    // Its grub.cfg starts nothing, and what is read is in slot B.
    assert_eq!(report["linux"]["image_id"], "kiosk");
    assert_eq!(report["linux"]["kernel"], "/kiosk/B/linux");
    assert_eq!(report["linux"]["initramfs"], "/kiosk/B/initrd.img-6.1");
    assert_eq!(report["linux"]["command_line"], "root=PARTUUID=x ro rauc.slot=B");
}

#[test]
fn an_entry_of_systemd_boot_tells_the_kernel_of_a_system_that_is_not_read() {
    let lab = Lab::new("BOOTX64.EFI");
    fs::write(lab.path("nothing"), vec![0; 24 << 20]).unwrap();
    lab.put(&lab.text("nothing"), ROOT);
    // Beside the ESP.
    tool("sgdisk", &["-t1:BC13C2FF-59E6-4262-A352-B275FD6F7172", &lab.text("disk.raw")]);
    fs::File::create(lab.path("beside")).unwrap().set_len(MIB).unwrap();
    tool("mkfs.fat", &[&lab.text("beside")]);
    put_entries(&lab, "beside", MIB, &["debian-6.1+3-0.conf", "debian-6.2+0-3.conf"]);
    let report = json(&inspect(&lab.path("disk.raw"), &["--json"]));
    assert_eq!(report["slots"], serde_json::Value::Null);
    assert_eq!(report["linux"]["initramfs"], "/kiosk/B/initrd.img-6.1");
}

#[test]
fn the_machine_that_runs_it_is_told_by_the_boot_loader() {
    for (boot_file, word) in [("BOOTX64.EFI", "-machine q35"), ("bootaa64.efi", "qemu-system-aarch64")] {
        let lab = Lab::new(boot_file);
        let output = Command::new(env!("CARGO_BIN_EXE_vmimage"))
            .args(["run", "--dry-run", "--accel", "tcg"])
            .arg(lab.path("disk.raw"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains(word), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn a_disk_may_be_one_file_system() {
    let lab = Lab::new("BOOTX64.EFI");
    let report = json(&inspect(&lab.path("root"), &["--json"]));
    assert_eq!(report["file_system"]["type"], "ext4");
    assert_eq!(report["linux"]["kernel"], "/boot/vmlinuz-6.1");
}

/// What `inspect` says of a root after one request of debugfs: nothing is broken.
fn whole_after(lab: &Lab, request: &str) -> (String, serde_json::Value) {
    tool("debugfs", &["-w", "-R", request, &lab.text("root")]);
    lab.put(&lab.text("root"), ROOT);
    let output = inspect(&lab.path("disk.raw"), &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{request}: {}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["problems"], serde_json::json!([]));
    (stderr(&output), report)
}

#[test]
fn times_of_any_year_are_no_damage() {
    let lab = Lab::new("BOOTX64.EFI");
    let tree = lab.path("tree");
    for (file, time) in
        [("etc", "@-1"), ("usr", "@2147483648"), ("boot", "@-2147483648"), ("usr/lib", "@15032385535")]
    {
        tool("touch", &["-d", time, tree.join(file).to_str().unwrap()]);
    }
    let disk = lab.text("data.raw");
    for epoch in ["-1", "-2147483648", "4294967296"] {
        let output = Command::new(env!("CARGO_BIN_EXE_vmimage"))
            .env("SOURCE_DATE_EPOCH", epoch)
            .args(["convert", "-q", "--profile", "data", tree.to_str().unwrap(), "-o", &disk])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let output = inspect(&lab.path("data.raw"), &["--json"]);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{epoch}");
        let report = json(&output);
        assert_eq!(report["linux"]["kernel"], "/boot/vmlinuz-6.1");
        assert!(report.to_string().contains("\"tree_digest\":\"sha256:"), "{report}");
    }
}

#[test]
fn a_link_of_any_length_is_no_damage() {
    for len in [59, 61, 301, 1001] {
        let lab = Lab::new("BOOTX64.EFI");
        let link = lab.path("tree/etc/os-release");
        fs::remove_file(&link).unwrap();
        let target = "../usr/lib/os-release";
        std::os::unix::fs::symlink(format!("{}{target}", "./".repeat((len - target.len()) / 2)), link)
            .unwrap();
        lab.put_root();
        let output = inspect(&lab.path("disk.raw"), &["--json"]);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{len}");
        assert_eq!(json(&output)["linux"]["name"], "Debian \u{1b}[31m12", "{len}");
    }
}

#[test]
fn what_is_not_read_is_a_warning() {
    let lab = Lab::new("BOOTX64.EFI");
    let (text, report) = whole_after(&lab, "feature +needs_recovery");
    assert!(
        text.contains("warning: ") && text.contains(": partition 3: the file system was not unmounted"),
        "{text}"
    );
    assert_eq!(report["linux"]["kernel"], "/boot/vmlinuz-6.1");
    assert_eq!(report["partitions"][2]["file_system"]["tree_digest"], serde_json::Value::Null);

    let (text, report) = whole_after(&lab, "feature compression");
    assert!(
        text.ends_with(": partition 3: ext4: a file system with the feature compression is not read\n"),
        "{text}"
    );
    assert_eq!(report["warnings"].as_array().unwrap().len(), 2);
    assert_eq!(report["linux"], serde_json::Value::Null);
}

/// Sixty gigabytes of zeros to be hashed, and none of it on the disk.
#[test]
fn a_file_of_holes_costs_nothing() {
    let lab = Lab::new("BOOTX64.EFI");
    fs::File::create(lab.path("tree/holes")).unwrap().set_len(60 << 30).unwrap();
    lab.put_root();
    let (text, report) = whole_after(&lab, "stats");
    assert!(text.ends_with("bytes to be read, which is the limit\n"), "{text}");
    assert_eq!(report["linux"]["kernel"], "/boot/vmlinuz-6.1");
    assert_eq!(report["partitions"][2]["file_system"]["tree_digest"], serde_json::Value::Null);
}

#[test]
fn damage_is_told_and_the_rest_is_shown() {
    let lab = Lab::new("BOOTX64.EFI");
    let whole = fs::read(lab.path("disk.raw")).unwrap();
    let report_of = |at: u64, bytes: &[u8]| {
        let mut broken = whole.clone();
        broken[at as usize..][..bytes.len()].copy_from_slice(bytes);
        fs::write(lab.path("broken.raw"), broken).unwrap();
        let output = inspect(&lab.path("broken.raw"), &["--json"]);
        assert_eq!(output.status.code(), Some(1));
        (stderr(&output), json(&output))
    };
    let (text, report) = report_of(512, &[0; 512]);
    assert!(text.ends_with(": the primary partition table is broken, the backup was read\n"), "{text}");
    assert_eq!(report["partitions"].as_array().unwrap().len(), 3);

    let (text, report) = report_of(ESP, &[0; 512]);
    assert!(text.ends_with(": partition 2: FAT volume: the boot sector has no signature\n"), "{text}");
    assert_eq!(report["linux"]["kernel"], "/boot/vmlinuz-6.1");

    // More blocks than the partition has room for, and a group size that asks for a group for each.
    let (text, _) = report_of(ROOT + 1024 + 4, &u32::MAX.to_le_bytes());
    assert!(text.contains(": partition 3: superblock: a file system of "), "{text}");
    let (text, _) = report_of(ROOT + 1024 + 0x20, &1_u32.to_le_bytes());
    assert!(text.ends_with(": partition 3: superblock: the sizes in it are impossible\n"), "{text}");

    // The checksum of the superblock.
    let (text, report) = report_of(ROOT + 1024 + 0x3fc, &[1, 2, 3, 4]);
    assert!(text.contains(": partition 3: "), "{text}");
    assert_eq!(report["partitions"][2]["file_system"]["type"], "ext4");
    assert_eq!(report["linux"], serde_json::Value::Null);
}

/// A disk whose tables are damaged where nothing of what is shown lies.
#[test]
fn tables_that_a_strict_reader_refuses_are_damage() {
    let lab = Lab::new("BOOTX64.EFI");
    let told = |path: &Path| {
        let output = inspect(path, &["--json"]);
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        assert!(json(&output)["partitions"].as_array().unwrap().len() == 3);
        stderr(&output)
    };
    let change = |path: &Path, at: u64, change: &dyn Fn(u64) -> u64| {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut entry = [0; 8];
        file.read_exact_at(&mut entry, at).unwrap();
        file.write_all_at(&change(u64::from_be_bytes(entry)).to_be_bytes(), at).unwrap();
    };
    let entry = |path: &Path, at: u64| {
        let bytes = fs::read(path).unwrap();
        u64::from_be_bytes(bytes[at as usize..][..8].try_into().unwrap())
    };

    // The cluster in front of the backup table, where nothing is.
    let path = lab.convert("broken.qcow2", &[]);
    let l2 = entry(&path, entry(&path, 40)) & 0x00ff_ffff_ffff_fe00;
    change(&path, l2 + 8 * (DISK / 65_536 - 2), &|_| 1 << 63 | 512);
    let told_of = told(&path);
    assert!(told_of.contains(": qcow2: cluster 1022 lies at byte 512, inside a cluster"), "{told_of}");

    let raw = fs::read(lab.path("disk.raw")).unwrap();
    let path = lab.path("broken.raw");
    fs::write(&path, [&raw[..DISK as usize - 33 * 512], &[0; 33 * 512]].concat()).unwrap();
    let told_of = told(&path);
    assert!(told_of.contains(": the backup partition table is broken: "), "{told_of}");

    for (driver, options, damage, expected) in [
        ("vpc", "subformat=dynamic,force_size=on", 512, ": vhd: the footer is damaged, its copy "),
        (
            "vhdx",
            "subformat=dynamic,block_size=1M",
            0,
            ": vhdx: block 62 is in state 5, which does not exist",
        ),
    ] {
        let (from, path) = (lab.text("disk.raw"), lab.path(driver));
        let to = path.to_str().unwrap();
        tool("qemu-img", &["convert", "-f", "raw", "-O", driver, "-o", options, &from, to]);
        let len = fs::metadata(&path).unwrap().len();
        match damage {
            // The cookie of the footer.
            512 => change(&path, len - 512, &|_| 0),
            // QEMU's BAT lies behind its log of 1 MiB; the last entry but one.
            _ => change(&path, 2 * MIB + 8 * 62, &|_| 5_u64.swap_bytes()),
        }
        let told_of = told(&path);
        assert!(told_of.contains(expected), "{told_of}");
    }
}

#[test]
fn what_is_no_disk_is_an_error() {
    let lab = Lab::new("BOOTX64.EFI");
    fs::write(lab.path("empty"), "").unwrap();
    fs::write(lab.path("text"), "hello").unwrap();
    fs::write(lab.path("zeros"), vec![0; 1 << 20]).unwrap();
    fs::write(lab.path("stub.qcow2"), b"QFI\xfb\0\0\0\x03").unwrap();
    let qcow2 = fs::read(lab.convert("disk.qcow2", &[])).unwrap();
    fs::write(lab.path("cut.qcow2"), &qcow2[..4096]).unwrap();
    for name in ["empty", "text", "zeros", "stub.qcow2", "cut.qcow2", "missing"] {
        let output = inspect(&lab.path(name), &[]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(stderr(&output).starts_with("error: "), "{name}: {}", stderr(&output));
    }
}

#[test]
fn no_damage_is_too_much() {
    let lab = Lab::new("BOOTX64.EFI");
    let mut state = 7_u32;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (u64::from(state >> 8) * below) >> 24
    };
    // Where the metadata lies: a disk is mostly data, whose damage nobody sees.
    let raw_places = [(0, 17 << 10), (ESP, 64 << 10), (ROOT, 512 << 10), (DISK - (17 << 10), 17 << 10)];
    let qcow2_places = [(0, 104), (0, 8 << 10), (0, 1 << 20)];
    for (name, places) in [("disk.raw", &raw_places[..]), ("c.qcow2", &qcow2_places)] {
        if name == "c.qcow2" {
            lab.convert(name, &["-c", "-o", "cluster_size=4096"]);
        }
        let whole = fs::read(lab.path(name)).unwrap();
        let broken = lab.path("broken");
        fs::copy(lab.path(name), &broken).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&broken).unwrap();
        for _ in 0..150 {
            let (start, len) = places[random(places.len() as u64) as usize];
            let damage: Vec<u64> = (0..1 + random(16))
                .map(|_| start + random(len))
                .filter(|&at| at < whole.len() as u64)
                .collect();
            damage.iter().for_each(|&at| file.write_all_at(&[random(256) as u8], at).unwrap());
            let output = inspect(&broken, &["--json"]);
            let code = output.status.code();
            assert!(
                matches!(code, Some(0 | 1)),
                "{:?} {damage:x?} {}",
                output.status.signal(),
                stderr(&output)
            );
            damage.iter().for_each(|&at| file.write_all_at(&whole[at as usize..][..1], at).unwrap());
        }
    }
}
