//! `vmimage run -i` of a microVM, with a `qemu-system-x86_64` of the test's own that speaks as an agent does: the program's input,
//! output, errors, signals and end are those of `vmimage run`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A QEMU with an agent (docs/agent.md) whose program does what `$SCENE` says. What it is asked and told is in files beside it.
const QEMU: &str = r#"#!/usr/bin/env python3
import json, os, re, shutil, socket, struct, sys
words = " ".join(sys.argv)
scene = os.environ["SCENE"]
here = os.path.dirname(os.path.abspath(sys.argv[0]))
console = open(re.search(r"id=console,path=(\S+)", words)[1], "w")
print("the kernel's words\n\nits last word", file=console, flush=True)
if scene == "panic":
    sys.exit(0)
if scene == "refuse":
    port = socket.socket(fileno=int(re.search(r"id=status,fd=(\d+)", words)[1]))
    port.sendall(b'{"status":125,"error":"share share0 at /src: cannot mount 9p: No such device"}\n')
    sys.exit(0)
shutil.copy(re.search(r"file.filename=(\S*/told)", words)[1], here + "/told")
server = socket.socket(socket.AF_UNIX)
server.bind(re.search(r"path=(\S*agent\.sock)", words)[1])
server.listen(1)
host, _ = server.accept()
stream = host.makefile("rb")
def say(kind, channel, payload, part=0):
    host.sendall(struct.pack("<BBHI", kind, part, channel, len(payload)) + payload + b"\x17")
def hear():
    first = stream.read(1)
    while first == b"\0":
        first = stream.read(1)
    if not first:
        sys.exit(0)
    kind, part, channel, length = struct.unpack("<BBHI", first + stream.read(7))
    payload = stream.read(length)
    assert stream.read(1) == b"\x17"
    return kind, part, channel, payload
kind, _, _, hello = hear()
assert kind == 1 and hello[:16] == b"vmimage agent 1\n"
say(1, 0, hello)
kind, _, channel, request = hear()
assert kind == 2
open(here + "/asked", "wb").write(request)
def stop():
    open(here + "/stopped", "w").close()
    done(status=0)
    sys.exit(0)
def done(**answer):
    for part in (1, 2):
        say(4, channel, b"", part)
    say(7, channel, json.dumps(answer).encode())
if scene == "ends":
    say(3, channel, b"out\n", 1)
    say(3, channel, b"err\n", 2)
    done(status=42)
if scene == "fails":
    done(status=127, error="app: no such program")
if scene == "hangs up":
    say(3, channel, b"begun\n", 1)
    sys.exit(3)
if scene == "cat":
    while True:
        kind, part, _, payload = hear()
        if kind == 3:
            say(3, channel, payload.upper(), 1)
        # As much as it has taken of what came back.
        if kind == 5:
            say(5, channel, payload)
        if kind == 4:
            break
    done(status=0)
if scene == "waits":
    say(3, channel, b"up\n", 1)
    while True:
        kind, _, number, payload = hear()
        if kind == 2:
            channel = number
            stop()
        if kind == 6:
            number = json.loads(payload)["signal"]
            say(3, channel, b"signal %d\n" % number, 1)
            if number == 15:
                done(status=143, signal=15)
                break
while True:
    kind, _, channel, request = hear()
    if kind == 2 and request == b'{"stop":{}}':
        stop()
"#;

struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("qemu"), QEMU).unwrap();
        fs::set_permissions(folder.path().join("qemu"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("temporary")).unwrap();
        write_microvm(&folder.path().join("web"));
        Self(folder)
    }

    fn command(&self, scene: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(["run", "web", "--accel", "tcg", "--qemu", "./qemu", "-i"]).args(args);
        command.current_dir(self.0.path()).env("SCENE", scene).env("TMPDIR", self.0.path().join("temporary"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, scene: &str, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(scene, args).output().unwrap();
        assert_eq!(fs::read_dir(self.0.path().join("temporary")).unwrap().count(), 0, "something is left");
        told(&output)
    }

    fn json(&self, name: &str) -> Value {
        let text = fs::read_to_string(self.0.path().join(name)).unwrap();
        serde_json::from_str(text.trim_end()).unwrap()
    }
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn write_microvm(folder: &Path) {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("vmlinuz"), "content").unwrap();
    fs::write(folder.join("root.raw"), "content").unwrap();
    let description = json!({
        "version": 1, "name": "web", "architecture": "x86_64", "cpus": 1, "memory_mib": 128,
        "kernel": "vmlinuz", "cmdline": "root=/dev/vda",
        "drives": [{"id": "root", "file": "root.raw", "format": "raw", "read_only": false}],
        "ports": [], "agent": "io.vmimage.agent", "status": "io.vmimage.status", "machines": ["q35"],
    });
    fs::write(folder.join("vm.json"), description.to_string()).unwrap();
}

#[test]
fn the_programs_streams_and_its_end_are_ours() {
    let lab = Lab::new();
    let args = ["-e", "A=b", "-u", "app", "--hostname", "web", "--", "sh", "-c", "exit 42"];
    let (status, output, errors) = lab.run("ends", &args);
    assert_eq!((status, &*output), (Some(42), "out\n"), "{errors}");
    assert!(errors.contains("err\n") && !errors.contains("last word"), "{errors}");
    assert_eq!(
        lab.json("told"),
        json!({"hostname": "web", "container": {"Cmd": ["sh", "-c", "exit 42"], "User": "app"}, "env": ["A=b"], "held": true})
    );
    assert_eq!(lab.json("asked"), json!({"exec": {"argv": []}}));
    assert!(lab.0.path().join("stopped").exists(), "a root that stays is written before the end");
}

#[test]
fn what_is_thrown_away_is_not_waited_for() {
    let lab = Lab::new();
    let (status, output, errors) = lab.run("ends", &["--snapshot"]);
    assert_eq!((status, &*output), (Some(42), "out\n"), "{errors}");
    assert!(!lab.0.path().join("stopped").exists());
}

#[test]
fn what_is_typed_comes_to_the_program_to_its_end() {
    let lab = Lab::new();
    let mut child = lab.command("cat", &[]).stdin(Stdio::piped()).spawn().unwrap();
    let typed = "two lines\n".repeat(20_000);
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn({
        let typed = typed.clone();
        move || input.write_all(typed.as_bytes())
    });
    let mut came = String::new();
    child.stdout.take().unwrap().read_to_string(&mut came).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(came == typed.to_uppercase());
}

#[test]
fn a_program_that_was_not_begun_is_told_by_dockers_numbers() {
    let (status, output, errors) = Lab::new().run("fails", &[]);
    assert_eq!((status, &*output), (Some(127), ""));
    assert!(errors.contains("error: app: no such program\n"), "{errors}");
}

#[test]
fn a_machine_that_ends_without_a_word_shows_its_console() {
    for scene in ["panic", "hangs up"] {
        let (status, _, errors) = Lab::new().run(scene, &[]);
        assert_eq!(status, Some(125), "{scene}: {errors}");
        let shown = "console: the kernel's words\nconsole: its last word\nthe machine ended without an exit status of its program\n";
        assert!(errors.contains(shown), "{scene}: {errors}");
    }
}

#[test]
fn a_machine_that_lacks_a_share_says_what_would_help() {
    let lab = Lab::new();
    fs::create_dir(lab.0.path().join("src")).unwrap();
    // As on a host without virtiofsd.
    let mut command = lab.command("refuse", &["-v", "src:/src"]);
    let (status, _, errors) = told(&command.env("PATH", "/usr/bin:/bin").output().unwrap());
    assert_eq!(status, Some(125), "{errors}");
    assert!(
        errors.contains(
            "error: share share0 at /src: cannot mount 9p: No such device\nhint: install virtiofsd"
        ),
        "{errors}"
    );
}

fn line(child: &mut Child) -> (String, BufReader<std::process::ChildStdout>) {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    (line, output)
}

fn kill(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn signals_go_to_the_program_and_the_third_ends_the_machine() {
    let lab = Lab::new();
    let mut child = lab.command("waits", &[]).spawn().unwrap();
    let (first, mut rest) = line(&mut child);
    assert_eq!(first, "up\n");
    let mut heard = String::new();
    for (signal, number) in [("-USR1", 10), ("-INT", 2), ("-TERM", 15)] {
        kill(&child, signal);
        rest.read_line(&mut heard).unwrap();
        assert!(heard.ends_with(&format!("signal {number}\n")), "{heard}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(143));

    let mut child = lab.command("waits", &[]).spawn().unwrap();
    let (_, mut rest) = line(&mut child);
    for _ in 0..2 {
        kill(&child, "-INT");
        rest.read_line(&mut heard).unwrap();
    }
    kill(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn time_that_is_over_ends_the_machine() {
    let (status, output, errors) = Lab::new().run("waits", &["--timeout", "2s"]);
    assert_eq!((status, &*output), (Some(124), "up\n"), "{errors}");
    assert!(errors.contains("the machine is ended: its 2 s are over\n"), "{errors}");
}

#[test]
fn a_terminal_that_is_none_is_refused_before_anything_is_started() {
    let (status, _, errors) = Lab::new().run("ends", &["-t"]);
    assert_eq!(status, Some(1));
    assert!(errors.starts_with("error: -it: the standard input is no terminal\n"), "{errors}");
}
