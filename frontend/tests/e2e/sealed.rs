//! Roots that are verified when they are read: they boot by vmimage's own initramfs, and one byte that is another than was
//! built ends the boot, with its reason on the console.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::boot::check_report;
use super::disk::damage;
use super::lab::{
    Console, LIMIT, Partition, VMIMAGE, boot, build, copy_of, extract, machine, nonce, partitions, raw,
    refused, run, scratch,
};

const DEBIAN: &str = "vmimage-test/debian:12";
const ROOT: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
/// Bytes of a block of verity's.
const BLOCK: u64 = 4096;

const CONFIG: &str = r#"
hostname = "web"
layout = "simple"

[[partitions]]
type = "root"
verity = true
"#;

/// What is written goes into memory.
const OVERLAY: &str = "volatile = \"overlay\"\n";

/// What is written is kept beside the root.
const PERSIST: &str = r#"
[persist]
bind = ["/var", "/srv"]

[[partitions]]
type = "linux-generic"
label = "persist"
mount = "/persist"
grow = true
"#;

/// What the kernel makes of the root.
const FACTS: &str = r#"
[[files]]
path = "/etc/report.d/sealed"
content = '''
fact device "$(cat /sys/block/dm-0/dm/name) $(cat /sys/block/dm-0/ro) $(readlink /dev/mapper/root)"
fact id "$(cut -c 1-13 /sys/block/dm-0/dm/uuid)"
boots=$(($(cat /var/lib/boots 2>/dev/null || echo 0) + 1))
echo "$boots" >/var/lib/boots
fact boots "$boots"
sync
'''
"#;

/// A disk whose root is verified.
struct Sealed {
    disk: PathBuf,
    table: Vec<Partition>,
    /// Which partition the root is; the next one has its hashes.
    root: usize,
}

impl Sealed {
    /// That of `testdata/machine` on a base, with these keys and tables.
    fn build(base: &str, [keys, more]: [&str; 2], folder: &Path) -> Self {
        let context = copy_of("machine", folder);
        std::fs::write(context.join("vmimage.toml"), format!("{keys}{CONFIG}{more}{FACTS}")).unwrap();
        let disk = folder.join("machine.qcow2");
        build(&context, &disk, &["--build-arg", &format!("BASE={base}")]);
        let disk = raw(&disk, folder);
        let table = partitions(&disk);
        let root = table.iter().position(|partition| partition.kind == ROOT).unwrap();
        Self { disk, table, root }
    }

    fn esp(&self) -> &Partition {
        &self.table[1]
    }

    fn data(&self) -> &Partition {
        &self.table[self.root]
    }

    fn hashes(&self) -> &Partition {
        &self.table[self.root + 1]
    }

    /// Each block of the root is that of this root hash, says the program of the kernel's people.
    fn verify(&self, root_hash: &str, folder: &Path) -> Command {
        let [data, hashes] = ["data", "hashes"].map(|name| folder.join(name));
        extract(&self.disk, self.data(), &data);
        extract(&self.disk, self.hashes(), &hashes);
        let mut command = Command::new("veritysetup");
        command.arg("verify").args([&data, &hashes]).arg(root_hash);
        command
    }

    /// Boots, by the root hash that its kernel was told.
    fn boots(&self, base: &str, firmware: &str) -> (String, String) {
        let report = boot(&self.disk, firmware, &[]);
        check_report(base, firmware, &report);
        assert_eq!(report.get("device"), "root 1 ../dm-0");
        assert_eq!(report.get("id"), "CRYPT-VERITY-");
        let mut words = report.get("cmdline").split(' ');
        let root_hash = words.find_map(|word| word.strip_prefix("roothash=")).unwrap().to_owned();
        (root_hash, report.get("boots").to_owned())
    }

    /// Prints these one after the other, the last of which is the end of its boot, and reports nothing.
    #[track_caller]
    fn refuses(&self, firmware: &str, said: &[&str]) {
        let mut command = Command::new(VMIMAGE);
        machine(&mut command, &self.disk, firmware, &nonce()).arg("--snapshot");
        let mut qemu = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut console = Console::of(&mut qemu);
        let end = Instant::now() + LIMIT;
        let missing = said.iter().find(|words| !console.has(words, end));
        let _ = qemu.kill();
        qemu.wait().unwrap();
        assert_eq!(missing, None, "the machine has not printed it:\n{}", console.text);
        assert!(!console.text.contains("report:"), "the machine has started:\n{}", console.text);
    }

