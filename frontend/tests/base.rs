//! `vmimage convert --base`: a disk that has what differs from another alone, against the whole one.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn qemu_img(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("qemu-img").args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn vmimage(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmimage")).args(args).current_dir(folder).output().unwrap()
}

fn convert(folder: &Path, args: &[&str]) -> Output {
    let words = ["convert", "--no-install", "--profile", "data", "--size", "64M", "dir-tree:tree"];
    vmimage(folder, &[&words[..], args].concat())
}

fn made(folder: &Path, args: &[&str]) -> String {
    let output = convert(folder, args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `old.qcow2` of files, and `old.raw`; then one of the files is another.
fn old(folder: &Path) {
    fs::create_dir_all(folder.join("tree")).unwrap();
    let words = |seed: u32| -> Vec<u8> {
        (0..1_000_000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761 + seed).to_le_bytes()).collect()
    };
    for (name, seed) in [("a", 0), ("b", 2), ("c", 4)] {
        fs::write(folder.join("tree").join(name), words(seed)).unwrap();
    }
    made(folder, &["-o", "old.qcow2", "-o", "old.raw"]);
    fs::write(folder.join("tree/b"), words(6)).unwrap();
    made(folder, &["-o", "full.raw", "-o", "full.qcow2"]);
}

#[test]
fn only_what_differs_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    old(folder);
    fs::create_dir(folder.join("new")).unwrap();
    for base in ["old.qcow2", "old.raw"] {
        let before = fs::read(folder.join(base)).unwrap();
        let told = made(folder, &["-o", "new/disk.qcow2", "--base", base]);
        assert!(!told.contains("vmimage run"), "it is not run: {told}");
        assert!(fs::read(folder.join(base)).unwrap() == before);
        qemu_img(folder, &["check", "-q", "new/disk.qcow2"]);
        qemu_img(folder, &["compare", "-q", "-f", "qcow2", "-F", "raw", "new/disk.qcow2", "full.raw"]);
        let chain = qemu_img(folder, &["info", "--backing-chain", "--output=json", "new/disk.qcow2"]);
        let chain: Value = serde_json::from_str(&chain).unwrap();
        assert_eq!(chain[0]["backing-filename"], format!("../{base}"));
        let len = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
        assert!(len("new/disk.qcow2") < len("full.qcow2") * 3 / 4, "one of three files");
    }
    // The same again, byte for byte.
    let first = fs::read(folder.join("new/disk.qcow2")).unwrap();
    made(folder, &["-o", "new/disk.qcow2", "--base", "old.raw", "--threads", "1"]);
    assert!(fs::read(folder.join("new/disk.qcow2")).unwrap() == first);
    // Both moved together are the same disk still.
    fs::create_dir(folder.join("elsewhere")).unwrap();
    for name in ["new", "old.raw"] {
        fs::rename(folder.join(name), folder.join("elsewhere").join(name)).unwrap();
    }
    qemu_img(folder, &["compare", "-q", "elsewhere/new/disk.qcow2", "full.raw"]);
}

#[test]
fn what_cannot_lie_over_the_other_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    old(folder);
    qemu_img(folder, &["create", "-q", "-f", "raw", "large.raw", "1G"]);
    let cases: [(&[&str], &str); 5] = [
        (&["-o", "old.qcow2", "--base", "old.qcow2"], "old.qcow2: is the disk that is to be made"),
        (&["-o", "new.raw", "--base", "old.qcow2"], "--base: is for one qcow2"),
        (&["-o", "new.qcow2", "-o", "new.raw", "--base", "old.qcow2"], "--base: is for one qcow2"),
        (
            &["-o", "new.qcow2", "--base", "large.raw"],
            "it cannot be smaller\nhint: make it as large, --size 1073741824",
        ),
        (&["-o", "new.qcow2", "--base", "none.qcow2"], "none.qcow2: cannot open the base"),
    ];
    let before = fs::read(folder.join("old.qcow2")).unwrap();
    for (args, part) in cases {
        let output = convert(folder, args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(part), "{args:?}: {said}");
        assert!(!folder.join("new.qcow2").exists() && !folder.join("new.raw").exists());
    }
    assert!(fs::read(folder.join("old.qcow2")).unwrap() == before);

    // Who names a disk alone has not asked for the one below it.
    made(folder, &["-o", "new.qcow2", "--base", "old.qcow2"]);
    for args in [&["inspect", "new.qcow2"][..], &["diff", "--blocks", "old.qcow2", "new.qcow2"]] {
        let said = String::from_utf8(vmimage(folder, args).stderr).unwrap();
        assert!(
            said.contains("backing files cannot be read\nhint: make a whole disk of it"),
            "{args:?}: {said}"
        );
    }
}
