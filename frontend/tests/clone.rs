//! `vmimage clone`: no identity of a disk is left in its copy, whatever the formats.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const MIB: u64 = 1 << 20;
const DISK: u64 = 128 * MIB;
/// Where the partitions start.
const ESP: u64 = 2 * MIB;
const ROOT: u64 = 66 * MIB;

const ROOT_UUID: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const ROOT_GUID: &str = "11111111-2222-4333-8444-555555555555";
const DISK_GUID: &str = "99999999-2222-4333-8444-555555555555";
const NAMES: [&str; 4] = [ROOT_UUID, ROOT_GUID, DISK_GUID, "1234-ABCD"];

fn tool(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

fn vmimage(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmimage")).args(args).output().unwrap()
}

fn inspect(file: &str) -> Value {
    let output = vmimage(&["inspect", "--json", file]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `disk.raw` in `folder`: a partition for a boot loader, one with FAT, one with ext4, each naming the others.
fn disk(folder: &Path, [fat, sectors]: [&str; 2]) -> String {
    let text = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (disk, esp, root, tree) = (text("disk.raw"), text("esp"), text("root"), folder.join("tree"));
    fs::File::create(&disk).unwrap().set_len(DISK).unwrap();
    let guids = [format!("-u3:{ROOT_GUID}"), format!("-U{DISK_GUID}")];
    let partitions = ["-n1:2048:4095", "-t1:ef02", "-n2:4096:135167", "-t2:ef00", "-n3:135168:0", "-t3:8304"];
    tool("sgdisk", &[&partitions[..], &[&guids[0], &guids[1], &disk]].concat());

    fs::create_dir_all(tree.join("etc/default")).unwrap();
    fs::write(tree.join("etc/fstab"), format!("UUID={ROOT_UUID} / ext4\nUUID=1234-ABCD /boot/efi vfat\n"))
        .unwrap();
    fs::write(tree.join("etc/default/grub"), format!("GRUB_CMDLINE_LINUX=root=PARTUUID={ROOT_GUID}\n"))
        .unwrap();
    fs::File::create(&root).unwrap().set_len(61 * MIB).unwrap();
    let options = ["-q", "-O", "^orphan_file", "-U", ROOT_UUID, "-d", tree.to_str().unwrap(), &root];
    tool("mkfs.ext4", &options);

    fs::File::create(&esp).unwrap().set_len(ROOT - ESP).unwrap();
    tool("mkfs.fat", &["-F", fat, "-s", sectors, "-i", "1234abcd", &esp]);
    fs::write(folder.join("cfg"), format!("search.fs_uuid {ROOT_UUID} root\n")).unwrap();
    tool("mcopy", &["-i", &esp, &text("cfg"), "::grub.cfg"]);
    let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
    file.write_all_at(b"core", MIB).unwrap();
    for (part, at) in [(&esp, ESP), (&root, ROOT)] {
        file.write_all_at(&fs::read(part).unwrap(), at).unwrap();
    }
    disk
}

fn assert_renamed(folder: &Path, disk: &str, copy: &str) {
    let (one, other) = (inspect(disk), inspect(copy));
    assert_ne!(one["disk_guid"], other["disk_guid"]);
    for (one, other) in
        one["partitions"].as_array().unwrap().iter().zip(other["partitions"].as_array().unwrap())
    {
        assert_ne!(one["guid"], other["guid"]);
        assert_eq!(
            (&one["start"], &one["size"], &one["kind_guid"]),
            (&other["start"], &other["size"], &other["kind_guid"])
        );
        if one["number"] != 1 {
            assert_ne!(one["file_system"]["uuid"], other["file_system"]["uuid"]);
        }
    }
    // In no byte of it.
    let raw = folder.join("copy.flat");
    tool("qemu-img", &["convert", "-O", "raw", copy, raw.to_str().unwrap()]);
    let bytes = fs::read(&raw).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for name in NAMES {
        assert!(!text.contains(name), "{name} is in {copy}");
    }
    assert!(text.contains("search.fs_uuid "), "the ESP is copied");
    fs::write(folder.join("esp"), &bytes[ESP as usize..ROOT as usize]).unwrap();
    tool("fsck.fat", &["-n", folder.join("esp").to_str().unwrap()]);
    fs::write(folder.join("root"), &bytes[ROOT as usize..][..61 * MIB as usize]).unwrap();
    tool("e2fsck", &["-fn", folder.join("root").to_str().unwrap()]);
    tool("sgdisk", &["-v", raw.to_str().unwrap()]);
}

#[test]
fn a_copy_has_no_name_of_the_disk_in_any_format() {
    for fat in [["16", "4"], ["32", "1"]] {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(folder.path(), fat);
        for name in ["copy.raw", "copy.qcow2", "copy.vmdk", "copy.vdi", "copy.vhdx"] {
            let copy = folder.path().join(name).to_str().unwrap().to_owned();
            let output = vmimage(&["clone", &disk, "-o", &copy]);
            assert!(output.status.success(), "{output:?}");
            let said = String::from_utf8_lossy(&output.stdout);
            for line in
                ["/etc/fstab: names the new", "/etc/default/grub: names the new", "/grub.cfg: names the new"]
            {
                assert!(said.contains(line), "{line}: {said}");
            }
            assert_renamed(folder.path(), &disk, &copy);
        }
    }
}

#[test]
fn the_same_words_make_the_same_copy_and_others_another() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), ["32", "1"]);
    let copy = |name: &str, more: &[&str]| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        let output = vmimage(&[&["clone", &disk, "-q", "-o", &path], more].concat());
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        fs::read(path).unwrap()
    };
    let one = copy("1.qcow2", &["--seed", "one"]);
    assert!(one == copy("2.qcow2", &["--seed", "one", "--threads", "1"]));
    assert!(one != copy("3.qcow2", &["--seed", "two"]));
    assert!(copy("4.qcow2", &[]) != copy("5.qcow2", &[]));
}

#[test]
fn what_can_not_be_copied_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let refused = |disk: &str| {
        let output = vmimage(&["clone", disk, "-o", &text("copy.qcow2")]);
        assert!(!output.status.success() && !Path::new(&text("copy.qcow2")).exists(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    fs::write(text("empty.raw"), vec![0; 1 << 20]).unwrap();
    assert!(refused(&text("empty.raw")).contains("there is no GUID partition table"));
    assert!(refused(&text("none.raw")).contains("none.raw: cannot open the disk file"));
    let disk = disk(folder.path(), ["32", "1"]);
    let file = fs::OpenOptions::new().read(true).write(true).open(&disk).unwrap();
    // s_state.
    file.write_all_at(&[2], ROOT + 1024 + 0x3a).unwrap();
    let error = refused(&disk);
    assert!(error.contains("partition 3: the checksum of the superblock does not match"), "{error}");
    assert!(error.contains("e2fsck -f"), "{error}");
}
