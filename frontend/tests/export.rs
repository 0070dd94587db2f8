//! `vmimage export`: the files of a disk with partitions come out as a tar and as an image.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const MIB: u64 = 1 << 20;
const DISK: u64 = 192 * MIB;
/// Where the partitions start: a FAT, a root, one for data.
const STARTS: [u64; 3] = [2 * MIB, 34 * MIB, 130 * MIB];
const ROOT_UUID: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const DATA_UUID: &str = "11111111-2222-4333-8444-555555555555";

fn tool(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn vmimage(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmimage")).args(args).output().unwrap()
}

fn done(args: &[&str]) -> String {
    let output = vmimage(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = vmimage(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// An ext4 of these files, whose places are below `/`.
fn ext4(folder: &Path, name: &str, uuid: &str, size: u64, files: &[(&str, &str)]) -> String {
    let (image, tree) = (folder.join(name), folder.join(format!("{name}.files")));
    for (path, text) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.is_empty() {
            true => fs::create_dir(path).unwrap(),
            false => fs::write(path, text).unwrap(),
        }
    }
    fs::File::create(&image).unwrap().set_len(size).unwrap();
    let image = image.to_str().unwrap().to_owned();
    tool("mkfs.ext4", &["-q", "-O", "^orphan_file", "-U", uuid, "-d", tree.to_str().unwrap(), &image]);
    image
}

/// `disk.raw` in `folder`, whose third partition has `third`.
fn disk(folder: &Path, third: &[(&str, &str)]) -> String {
    let text = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (disk, esp) = (text("disk.raw"), text("esp"));
    fs::File::create(&disk).unwrap().set_len(DISK).unwrap();
    let sectors = STARTS.map(|start| start / 512);
    let parts = [
        format!("-n1:{}:{}", sectors[0], sectors[1] - 1),
        format!("-n2:{}:{}", sectors[1], sectors[2] - 1),
        format!("-n3:{}:0", sectors[2]),
    ];
    let kinds = ["-t1:ef00", "-t2:8304", "-t3:8300", "-c3:data"];
    tool("sgdisk", &[&parts.each_ref().map(|part| &**part)[..], &kinds, &[&disk]].concat());
    let fstab = format!(
        "UUID={ROOT_UUID} / ext4 defaults 0 1\nUUID=1234-ABCD /boot/efi vfat umask=0077 0 2\n\
         UUID={DATA_UUID} /srv/data ext4 defaults 0 2\nLABEL=gone /gone ext4 defaults 0 2\n"
    );
    let files = [
        ("etc/fstab", &*fstab),
        ("etc/os-release", "ID=debian\n"),
        ("boot/efi", ""),
        ("srv/data/hidden", "below the mount point"),
        ("usr/lib/vmimage/container.json", r#"{"Entrypoint":["/app"]}"#),
    ];
    let root = ext4(folder, "root", ROOT_UUID, STARTS[2] - STARTS[1], &files);
    let data = ext4(folder, "data", DATA_UUID, 48 * MIB, third);
    fs::File::create(&esp).unwrap().set_len(STARTS[1] - STARTS[0]).unwrap();
    tool("mkfs.fat", &["-F", "16", "-i", "1234abcd", &esp]);
    fs::write(folder.join("grub.cfg"), "menu\n").unwrap();
    tool("mmd", &["-i", &esp, "::EFI"]);
    tool("mcopy", &["-i", &esp, &text("grub.cfg"), "::EFI/grub.cfg"]);
    for (image, start) in [&esp, &root, &data].into_iter().zip(STARTS) {
        let (input, output) = (format!("if={image}"), format!("of={disk}"));
        let seek = format!("seek={}", start / MIB);
        tool("dd", &[&input, &output, &seek, "bs=1M", "conv=notrunc,sparse", "status=none"]);
    }
    disk
}

const DATA: &[(&str, &str)] = &[("table/rows", "1\n2\n")];

/// The members of a tar, with their modes and texts.
fn members(tar: &[u8]) -> BTreeMap<String, (u32, String)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        (entry.path().unwrap().display().to_string(), (entry.header().mode().unwrap(), text))
    });
    entries.collect()
}

#[test]
fn what_fstab_mounts_is_in_its_place() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = disk(scratch.path(), DATA);
    let tar = scratch.path().join("x.tar");
    let told = done(&["export", &disk, "-o", tar.to_str().unwrap()]);
    assert!(told.contains("/gone: LABEL=gone is no partition of this disk, left out"), "{told}");
    let bytes = fs::read(&tar).unwrap();
    let files = members(&bytes);
    for (path, mode, text) in [
        ("etc/os-release", 0o644, "ID=debian\n"),
        ("boot/efi/EFI/grub.cfg", 0o700, "menu\n"),
        ("srv/data/table/rows", 0o644, "1\n2\n"),
    ] {
        assert_eq!(files.get(path), Some(&(mode, text.to_owned())), "{path}: {files:?}");
    }
    assert!(!files.contains_key("srv/data/hidden") && !files.keys().any(|path| path.contains("lost+found")));
    // The same to stdout, of another format, and as what GNU tar lists.
    let qcow2 = scratch.path().join("x.qcow2");
    tool("qemu-img", &["convert", "-O", "qcow2", &disk, qcow2.to_str().unwrap()]);
    let output = vmimage(&["export", qcow2.to_str().unwrap(), "-o", "-"]);
    assert!(
        output.status.success() && output.stdout == bytes,
        "{:?}",
        String::from_utf8_lossy(&output.stderr)
    );
    let listed = tool("tar", &["-tf", tar.to_str().unwrap()]);
    assert_eq!(listed.lines().count(), files.len());
}

