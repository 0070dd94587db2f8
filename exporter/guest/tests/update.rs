//! The program `vmimage-update`, over files in place of a disk: its words, its exit status, and an archive on stdin.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

const BLOCK: usize = 64 << 10;

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of an update of `kiosk`, as `--format update` writes it.
fn publish(folder: &Path, version: &str, root: &[u8]) {
    let (mut frames, mut index) = (Vec::new(), Vec::new());
    for block in root.chunks(BLOCK) {
        let frame = zstd::bulk::compress(block, 1).unwrap();
        index.extend(Sha256::digest(block));
        index.extend((frame.len() as u32).to_le_bytes());
        frames.extend(frame);
    }
    let name = |end: &str| format!("kiosk_{version}.root.{end}");
    let listed = |end: &str, bytes: &[u8]| {
        format!(r#""file":"{}","bytes":{},"sha256":"{}""#, name(end), bytes.len(), hex(bytes))
    };
    let manifest = format!(
        r#"{{"format":1,"id":"kiosk","version":"{version}","compatible":"kiosk","architecture":"x86_64","loader":"grub",
        "parts":[{{"name":"root",{},"plain_bytes":{},"block_size":{BLOCK},"index":{{{}}}}}]}}"#,
        listed("zst", &frames),
        root.len(),
        listed("index", &index)
    );
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name("zst")), frames).unwrap();
    fs::write(folder.join(name("index")), index).unwrap();
    fs::write(folder.join("SHA256SUMS"), format!("{}  manifest.json\n", hex(manifest.as_bytes()))).unwrap();
    fs::write(folder.join("manifest.json"), manifest).unwrap();
}

/// A machine with version 1 in slot A.
fn machine() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for slot in ["slot-a", "slot-b"] {
        fs::write(folder.path().join(slot), vec![0; 4 * BLOCK]).unwrap();
    }
    let state = r#"{"booted":"A","order":["A","B"],"good":"A","slots":[{"label":"kiosk_1","ok":true,"tries":0},
        {"label":"_empty","ok":false,"tries":0}],"config":{"id":"kiosk","version":"1","compatible":"kiosk",
        "architecture":"x86_64","loader":"grub"}}"#;
    fs::write(folder.path().join("state.json"), state).unwrap();
    folder
}

fn update(machine: &TempDir, words: &[&str], stdin: Stdio) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_vmimage-update"));
    program.arg("--simulate").arg(machine.path()).args(words).stdin(stdin).output().unwrap()
}

/// The exit status, and what is said.
fn said(machine: &TempDir, words: &[&str]) -> (i32, String) {
    let output = update(machine, words, Stdio::null());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn the_exit_status_says_how_it_went() {
    let (machine, web) = (machine(), tempfile::tempdir().unwrap());
    publish(web.path(), "2", &[7; 3 * BLOCK]);
    let from = web.path().to_str().unwrap();
    let is = |words: &[&str], status: i32, part: &str| {
        let (exit, text) = said(&machine, words);
        assert!(exit == status && text.contains(part), "{words:?}: {exit} {text}");
    };
    is(&["check", from], 0, "kiosk_2 is newer than 1");
    is(&["check"], 1, "hint: name a URL");
    is(&["apply", "/nowhere"], 1, "/nowhere: ");
    is(&["apply", from, "--reboot"], 0, "1 were fetched, 2 copied from this machine");
    is(&["check", from], 3, "kiosk_2 is installed");
    is(
        &["status", "--json"],
        0,
        r#""version":"1","compatible":"kiosk","booted":"A","next":"B","installed":true"#,
    );
    is(&["rollback"], 0, "kiosk_2 in slot B is not started: slot A stays");
    is(&["apply", from], 1, "left again");
    is(&["update"], 2, "usage: ");
    is(&["--help"], 0, "usage: ");
    assert!(fs::read_to_string(machine.path().join("state.json")).unwrap().contains(r#""restarts": 1"#));
}

#[test]
fn an_archive_on_stdin_is_installed() {
    let (machine, web) = (machine(), tempfile::tempdir().unwrap());
    publish(web.path(), "2", &[7; 3 * BLOCK]);
    let names = ["SHA256SUMS", "manifest.json", "kiosk_2.root.index", "kiosk_2.root.zst"];
    let tar = |names: &[&str]| {
        let archive = web.path().join("archive");
        let mut builder = tar::Builder::new(File::create(&archive).unwrap());
        names.iter().for_each(|name| builder.append_path_with_name(web.path().join(name), name).unwrap());
        builder.finish().unwrap();
        File::open(archive).unwrap()
    };
    let backwards: Vec<_> = names.into_iter().rev().collect();
    let output = update(&machine, &["apply", "-"], tar(&backwards).into());
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("SHA256SUMS"));
    let output = update(&machine, &["apply", "-"], tar(&names).into());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(machine.path().join("slot-b")).unwrap()[..3 * BLOCK] == [7; 3 * BLOCK]);
}
