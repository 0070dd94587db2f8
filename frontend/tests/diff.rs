//! `vmimage diff --blocks`: disks in two formats, their partitions, files without any, updates; and what cannot be compared.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const BLOCK: u64 = 64 * KIB;

fn tool(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

fn diff(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["diff", "--blocks"]).args(args).current_dir(folder).output().unwrap()
}

fn counted(folder: &Path, args: &[&str]) -> Value {
    let output = diff(folder, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(folder: &Path, args: &[&str]) -> String {
    let output = diff(folder, args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The bytes of block `number` of everything here, no part of which is like another (Knuth's generator for MMIX).
fn block(number: u8) -> Vec<u8> {
    let mut state = u64::from(number);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..BLOCK).map(|_| next()).collect()
}

/// A disk of 4 MiB with the partitions `data` (1 MiB to 2 MiB) and `root` (2 MiB to 3 MiB), in which these blocks lie, from
/// the start of the partition on.
fn disk(folder: &Path, name: &str, root: &str, [data, blocks]: [&[u8]; 2]) {
    let path = folder.join(name);
    fs::File::create(&path).unwrap().set_len(4 * MIB).unwrap();
    let root = format!("-c2:{root}");
    let guids = ["-U", "99999999-2222-4333-8444-555555555555", "-u1:11111111-2222-4333-8444-555555555555"];
    let guid = "-u2:22222222-2222-4333-8444-555555555555";
    let partitions = ["-n1:2048:4095", "-c1:data", "-n2:4096:6143", "-t2:8304", &root, guid];
    tool("sgdisk", &[&partitions[..], &guids[..], &[path.to_str().unwrap()]].concat());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for (start, blocks) in [(MIB, data), (2 * MIB, blocks)] {
        for (at, &number) in (start..).step_by(BLOCK as usize).zip(blocks) {
            file.write_all_at(&block(number), at).unwrap();
        }
    }
}

/// Two versions of a disk, `old.raw` and `new.qcow2`.
fn versions(folder: &Path) {
    disk(folder, "old.raw", "kiosk_1", [&[1, 2], &[3, 4, 5, 6]]);
    disk(folder, "new.raw", "kiosk_2", [&[1, 2], &[3, 7, 4, 2]]);
    let [raw, qcow2] = ["new.raw", "new.qcow2"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    tool("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "-c", &raw, &qcow2]);
}

#[test]
fn partitions_of_two_formats_are_counted_by_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    versions(dir.path());
    let report = counted(dir.path(), &["old.raw", "new.qcow2"]);
    assert_eq!(report["block_size"], json!(BLOCK));
    let data = json!({ "name": "1 \"data\"", "partition": 1, "blocks": 16, "zero": 14, "differ": 0, "elsewhere": 0, "new": 0,
        "moves": 0 });
    assert_eq!(report["parts"][0], data);
    let root = json!({ "name": "2 \"kiosk_2\"", "partition": 2, "blocks": 16, "zero": 12, "differ": 3, "elsewhere": 2, "new": 1,
        "moves": BLOCK });
    assert_eq!(report["parts"][1], root, "4 lies elsewhere in the root, 2 on the other partition");
    // The label and its checksums, at both ends of the disk.
    let rest = json!({ "name": "rest", "blocks": 32, "zero": 30, "differ": 2, "elsewhere": 0, "new": 2, "moves": 2 * BLOCK });
    assert_eq!(report["parts"][2], rest);
    assert_eq!(report["total"]["moves"], json!(3 * BLOCK));
    assert_eq!(report.get("gone"), None);

    let text = String::from_utf8(diff(dir.path(), &["old.raw", "new.qcow2"]).stdout).unwrap();
    let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].join(" "), "old.raw -> new.qcow2, blocks of 64 KiB", "{text}");
    assert_eq!(lines[2], ["blocks", "zero", "differ", "elsewhere", "new", "moves"], "{text}");
    assert_eq!(lines[4].join(" "), "2 \"kiosk_2\" 16 12 3 2 1 64 KiB", "{text}");
    assert_eq!(lines[6].join(" "), "total 64 56 5 2 3 192 KiB", "{text}");
}

#[test]
fn one_partition_is_named_by_its_number_or_its_label() {
    let dir = tempfile::tempdir().unwrap();
    versions(dir.path());
    let expected =
        json!({ "blocks": 16, "zero": 12, "differ": 3, "elsewhere": 1, "new": 2, "moves": 2 * BLOCK });
    for names in [["old.raw:2", "new.qcow2:2"], ["old.raw:kiosk_1", "new.qcow2:kiosk_2"]] {
        assert_eq!(
            counted(dir.path(), &names)["total"],
            expected,
            "{names:?}: of the other partition nothing is known"
        );
    }
    let finer = counted(dir.path(), &["old.raw:2", "new.qcow2:2", "--block-size", "4K"]);
    assert_eq!(finer["total"]["blocks"], json!(256));
    assert_eq!(finer["total"]["moves"], json!(2 * BLOCK));
    let partition: Vec<u8> = [3, 4, 5, 6].into_iter().flat_map(block).collect();
    fs::write(dir.path().join("bare"), partition).unwrap();
    let report = counted(dir.path(), &["bare", "old.raw:2"]);
    assert_eq!(
        (&report["total"]["new"], &report["total"]["differ"]),
        (&json!(0), &json!(12)),
        "zeroes behind its end"
    );
}

#[test]
fn a_partition_that_is_gone_is_told() {
    let dir = tempfile::tempdir().unwrap();
    versions(dir.path());
    tool("sgdisk", &["-d2", dir.path().join("new.raw").to_str().unwrap()]);
    let report = counted(dir.path(), &["old.raw", "new.raw"]);
    assert_eq!(report["gone"], json!([2]));
    let text = String::from_utf8(diff(dir.path(), &["old.raw", "new.raw"]).stdout).unwrap();
    assert!(text.ends_with("\npartition 2 is in old.raw alone\n"), "{text}");
}

/// A folder of an update with these blocks, each of whose frames has a length of its own.
fn update(folder: &Path, name: &str, blocks: &[(u8, u32)]) {
    let folder = folder.join(name);
    fs::create_dir(&folder).unwrap();
    let entries = blocks.iter().flat_map(|&(number, frame_len)| {
        let bytes = if number == 0 { vec![0; BLOCK as usize] } else { block(number) };
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        digest.into_iter().chain(frame_len.to_le_bytes())
    });
    let index: Vec<u8> = entries.collect();
    let listed = json!({ "file": "kiosk_1.root.index", "bytes": index.len(), "sha256": format!("{:x}", Sha256::digest(&index)) });
    let root = json!({ "name": "root", "file": "kiosk_1.root.zst", "bytes": 1, "sha256": "", "block_size": BLOCK,
        "plain_bytes": blocks.len() as u64 * BLOCK, "index": listed });
    fs::write(folder.join("kiosk_1.root.index"), index).unwrap();
    fs::write(folder.join("manifest.json"), json!({ "format": 1, "parts": [root] }).to_string()).unwrap();
    fs::write(folder.join("SHA256SUMS"), "").unwrap();
}

#[test]
fn an_update_is_counted_by_its_frames() {
    let dir = tempfile::tempdir().unwrap();
    versions(dir.path());
    update(dir.path(), "old", &[(3, 100), (4, 200), (0, 20), (0, 20)]);
    update(dir.path(), "new", &[(3, 101), (0, 20), (8, 1000), (4, 200), (8, 1000)]);
    let expected = json!({ "blocks": 5, "zero": 1, "differ": 4, "elsewhere": 2, "new": 1, "moves": 1000 });
    assert_eq!(counted(dir.path(), &["old", "new"])["total"], expected);
    // The same blocks on a partition, which goes on behind them.
    let expected = json!({ "blocks": 5, "zero": 1, "differ": 4, "elsewhere": 2, "new": 1, "moves": 1000 });
    assert_eq!(counted(dir.path(), &["old.raw:2", "new/"])["total"], expected);
    let back = counted(dir.path(), &["new", "old.raw:2"]);
    assert_eq!(back["total"]["blocks"], json!(5), "no more than the update tells of");
}

#[test]
fn what_cannot_be_compared_is_told() {
    let dir = tempfile::tempdir().unwrap();
    versions(dir.path());
    update(dir.path(), "update", &[(1, 100)]);
    fs::write(dir.path().join("bare"), block(1)).unwrap();
    for (args, part) in [
        (
            &["old.raw", "update"][..],
            "old.raw: is a disk with partitions, and update is none\nhint: name the one",
        ),
        (&["bare", "new.qcow2"], "new.qcow2: is a disk with partitions, and bare is none"),
        (
            &["old.raw:9", "bare"],
            "no partition has the number or label \"9\"\nhint: there are 1 \"data\", 2 \"kiosk_1\"",
        ),
        (&["bare:1", "bare"], "error: "),
        (&["update:1", "bare"], "update:1: an update has no partition \"1\""),
        (
            &["update", "update", "--block-size", "4K"],
            "blocks of an update have 65536 bytes, and 4096 are asked for",
        ),
        (&["missing.raw", "bare"], "missing.raw: cannot open the disk file"),
    ] {
        let said = refused(dir.path(), args);
        assert!(said.contains(part), "{args:?}: {said}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_vmimage")).args(["diff", "a", "b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "only blocks are compared so far");
}
