//! Encrypted partitions, judged by cryptsetup: who opens them, what is in them, and what the machine is told.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::assemble::{Input, plan};
use exporter::container::Format;
use exporter::engine::Run;
use exporter::fs::FileSystem;
use exporter::spec::{Profile, Spec};
use exporter::tree::{Editor, Time, Tree};
use tempfile::TempDir;

use crate::inputs::{self, MIB, input};
use crate::layouts::{Disk, said};

const PASSPHRASE: &str = "correct horse battery staple";
const KEY: &[u8] = b"\x00\xff a key of forty bytes, not all of text\n";

const LAYOUT: &str = r#"{"preset":"split-boot","partitions":[
    {"type":"root","encrypt":{"passphrase":"disk","memory":"8M"}},
    {"type":"swap","size":"64M","encrypt":{"passphrase":"disk","memory":"8M"}},
    {"type":"srv","encrypt":{"key":"srv","memory":"8M"}}]}"#;

fn spec(layout: &str) -> Spec {
    Spec { layout: serde_json::from_str(layout).unwrap(), formats: vec![Format::Raw], ..Spec::default() }
}

fn tree() -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.write_file("/usr/lib/systemd/systemd-cryptsetup", *b"", 0o755).unwrap();
    editor.write_file("/srv/www/index.html", *b"hello", 0o644).unwrap();
    tree
}

fn disk(layout: &str) -> Disk {
    disk_of(&spec(layout), tree())
}

fn disk_of(spec: &Spec, tree: Tree) -> Disk {
    Disk::with(spec, locked(tree))
}

/// With what the volumes are opened by.
fn locked(tree: Tree) -> Input {
    let mut input = input(tree);
    let passphrase = format!("{PASSPHRASE}\n").into_bytes();
    input.materials.secrets = [("disk".to_owned(), passphrase), ("srv".to_owned(), KEY.to_vec())].into();
    input
}

/// What a disk is made of whose root, swap and data are encrypted.
pub(crate) fn parts() -> (Spec, Input) {
    (spec(LAYOUT), locked(tree()))
}

/// A partition that cryptsetup opens, and what is in it.
struct Volume {
    folder: TempDir,
    image: PathBuf,
}

impl Volume {
    fn of(disk: &Disk, name: &str) -> Self {
        Self { folder: TempDir::new().unwrap(), image: disk.volume(disk.partition(name)) }
    }

    fn key(&self, key: &[u8]) -> PathBuf {
        let path = self.folder.path().join("key");
        fs::write(&path, key).unwrap();
        path
    }

    fn opens(&self, key: &[u8]) -> bool {
        let mut command = Command::new("cryptsetup");
        command.args(["open", "--test-passphrase", "--key-file"]).arg(self.key(key)).arg(&self.image);
        command.output().unwrap().status.success()
    }

    /// In place, by cryptsetup.
    fn decrypt(&self, key: &[u8]) -> &Path {
        let header = self.folder.path().join("header");
        let mut command = Command::new("cryptsetup");
        command.args(["reencrypt", "--decrypt", "--force-offline-reencrypt", "--batch-mode", "--header"]);
        said(command.arg(header).arg("--key-file").arg(self.key(key)).arg(&self.image));
        &self.image
    }
}

fn debugfs(volume: &Path, request: &str) -> String {
    said(Command::new("debugfs").args(["-R", request]).arg(volume))
}

#[test]
fn what_is_encrypted_opens_by_its_secret_alone_and_is_whole() {
    let disk = disk(LAYOUT);
    let root = Volume::of(&disk, "root");
    assert!(root.opens(PASSPHRASE.as_bytes()));
    for wrong in [format!("{PASSPHRASE}\n"), "correct horse".to_owned()] {
        assert!(!root.opens(wrong.as_bytes()), "{wrong:?}");
    }
    let plain = root.decrypt(PASSPHRASE.as_bytes());
    said(Command::new("e2fsck").arg("-fn").arg(plain));
    let fstab = debugfs(plain, "cat /etc/fstab");
    for line in ["/dev/mapper/root / ext4 ", "/dev/mapper/srv /srv ext4 ", "/dev/mapper/swap none swap "] {
        assert!(fstab.lines().any(|other| other.starts_with(line)), "{fstab}");
    }
    let crypttab = debugfs(plain, "cat /etc/crypttab");
    let line = |name: &str| crypttab.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("root ").ends_with(" none luks,x-initrd.attach"), "{crypttab}");
    assert!(line("swap ").ends_with(" none luks"), "{crypttab}");
    assert!(line("srv ").ends_with(" /etc/cryptsetup-keys.d/srv.key luks"), "{crypttab}");
    let uuid = said(Command::new("cryptsetup").arg("luksUUID").arg(disk.volume(disk.partition("root"))));
    assert!(line("root ").contains(&format!("UUID={}", uuid.trim())), "{crypttab} {uuid}");
    let menu = disk.debugfs("boot", "cat /grub/grub.cfg");
    let words = format!("root=/dev/mapper/root ro cryptopts=target=root,source=UUID={},luks ", uuid.trim());
    assert!(menu.contains(&words), "{menu}");

    let srv = Volume::of(&disk, "srv");
    assert!(srv.opens(KEY) && !srv.opens(&KEY[..KEY.len() - 1]));
    let plain = srv.decrypt(KEY);
    said(Command::new("e2fsck").arg("-fn").arg(plain));
    assert!(debugfs(plain, "cat /www/index.html").contains("hello"));
    let swap = Volume::of(&disk, "swap");
    said(Command::new("swaplabel").arg(swap.decrypt(PASSPHRASE.as_bytes())));
}