#[test]
fn an_image_has_what_its_container_had() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = disk(scratch.path(), DATA);
    let layout = scratch.path().join("Web");
    let output = format!("oci:{}", layout.display());
    let told: Value = serde_json::from_str(&done(&["export", &disk, "-o", &output, "--json"])).unwrap();
    assert!(
        told["files"].as_u64().unwrap() > 10 && told["left_out"].as_array().unwrap().len() == 1,
        "{told}"
    );
    let json =
        |path: &str| -> Value { serde_json::from_slice(&fs::read(layout.join(path)).unwrap()).unwrap() };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        format!("blobs/sha256/{digest}")
    };
    let manifest = json(&blob(&json("index.json")["manifests"][0]));
    let config = json(&blob(&manifest["config"]));
    assert_eq!(config["config"]["Entrypoint"][0], "/app");
    assert_eq!(config["os"], "linux");
    assert_eq!(json("manifest.json")[0]["RepoTags"][0], "web:latest");
    let layers = manifest["layers"].as_array().unwrap();
    let [layer] = &layers[..] else { panic!("{manifest}") };
    assert!(members(&fs::read(layout.join(blob(layer))).unwrap()).contains_key("srv/data/table/rows"));
    // It is there, and nothing is beside it that was there on the way.
    let error = refused(&["export", &disk, "-o", &output]);
    assert!(error.contains("is no empty folder"), "{error}");
    let names = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with(".vmimage")));
}

#[test]
fn which_of_two_systems_is_meant_has_to_be_said() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = disk(scratch.path(), &[("etc/os-release", "ID=other\n")]);
    let tar = scratch.path().join("x.tar");
    let tar = tar.to_str().unwrap();
    // The type of one says that it is a root.
    done(&["export", &disk, "-o", tar]);
    tool("sgdisk", &["-t3:8304", &disk]);
    let error = refused(&["export", &disk, "-o", tar]);
    assert!(
        error.contains("several partitions with a system: 2, 3 \"data\"") && error.contains("--root 2"),
        "{error}"
    );
    for name in ["3", "data"] {
        done(&["export", &disk, "-o", tar, "--root", name]);
        let files = members(&fs::read(tar).unwrap());
        assert_eq!(files["etc/os-release"].1, "ID=other\n", "{name}");
    }
    let error = refused(&["export", &disk, "-o", tar, "--root", "9"]);
    assert!(error.contains("has no partition 9"), "{error}");
    let error = refused(&["export", &disk, "-o", &format!("{tar}.gz")]);
    assert!(error.contains("its extension is not .tar") && error.contains("zstd"), "{error}");
}