    /// Boots with every `from` on the ESP being a `to`, for as long as `test` runs.
    fn told(&self, from: &str, to: &str, test: impl FnOnce()) {
        let file = File::options().read(true).write(true).open(&self.disk).unwrap();
        let mut bytes = vec![0; self.esp().size as usize];
        file.read_exact_at(&mut bytes, self.esp().start).unwrap();
        let places: Vec<_> =
            (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from.as_bytes())).collect();
        assert!(!places.is_empty() && from.len() == to.len(), "{from}");
        let write = |text: &str| {
            let at = |place: &usize| self.esp().start + *place as u64;
            places.iter().for_each(|place| file.write_all_at(text.as_bytes(), at(place)).unwrap());
        };
        write(to);
        test();
        write(from);
    }
}

/// The end of a boot in which a byte was read that is another one.
const CORRUPTED: &str = "Kernel panic - not syncing: dm-verity device corrupted";
/// The end of one in which the first process has refused to go on.
const NO_INIT: &str = "Kernel panic - not syncing: Attempted to kill init!";

#[test]
#[ignore = "long: make matrix"]
fn a_verified_root_boots_and_is_the_one_that_was_built() {
    for (base, firmwares) in [
        (DEBIAN, &["--bios", "--secure-boot"][..]),
        ("vmimage-test/debian:13", &["--uefi"]),
        ("vmimage-test/alpine:3.23", &["--bios"]),
    ] {
        let folder = scratch();
        let sealed = Sealed::build(base, [OVERLAY, ""], folder.path());
        for firmware in firmwares {
            let (root_hash, boots) = sealed.boots(base, firmware);
            assert_eq!(boots, "1", "what it writes is in memory");
            run(&mut sealed.verify(&root_hash, folder.path()));
        }
    }
}

/// Its entries have the root hash in them, where GRUB's menu has a variable.
#[test]
#[ignore = "long: make matrix"]
fn systemd_boot_starts_a_verified_root() {
    let base = "vmimage-test/debian:13";
    let folder = scratch();
    let keys = format!("{OVERLAY}loader = \"systemd-boot\"\ninstall = [\"systemd-boot\"]\n");
    let sealed = Sealed::build(base, [&keys, ""], folder.path());
    let (root_hash, _) = sealed.boots(base, "--uefi");
    run(&mut sealed.verify(&root_hash, folder.path()));
}

/// The partition that is kept is found on the disk of a root that is a device of its own.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_keeps_what_it_writes_beside_a_verified_root() {
    let folder = scratch();
    let sealed = Sealed::build(DEBIAN, ["", PERSIST], folder.path());
    let boots = [(); 2].map(|()| sealed.boots(DEBIAN, "--bios"));
    assert_eq!(boots.each_ref().map(|(_, boots)| &**boots), ["1", "2"]);
    run(&mut sealed.verify(&boots[0].0, folder.path()));
}

#[test]
#[ignore = "long: make matrix"]
fn a_byte_that_is_another_one_ends_the_boot() {
    let folder = scratch();
    let sealed = Sealed::build(DEBIAN, [OVERLAY, ""], folder.path());
    let (root_hash, _) = sealed.boots(DEBIAN, "--bios");
    let (data, hashes) = (sealed.data().start, sealed.hashes().start);
    let top = "the block on top of the tree of hashes has another digest than roothash= says";
    for (what, at, said, end) in [
        ("the root, where no file is", data, "data block 0 is corrupted", CORRUPTED),
        ("the tree", hashes + 2 * BLOCK, "metadata block 2 is corrupted", CORRUPTED),
        ("its top", hashes + BLOCK, top, NO_INIT),
        ("the salt", hashes + 88, top, NO_INIT),
        ("the superblock", hashes, "has no superblock of verity", NO_INIT),
    ] {
        damage(&sealed.disk, at, || {
            eprintln!("{what}");
            sealed.refuses("--bios", &[said, end]);
            refused(&mut sealed.verify(&root_hash, folder.path()));
        });
    }
    run(&mut sealed.verify(&root_hash, folder.path()));
}

/// By another root hash no partition is found; where one was given its name, the tree is not that of the hash.
#[test]
#[ignore = "long: make matrix"]
fn another_root_hash_ends_the_boot() {
    let folder = scratch();
    let sealed = Sealed::build(DEBIAN, [OVERLAY, ""], folder.path());
    let (root_hash, _) = sealed.boots(DEBIAN, "--bios");
    let other = if root_hash.starts_with('0') { "1" } else { "0" }.to_owned() + &root_hash[1..];
    sealed.told(&root_hash, &other, || {
        sealed.refuses("--bios", &["the root hash is not that of this disk", NO_INIT]);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &other[part]);
        let number = (sealed.root + 1).to_string();
        run(Command::new("sfdisk").arg("--part-uuid").arg(&sealed.disk).args([&number, &parts.join("-")]));
        sealed.refuses("--bios", &["has another digest than roothash= says", NO_INIT]);
    });
}