#[test]
fn no_secret_is_on_the_disk() {
    let disk = disk(LAYOUT);
    let bytes = fs::read(disk.path()).unwrap();
    for secret in [PASSPHRASE.as_bytes(), KEY, b"hello"] {
        assert_eq!(memchr::memmem::find(&bytes, secret), None);
    }
    let has = |secret: &str| disk.edits.iter().any(|edit| edit.contains(secret));
    assert!(!has(PASSPHRASE) && has("/etc/crypttab: root is encrypted"), "{:?}", disk.edits);
    assert!(disk.parts.iter().filter(|part| part.is_encrypted).count() == 3);
    // 16 MiB of header are a part of what it needs.
    let swap = disk.parts.iter().find(|part| part.file_system == Some(FileSystem::Swap)).unwrap();
    assert_eq!((swap.needed, swap.placed.size), (16 * MIB + 40_960, 64 * MIB));
}

/// What has to be random is in them, and nothing else is.
#[test]
fn two_builds_of_the_same_differ_in_what_is_encrypted_alone() {
    let spec = Spec { source_date_epoch: Some(1_600_000_000), ..spec(LAYOUT) };
    let [one, other] = [disk_of(&spec, tree()), disk_of(&spec, tree())];
    let mut bytes = [&one, &other].map(|disk| fs::read(disk.path()).unwrap());
    let encrypted: Vec<_> = one.parts.iter().filter(|part| part.is_encrypted).collect();
    assert_eq!(encrypted.len(), 3);
    for part in encrypted {
        let (name, start, size) = (&part.placed.name, part.placed.start as usize, part.placed.size as usize);
        assert_eq!(other.partition(name).start, part.placed.start);
        // cryptsetup's names: the header is found by the same UUID, and is another one.
        let [uuid, header, key_slot, content] =
            [168..208, 0..4096, 32 << 10..64 << 10, 16 << 20..(16 << 20) + 4096]
                .map(|range| [0, 1].map(|at| &bytes[at][start + range.start..start + range.end]));
        assert_eq!(uuid[0], uuid[1], "{name}");
        for (part, [one, other]) in [("header", header), ("key slot", key_slot), ("content", content)] {
            assert_ne!(one, other, "the {part} of {name} is the same twice");
        }
        bytes.iter_mut().for_each(|bytes| bytes[start..start + size].fill(0));
    }
    let first = bytes[0].iter().zip(&bytes[1]).position(|(one, other)| one != other);
    assert_eq!((bytes[0].len(), first), (bytes[1].len(), None), "the disks differ elsewhere");
}

const WAYS: &str = r#"{"preset":"split-boot","partitions":[
    {"type":"root","encrypt":{"passphrase":"disk","key":"srv","memory":"8M","unlock":["key-file","passphrase"],
        "key-device":"LABEL=KEYS","key-path":"/web.key"}},
    {"type":"home","encrypt":{"key":"srv","memory":"8M","unlock":["key-file"],"key-device":"UUID=3E1F-0A2B","key-path":"/k/home"}},
    {"type":"linux-generic","label":"data","mount":"/data","encrypt":{"passphrase":"disk","memory":"8M","unlock":["passphrase","tpm2"]}},
    {"type":"srv","options":"nodev","encrypt":{"passphrase":"disk","memory":"8M","unlock":["passphrase","tang"],
        "tang":{"url":"http://10.0.2.2:7500","thumbprint":"ArJrDoaMEFbTpVPKHV0eHVMKHmqGGYfHNgOTqKaGDPw"}}}]}"#;

