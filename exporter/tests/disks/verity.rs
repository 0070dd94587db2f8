//! Roots whose blocks are checked when they are read: cryptsetup's own tool finds them right, and a byte that was altered.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::assemble::{Input, Programs, plan};
use exporter::clone;
use exporter::container::{self, Compression, Format};
use exporter::disk::kinds;
use exporter::engine::Run;
use exporter::fs::{DiskBudget, FileSystem};
use exporter::seed::Seed;
use exporter::spec::{Loader, Spec, Volatile};
use exporter::tree::{Editor, Time, Tree};
use serde_json::Value;
use tempfile::TempDir;

use crate::inputs::{self, MIB, input};
use crate::kernels::RELEASE;
use crate::layouts::{Disk, said, started};
use crate::microvm;

const EXT4: &str = r#"{"preset":"simple","partitions":[{"type":"root","verity":true},{"type":"srv"}]}"#;
const EROFS: &str =
    r#"{"preset":"split-boot","partitions":[{"type":"root","verity":true,"filesystem":"erofs"}]}"#;
const OWN_LIST: &str = r#"{"partitions":[{"type":"esp","size":"96M"},
    {"type":"root","label":"system","verity":true,"filesystem":"erofs","min":"24M"},
    {"type":"linux-generic","label":"persist","mount":"/persist","grow":true}]}"#;
const SYSTEMD_BOOT: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

fn spec(layout: &str) -> Spec {
    Spec {
        layout: serde_json::from_str(layout).unwrap(),
        volatile: Volatile::Overlay,
        formats: vec![Format::Raw],
        ..Spec::default()
    }
}

/// With an entry of type 1, unless it is asked for an image.
pub(crate) fn of_systemd_boot() -> Spec {
    let persist = Some(serde_json::from_str("{}").unwrap());
    let uki = Some(false);
    Spec { loader: Loader::SystemdBoot, volatile: Volatile::No, persist, uki, ..spec(OWN_LIST) }
}

/// With a kernel that has dm-verity, and systemd-boot.
pub(crate) fn tree() -> Tree {
    let mut tree = microvm::debian(&[]);
    let mut editor = Editor::new(&mut tree, Time::default());
    for kernel in ["6.1.0-9-amd64", "5.10.0-1-amd64"] {
        editor.write_file(format!("/boot/vmlinuz-{kernel}"), *b"MZ older", 0o644).unwrap();
    }
    editor.write_file(SYSTEMD_BOOT, *b"MZ and the rest", 0o644).unwrap();
    let modules = "kernel/fs/overlayfs/overlay.ko:\nkernel/fs/ext4/ext4.ko:\nkernel/fs/erofs/erofs.ko:\n";
    let list = format!("/usr/lib/modules/{RELEASE}/modules.dep");
    editor.write_file(list, modules.as_bytes(), 0o644).unwrap();
    editor.write_file("/usr/share/large", inputs::noise(3 * MIB + 5, 9), 0o644).unwrap();
    editor.mkdir_all("/srv").unwrap();
    tree
}

/// The root hash that the report says.
pub(crate) fn root_hash(disk: &Disk) -> String {
    let said = disk.edits.iter().find_map(|edit| edit.split_once("by the root hash ")).unwrap();
    said.1.to_owned()
}

fn volumes(disk: &Disk, root: &str) -> [PathBuf; 2] {
    [disk.volume(disk.partition(root)), disk.volume(disk.partition(&format!("{root}-verity")))]
}

