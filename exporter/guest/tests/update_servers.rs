//! `vmimage-update`, over files in place of a disk, asks a web server that is good or bad, and is killed while it does.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

#[path = "../../../frontend/tests/web/tls.rs"]
mod tls;
#[path = "../../../frontend/tests/web/version.rs"]
mod version;
#[path = "../../../frontend/tests/web/web.rs"]
mod web;

use version::{BLOCK, Version, noise, replace_root, state};
use web::Server;

/// Blocks of a root, of which the next version changes two of three.
const BLOCKS: usize = 24;
const CHANGED: usize = 16;

/// A machine of files that runs version 1, and the server that has version 2.
struct Lab {
    server: Server,
    folder: tempfile::TempDir,
    next: Vec<u8>,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let web = folder.path().join("web");
        let first = noise("1", BLOCKS * BLOCK);
        let mut next = noise("2", BLOCKS * BLOCK);
        for place in (0..next.len()).step_by(3 * BLOCK).map(|start| start..start + BLOCK) {
            next[place.clone()].copy_from_slice(&first[place]);
        }
        Version { version: "2", root: &next }.write(&web.join("2")).unwrap();
        let lab = Self { server: Server::start(&web).unwrap(), folder, next };
        fs::create_dir(lab.machine()).unwrap();
        fs::write(lab.machine().join("slot-a"), &first).unwrap();
        fs::write(lab.machine().join("slot-b"), vec![0; BLOCKS * BLOCK]).unwrap();
        fs::write(lab.machine().join("state.json"), state("1", &lab.from("")).to_string()).unwrap();
        lab
    }

    fn machine(&self) -> PathBuf {
        self.folder.path().join("machine")
    }

    /// The folder of version 2, from a server that is so.
    fn from(&self, server: &str) -> String {
        format!("http://127.0.0.1:{}/{server}2/", self.server.port())
    }

    fn update(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage-update"));
        command.arg("--simulate").arg(self.machine()).args(words);
        command
    }

    /// Its exit status, and what it says.
    fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.update(words).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    #[track_caller]
    fn says(&self, words: &[&str], status: i32, message: &str) {
        let (code, said) = self.run(words);
        assert!(code == Some(status) && said.contains(message), "{words:?}: {code:?} {said}");
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&read(&self.machine().join("state.json"))).unwrap()
    }

    /// Have `update.json` say this, too.
    fn set_config(&self, key: &str, value: &Path) {
        let mut state = self.state();
        state["config"][key] = value.to_str().unwrap().into();
        fs::write(self.machine().join("state.json"), state.to_string()).unwrap();
    }

    /// Version 1 is what a restart leads to, and the other slot has no root that could be started.
    #[track_caller]
    fn stays(&self) {
        let state = self.state();
        let [first, second] = [&state["slots"][0], &state["slots"][1]];
        assert_eq!((&state["booted"], &state["order"][0]), (&"A".into(), &"A".into()), "{state}");
        assert_eq!((&first["ok"], &first["label"]), (&true.into(), &"kiosk_1".into()), "{state}");
        assert_eq!((&second["ok"], &second["label"]), (&false.into(), &"_empty".into()), "{state}");
        assert!(read(&self.machine().join("slot-a")) == noise("1", BLOCKS * BLOCK));
    }

    /// Version 2 is, and all of it is there.
    #[track_caller]
    fn is_installed(&self) {
        let state = self.state();
        assert_eq!((&state["order"][0], &state["slots"][1]["ok"]), (&"B".into(), &true.into()), "{state}");
        assert_eq!(state["slots"][1]["label"], "kiosk_2", "{state}");
        assert!(read(&self.machine().join("slot-b")) == self.next);
        assert!(read(&self.machine().join("slot-a")) == noise("1", BLOCKS * BLOCK));
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn a_machine_fetches_what_it_has_not() {
    let lab = Lab::new();
    lab.says(&["check"], 0, "kiosk_2 is newer than 1");
    lab.says(&["apply", lab.from("").trim_end_matches('/')], 0, "16 were fetched");
    lab.is_installed();
    let sent = lab.server.sent();
    assert!(sent < (BLOCKS as u64 - 4) * BLOCK as u64, "{sent}");
    lab.says(&["check"], 3, "kiosk_2 is installed");
    lab.says(&["status", "--json"], 0, r#""next":"B","installed":true"#);
    lab.says(&["apply", "one", "two"], 2, "usage: ");
}

#[test]
fn a_bad_server_leaves_the_machine_as_it_is_and_a_good_one_goes_on() {
    let lab = Lab::new();
    for (server, message) in [
        ("none/", "SHA256SUMS: is not there, so this is no update"),
        ("redirects/", "sends on from one place to the next without an end"),
        ("lies/", "answers with a range that is none"),
    ] {
        lab.says(&["apply", &lab.from(server)], 1, message);
        lab.stays();
    }
    lab.says(&["apply", &lab.from("cuts/")], 0, "kiosk_2 is in slot B");
    lab.is_installed();
}

#[test]
fn a_server_without_ranges_is_read_once_from_the_front() {
    let lab = Lab::new();
    lab.says(&["apply", &lab.from("no-ranges/")], 0, "16 were fetched");
    lab.is_installed();
    let sent = lab.server.sent();
    assert!(sent < (BLOCKS as u64 + 12) * BLOCK as u64, "{sent}");
}

#[test]
fn a_strict_server_and_a_machine_tell_each_other_who_they_are() {
    let lab = Lab::new();
    let folder = lab.folder.path();
    tls::certify(folder);
    let [server, impostor] = ["server", "impostor"].map(|name| {
        let server = Server::within(&folder.join("web"), tls::strict(folder, name)).unwrap();
        (format!("https://127.0.0.1:{}/2/", server.port()), server)
    });
    let give = |name: &str| {
        for end in ["crt", "key"] {
            let from = folder.join(name).with_extension(end);
            fs::copy(from, folder.join("own").with_extension(end)).unwrap();
        }
    };
    lab.set_config("ca", &folder.join("ca.crt"));
    let wants_one = "hint: it may want a certificate of this machine";
    lab.says(&["apply", &server.0], 1, wants_one);
    lab.set_config("certificate", &folder.join("own.crt"));
    lab.set_config("key", &folder.join("own.key"));
    lab.says(&["apply", &server.0], 1, "own.crt: cannot be read");
    give("stranger");
    lab.says(&["apply", &server.0], 1, wants_one);
    give("machine");
    lab.says(&["apply", &impostor.0], 1, "cannot be trusted");
    assert!(server.1.asked().is_empty() && impostor.1.asked().is_empty());
    lab.stays();
    lab.says(&["apply", &server.0], 0, "16 were fetched");
    lab.is_installed();
}

/// As the tests of machines make what no build makes.
#[test]
fn an_update_that_was_given_another_root_is_an_update_to_that() {
    let mut lab = Lab::new();
    lab.next = noise("3", BLOCKS * BLOCK);
    replace_root(&lab.folder.path().join("web/2"), &mut &*lab.next).unwrap();
    lab.says(&["apply"], 0, "24 were fetched");
    lab.is_installed();
}

/// They are asked again and again, for ten minutes.
#[test]
#[ignore = "long: make matrix"]
fn a_server_from_which_nothing_comes_is_given_up() {
    for (server, message) in [("ends/", "times in a row"), ("stalls/", "in a row"), ("drips/", "in a row")] {
        let lab = Lab::new();
        lab.says(&["apply", &lab.from(server)], 1, message);
        lab.stays();
        lab.says(&["apply", &lab.from("")], 0, "kiosk_2 is in slot B");
        lab.is_installed();
    }
}

/// Each time two blocks further on. It may be too late, but then all has to be there.
#[test]
fn a_program_that_is_killed_goes_on_where_it_was() {
    let mut cut = 0;
    for blocks in (0..CHANGED).step_by(2) {
        let lab = Lab::new();
        let mut updater = lab.update(&["apply", &lab.from("cuts/")]).stderr(Stdio::null()).spawn().unwrap();
        let mut sent = 0;
        while sent < (blocks * BLOCK) as u64 && updater.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
            sent += lab.server.sent();
        }
        let _ = updater.kill();
        updater.wait().unwrap();
        let state = lab.state();
        if state["order"][0] == "A" {
            cut += 1;
            let ok = [0, 1].map(|slot| state["slots"][slot]["ok"] == true);
            assert!(ok == [true, false], "{state}");
        } else {
            lab.is_installed();
        }
        lab.says(&["apply", &lab.from("")], 0, "kiosk_2 is");
        lab.is_installed();
    }
    assert!(cut > 0);
}