/// A Debian that has clevis and what talks to a TPM.
fn with_ways() -> Tree {
    let mut tree = with_tpm();
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.write_file("/usr/bin/clevis-luks-bind", *b"", 0o755).unwrap();
    let unit = *b"[Install]\nWantedBy=cryptsetup.target\n";
    editor.write_file("/usr/lib/systemd/system/clevis-luks-askpass.path", unit, 0o644).unwrap();
    tree
}

#[test]
fn each_way_has_a_key_slot_and_a_word_for_who_opens_it() {
    let disk = disk_of(&spec(WAYS), with_ways());
    let root = Volume::of(&disk, "root");
    assert!(root.opens(PASSPHRASE.as_bytes()) && root.opens(KEY) && !root.opens(b"wrong"));
    let home = Volume::of(&disk, "home");
    assert!(home.opens(KEY) && !home.opens(PASSPHRASE.as_bytes()));
    let menu = disk.debugfs("boot", "cat /grub/grub.cfg");
    let words = ",luks,key=/dev/disk/by-label/KEYS:/web.key:15,keyscript=/usr/lib/vmimage/key ";
    assert!(menu.contains(words), "{menu}");

    // cryptsetup decrypts by a single key slot.
    let mut command = Command::new("cryptsetup");
    command.args(["luksKillSlot", "--batch-mode", "--key-file"]).arg(root.key(PASSPHRASE.as_bytes()));
    said(command.arg(&root.image).arg("1"));
    let plain = root.decrypt(PASSPHRASE.as_bytes());
    let crypttab = debugfs(plain, "cat /etc/crypttab");
    for (name, end) in [
        ("root ", " none luks,x-initrd.attach"),
        ("home ", " /k/home:UUID=3E1F-0A2B luks,keyfile-timeout=15s"),
        ("data ", " none luks,tpm2-device=auto"),
        ("srv ", " none luks,_netdev"),
    ] {
        assert!(crypttab.lines().any(|line| line.starts_with(name) && line.ends_with(end)), "{crypttab}");
    }
    let fstab = debugfs(plain, "cat /etc/fstab");
    assert!(fstab.contains("/dev/mapper/srv /srv ext4 _netdev,nodev "), "{fstab}");
    assert_eq!(debugfs(plain, "ls /etc/cryptsetup-keys.d").trim(), "", "no key lies on the root");
    for (name, words) in [("data", "tpm2"), ("srv", "tang http://10.0.2.2:7500 ArJr")] {
        let unit = debugfs(plain, &format!("cat /usr/lib/systemd/system/vmimage-bind-{name}.service"));
        assert!(unit.contains(&format!("ExecStart=/usr/lib/vmimage/bind {name} {words}")), "{unit}");
    }
}

#[test]
fn a_root_is_refused_in_a_way_that_no_initramfs_of_its_distribution_knows() {
    let lock = r#"{"passphrase":"disk","unlock":["passphrase","tpm2"]}"#;
    let layout = format!(r#"{{"preset":"split-boot","partitions":[{{"type":"root","encrypt":{lock}}}]}}"#);
    let mut input = input(with_ways());
    input.materials.secrets = [("disk".to_owned(), PASSPHRASE.as_bytes().to_vec())].into();
    let said = plan(&spec(&layout), input, &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string();
    assert!(said.ends_with(" is known to open it by the TPM of the machine"), "{said}");
}

#[test]
fn a_disk_of_files_is_encrypted_as_well() {
    let layout = r#"{"partitions":[
        {"type":"linux-generic","label":"data","source":"/","encrypt":{"passphrase":"disk","kdf":"pbkdf2"}},
        {"type":"linux-generic","label":"own","source":"/etc","encrypt":{"key":"srv","memory":"8M"}}]}"#;
    let mut input = input(tree());
    let passphrase = PASSPHRASE.as_bytes().to_vec();
    input.materials.secrets = [("disk".to_owned(), passphrase), ("srv".to_owned(), KEY.to_vec())].into();
    let disk = Disk::with(&Spec { profile: Profile::Data, ..spec(layout) }, input);
    let data = Volume::of(&disk, "data");
    assert!(data.opens(PASSPHRASE.as_bytes()) && !data.opens(b"wrong") && !data.opens(KEY));
    let plain = data.decrypt(PASSPHRASE.as_bytes());
    assert!(debugfs(plain, "cat /srv/www/index.html").contains("hello"));
    let own = Volume::of(&disk, "own");
    assert!(own.opens(KEY) && !own.opens(PASSPHRASE.as_bytes()));
    assert!(debugfs(own.decrypt(KEY), "cat /os-release").contains("ID=debian"));
}