/// What veritysetup finds wrong, if something is.
fn wrong([data, hashes]: &[PathBuf; 2], root_hash: &str) -> Option<String> {
    let mut verify = Command::new("veritysetup");
    let output = verify.arg("verify").args([data, hashes]).arg(root_hash).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Another root hash.
fn another(hash: &str) -> String {
    let digit = if hash.starts_with('0') { "1" } else { "0" };
    format!("{digit}{}", &hash[1..])
}

pub(crate) fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// A file of the ESP.
fn on_esp(disk: &Disk, path: &str) -> String {
    let esp = disk.volume(disk.partition("esp"));
    said(Command::new("mtype").arg("-i").arg(esp).arg(format!("::{path}")))
}

/// The entries of the table, as sfdisk reads them, by their names.
pub(crate) fn entry(disk: &Disk, name: &str) -> Value {
    let table = said(Command::new("sfdisk").arg("--json").arg(disk.path()));
    let table: Value = serde_json::from_str(&table).unwrap();
    let entries = table["partitiontable"]["partitions"].as_array().unwrap();
    entries.iter().find(|entry| entry["name"] == name).unwrap().clone()
}

/// What systemd sees of a disk by a root hash: its partitions by what they are for, with `verity` of each, or why it has no root.
fn dissect(disk: &Path, root_hash: &str) -> Result<BTreeMap<String, Value>, String> {
    let mut command = Command::new("systemd-dissect");
    let output = command.args(["--json=short", "--root-hash", root_hash]).arg(disk).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let partitions = said["mounts"].as_array().unwrap().iter();
    let named = partitions.map(|one| (one["designator"].as_str().unwrap().to_owned(), one["verity"].clone()));
    Ok(named.collect())
}

/// The table, the file systems and the hashes, each by a tool of others.
pub(crate) fn judge(disk: &Disk, root: &str) {
    let checked = said(Command::new("sgdisk").arg("-v").arg(disk.path()));
    assert!(checked.contains("No problems found"), "{checked}");
    let (hash, names) = (root_hash(disk), [root.to_owned(), format!("{root}-verity")]);
    for ((name, kind), half) in
        names.iter().zip([kinds::ROOT_X86_64, kinds::ROOT_X86_64_VERITY]).zip([&hash[..32], &hash[32..]])
    {
        let entry = entry(disk, name);
        let text = |key: &str| entry[key].as_str().unwrap().to_lowercase();
        assert_eq!((text("type"), &*text("uuid").replace('-', "")), (kind.to_string(), half), "{name}");
        assert_eq!(text("attrs"), "guid:60", "{name}");
    }
    for part in disk.parts.iter().filter(|part| part.file_system.is_some()) {
        assert!(disk.is_whole(&part.placed, part.file_system.unwrap()), "{part:?}");
    }
    let volumes = volumes(disk, root);
    assert_eq!(wrong(&volumes, &hash), None);
    let partitions = dissect(&disk.path(), &hash).unwrap();
    let verified = if partitions.contains_key("root-verity-sig") { "signed" } else { "yes" };
    assert_eq!(partitions["root"], verified, "{partitions:?}");
    assert!(partitions.contains_key("root-verity") && partitions.contains_key("esp"), "{partitions:?}");
    let other = dissect(&disk.path(), &another(&hash)).unwrap_err();
    assert!(other.contains("No root partition for specified root hash"), "{other}");
    let dump = said(Command::new("veritysetup").arg("dump").arg(&volumes[1]));
    let has = |line: &str| dump.split_whitespace().collect::<Vec<_>>().join(" ").contains(line);
    let blocks = format!("Data blocks: {}", disk.partition(root).size / 4096);
    for line in ["Hash type: 1", &*blocks, "Data block size: 4096", "Hash algorithm: sha256"] {
        assert!(has(line), "{line}: {dump}");
    }
}

#[test]
fn grub_starts_a_root_of_which_a_menu_in_it_does_not_know_the_hash() {
    let disk = Disk::of(&spec(EXT4), tree());
    judge(&disk, "root");
    let hash = root_hash(&disk);
    let stub = on_esp(&disk, "/EFI/debian/grub.cfg");
    assert!(stub.starts_with(&format!("set root_hash={hash}\nexport root_hash\n")), "{stub}");
    let menu = disk.debugfs("root", "cat /boot/grub/grub.cfg");
    let linux = "roothash=$root_hash ro console=tty0 ";
    assert!(menu.contains(linux) && !menu.contains("root=UUID") && !menu.contains(&hash), "{menu}");
    // The distribution's initramfs of another kernel would find no root.
    let left_out = "/boot/vmlinuz-6.1.0-9-amd64: not in the menu, its initramfs mounts no root with verity";
    assert!(disk.edits.iter().any(|edit| edit == left_out), "{:?}", disk.edits);
    assert_eq!(menu.matches("menuentry ").count(), 1, "{menu}");
    let fstab = disk.debugfs("root", "cat /etc/fstab");
    assert!(fstab.lines().all(|line| line.split(' ').nth(1) != Some("/")), "{fstab}");
    assert!(disk.edits.iter().any(|edit| edit.starts_with("integrity, not sealed: ")), "{:?}", disk.edits);
    // The initramfs has what makes the device, and the modules for it.
    let scratch = TempDir::new().unwrap();
    let dumped = scratch.path().join("initramfs");
    disk.debugfs("root", &format!("dump /boot/initrd.img-{RELEASE} {}", dumped.display()));
    let initramfs = zstd::decode_all(&*fs::read(dumped).unwrap()).unwrap();
    let initramfs = String::from_utf8_lossy(&initramfs);
    for name in ["vmimage-verity\0", "/dm-mod.ko", "/dm-verity.ko", "/ext4.ko"] {
        assert!(initramfs.contains(name), "{name}");
    }
}

#[test]
fn a_root_of_erofs_is_started_from_a_partition_beside_it() {
    let disk = Disk::of(&spec(EROFS), tree());
    judge(&disk, "root");
    assert_eq!(disk.partition("root-verity").size, MIB);
    let stub = on_esp(&disk, "/EFI/debian/grub.cfg");
    assert!(stub.contains(&root_hash(&disk)), "{stub}");
    let menu = disk.debugfs("boot", "cat /grub/grub.cfg");
    assert!(menu.contains(" roothash=$root_hash ro rootfstype=erofs "), "{menu}");
}

#[test]
fn an_entry_of_systemd_boot_has_the_hash() {
    let disk = Disk::of(&of_systemd_boot(), tree());
    judge(&disk, "system");
    assert!(disk.partition("system").size >= 24 * MIB);
    let entry = on_esp(&disk, &format!("/loader/entries/debian-{RELEASE}.conf"));
    let words = format!("\noptions    roothash={} ro rootfstype=erofs ", root_hash(&disk));
    assert!(entry.contains(&words) && !entry.contains("$root_hash"), "{entry}");
    let scratch = TempDir::new().unwrap();
    let extracted = scratch.path().join("extracted");
    let root = disk.volume(disk.partition("system"));
    said(Command::new("fsck.erofs").arg(format!("--extract={}", extracted.display())).arg(root));
    assert!(!extracted.join("etc/kernel/cmdline").exists(), "no kernel comes to a root that is only read");
    assert!(disk.edits.iter().any(|edit| edit.starts_with("/persist: keeps ")), "{:?}", disk.edits);
}

#[test]
fn a_byte_that_was_altered_is_found() {
    let disk = Disk::of(&spec(EXT4), tree());
    let (hash, [data, hashes]) = (root_hash(&disk), volumes(&disk, "root"));
    let pair = [data.clone(), hashes.clone()];
    let (len, tree_len) = (disk.partition("root").size, disk.parts.iter());
    let tree_len =
        tree_len.map(|part| (&part.placed.name, part.needed)).find(|(name, _)| *name == "root-verity");
    let tree_len = tree_len.unwrap().1;
    for (path, at) in [
        (&data, 0),
        (&data, 1024),
        (&data, len / 2),
        (&data, len - 1),
        // The salt, the top of the tree, and the last block of digests.
        (&hashes, 88),
        (&hashes, 4096),
        (&hashes, tree_len - 4096),
    ] {
        flip(path, at);
        assert!(wrong(&pair, &hash).is_some(), "{path:?} {at}");
        flip(path, at);
    }
    assert_eq!(wrong(&pair, &hash), None);
    assert!(wrong(&pair, &another(&hash)).is_some());
}

/// A disk as a stream, by so many threads.
pub(crate) fn streamed(spec: &Spec, input: Input, threads: usize) -> Vec<u8> {
    let run = Run::silent(NonZeroUsize::new(threads).unwrap());
    let planned = plan(spec, input, &run).unwrap();
    let target = planned.target("-".into(), Format::Raw, Compression::None);
    let mut stream = Vec::new();
    container::stream(planned.image(), &target, &mut stream, &run).unwrap();
    stream
}

#[test]
fn a_stream_is_the_file_at_every_number_of_threads() {
    for spec in [spec(EXT4), of_systemd_boot()] {
        let file = fs::read(Disk::of(&spec, tree()).path()).unwrap();
        for threads in [1, 3] {
            assert!(streamed(&spec, started(&spec, tree()), threads) == file, "{threads}");
        }
    }
}

#[test]
fn labels_are_in_the_tree_before_it_is_hashed() {
    let mut tree = tree();
    let mut editor = Editor::new(&mut tree, Time::default());
    for (path, text) in [
        ("config", "SELINUX=enforcing\nSELINUXTYPE=default\n"),
        ("default/policy/policy.33", ""),
        ("default/contexts/files/file_contexts", "/.* u:r:file_t:s0\n/usr/sbin/.* -- u:r:exec_t:s0\n"),
    ] {
        editor.write_file(format!("/etc/selinux/{path}"), text.as_bytes(), 0o644).unwrap();
    }
    // What a first boot was to do is done.
    editor.write_file("/.autorelabel", *b"", 0o644).unwrap();
    let disk = Disk::of(&spec(EXT4), tree);
    judge(&disk, "root");
    let label = |path: &str| disk.debugfs("root", &format!("ea_get {path} security.selinux"));
    assert!(label("/usr/sbin/nginx").contains("u:r:exec_t:s0"));
    assert!(label("/boot/grub/grub.cfg").contains("u:r:file_t:s0"));
    assert!(!disk.debugfs("root", "ls /").contains(".autorelabel"));
}

#[test]
fn what_has_no_hashes_is_refused() {
    let refused = |spec: &Spec, input: Input| {
        plan(spec, input, &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string()
    };
    let programs = |input: &Input| Programs { verity: None, ..input.programs.clone() };
    let without = input(tree());
    let without = Input { programs: programs(&without), ..without };
    let said = refused(&spec(EXT4), without);
    assert!(said.starts_with("verity: is made into a device by vmimage's own program"), "{said}");
    let said = refused(&spec(EXT4), input(microvm::debian(&["dm-verity"])));
    assert!(said.contains("has no dm_verity"), "{said}");
    let slots = EXT4.replace("simple", "ab");
    let said = refused(&Spec { volatile: Volatile::No, ..spec(&slots) }, input(tree()));
    assert!(said.contains("a root in a slot is started by an image"), "{said}");
}

#[test]
fn a_copy_with_other_names_would_not_be_what_the_hashes_are_of() {
    let disk = Disk::of(&spec(EXT4), tree());
    let (_, opened) = container::open(&disk.path()).unwrap();
    let refused = clone::plan(opened, &Seed::new(b"copy"), &DiskBudget::new(1 << 30)).unwrap_err();
    assert!(refused.to_string().starts_with("partition 4: has hashes (dm-verity)"), "{refused}");
}

#[test]
fn hashes_are_as_many_as_the_partition_has_blocks() {
    let layout = EXT4.replace(r#""verity":true"#, r#""verity":true,"size":"300M""#);
    let disk = Disk::of(&spec(&layout), tree());
    judge(&disk, "root");
    assert_eq!(disk.partition("root").size, 300 * MIB);
    // 76800 blocks: 600 of digests, 5 above them, one on top, and the superblock.
    let hashes = disk.parts.iter().find(|part| part.placed.name == "root-verity").unwrap();
    assert_eq!(
        (hashes.needed, hashes.placed.size, hashes.file_system),
        (607 * 4096, 3 * MIB, None::<FileSystem>)
    );
    let file = File::open(disk.volume(&hashes.placed)).unwrap();
    let mut tail = vec![1; 4096];
    file.read_exact_at(&mut tail, hashes.needed).unwrap();
    assert!(tail.iter().all(|byte| *byte == 0));
}