/// A Debian that has what the first boot takes.
fn with_tpm() -> Tree {
    let mut tree = tree();
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.remove("/srv/www");
    for path in [
        "/usr/sbin/cryptsetup",
        "/usr/bin/systemd-cryptenroll",
        "/usr/lib/systemd/systemd-makefs",
        "/usr/sbin/mkfs.ext4",
        "/usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0",
    ] {
        editor.write_file(path, *b"", 0o755).unwrap();
    }
    tree
}

const FIRST_BOOT: &str = r#"{"preset":"simple","partitions":[{"type":"srv","grow":true,"options":"nodev","encrypt":"first-boot"}]}"#;

#[test]
fn the_first_boot_makes_a_partition_that_the_build_leaves_empty() {
    let disk = Disk::of(&spec(FIRST_BOOT), with_tpm());
    let srv = disk.partition("srv");
    let mut blkid = Command::new("blkid");
    blkid.args(["-p", "-o", "value", "-s", "TYPE"]).arg(disk.volume(srv));
    assert_eq!(String::from_utf8_lossy(&blkid.output().unwrap().stdout), "");
    let part = disk.parts.iter().find(|part| part.placed.name == "srv").unwrap();
    assert!(part.is_encrypted && part.needed == 80 * MIB, "{part:?}");
    let crypttab = disk.debugfs("root", "cat /etc/crypttab");
    assert_eq!(crypttab, format!("srv PARTUUID={} none luks,tpm2-device=auto\n", srv.id));
    let fstab = disk.debugfs("root", "cat /etc/fstab");
    assert!(fstab.contains("/dev/mapper/srv /srv ext4 nodev 0 2\n"), "{fstab}");
    let unit = disk.debugfs("root", "cat /usr/lib/systemd/system/vmimage-encrypt-srv.service");
    assert!(
        unit.contains(&format!("ExecStart=/usr/lib/vmimage/encrypt srv /dev/disk/by-partuuid/{}\n", srv.id))
    );
}

#[test]
fn a_first_boot_that_would_lose_files_or_has_no_tools_is_refused() {
    let refused = |tree: Tree| {
        plan(&spec(FIRST_BOOT), input(tree), &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string()
    };
    let mut files = with_tpm();
    Editor::new(&mut files, Time::default()).write_file("/srv/note", *b"", 0o644).unwrap();
    let without =
        "srv: is made at the first boot, and would be without the image's files there, such as note";
    assert_eq!(refused(files), without);
    let mut no_tools = with_tpm();
    Editor::new(&mut no_tools, Time::default()).remove("/usr/bin/systemd-cryptenroll");
    assert!(refused(no_tools).starts_with("/usr/bin/systemd-cryptenroll: is not there"));
}

#[test]
fn what_would_not_open_is_refused() {
    let refused = |spec: &Spec, tree: Tree| {
        let mut input = input(tree);
        input.materials.secrets = [("disk".to_owned(), PASSPHRASE.as_bytes().to_vec())].into();
        plan(spec, input, &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string()
    };
    let without = refused(&spec(&LAYOUT.replace("\"disk\"", "\"other\"")), tree());
    assert_eq!(without, "secret other: was not given to the build");
    let mut suse = tree();
    let release = *b"ID=opensuse-leap\nPRETTY_NAME=\"openSUSE Leap 16.0\"\n";
    Editor::new(&mut suse, Time::default()).write_file("/etc/os-release", release, 0o644).unwrap();
    let encrypted =
        r#"{"preset":"split-boot","partitions":[{"type":"root","encrypt":{"passphrase":"disk"}}]}"#;
    let said = refused(&spec(encrypted), suse);
    assert_eq!(said, "/: is encrypted, and no initramfs of openSUSE Leap 16.0 is known to open it");
    let by_key = refused(
        &spec(r#"{"preset":"simple","partitions":[{"type":"srv","encrypt":{"key":"disk"}}]}"#),
        tree(),
    );
    assert_eq!(by_key, "srv: is opened by a key, which would lie on a root that everybody reads");
    let srv = r#"{"preset":"simple","partitions":[{"type":"srv","encrypt":{"passphrase":"disk"}}]}"#;
    let said = refused(&spec(srv), inputs::debian_small());
    assert!(
        said.contains("systemd-cryptsetup: is not there, and opens the encrypted partition srv"),
        "{said}"
    );
}
