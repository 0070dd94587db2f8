//! Progress and the last line, of real runs of `vmimage convert`.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use exporter::spec::{Profile, Spec};
use serde_json::Value;
use tempfile::TempDir;

use crate::{run, text, vmimage};

/// Mebibytes of the one file.
const WORK: usize = 48;

/// A folder with files that cannot be compressed, and room for disks.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        let noise = std::iter::successors(Some(1_u64), |state| {
            let state = state ^ state << 13;
            let state = state ^ state >> 7;
            Some(state ^ state << 17)
        });
        let work: Vec<u8> = noise.take(WORK << 17).flat_map(u64::to_le_bytes).collect();
        fs::write(folder.path().join("tree/work"), work).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `vmimage convert` of the tree in this folder.
    fn convert(&self, words: &str) -> Command {
        let mut command = vmimage(&["convert", "--profile", "data", "tree"]);
        command.args(words.split(' ')).current_dir(self.0.path());
        command
    }
}

/// Whether it is what a log has when a stage with so many bytes or more has ended.
fn is_last_line(line: &str, stage: &str) -> bool {
    let Some((bytes, rest)) = line.strip_prefix(stage).and_then(|rest| rest.split_once(" in ")) else {
        return false;
    };
    bytes.starts_with(": ") && bytes.ends_with("iB") && rest.contains(" s, ") && rest.ends_with("/s")
}

#[test]
fn a_log_has_a_line_for_each_stage_that_counts_bytes() {
    let bench = Bench::new();
    let output = run(&mut bench.convert("-o disk.raw"));
    let lines: Vec<_> = text(&output.stderr).lines().collect();
    assert!(lines.len() == 1 && is_last_line(lines[0], "writing"), "{lines:?}");

    run(Command::new("tar").args(["-cf", "tree.tar", "-C", "tree", "."]).current_dir(bench.0.path()));
    let mut command = vmimage(&["convert", "--profile", "data", "tree.tar", "-o", "disk.raw"]);
    let output = run(command.current_dir(bench.0.path()));
    let lines: Vec<_> = text(&output.stderr).lines().collect();
    let stages = ["reading", "writing"];
    assert!(lines.len() == 2 && stages.iter().zip(&lines).all(|(stage, line)| is_last_line(line, stage)));

    let mut command = vmimage(&["convert", "--profile", "data", "-", "-o", "disk.raw"]);
    command.stdin(fs::File::open(bench.path("tree.tar")).unwrap()).current_dir(bench.0.path());
    let output = run(&mut command);
    let lines: Vec<_> = text(&output.stderr).lines().collect();
    let stages = ["spooling", "reading", "writing"];
    assert!(lines.len() == 3 && stages.iter().zip(&lines).all(|(stage, line)| is_last_line(line, stage)));

    assert!(!is_last_line("writing: 1 MiB of 3 MiB (33%) at 1 MiB/s, 2.0 s left", "writing"));
    assert!(!is_last_line("", "writing"));
}

#[test]
fn a_long_stage_tells_how_far_it_is_every_few_seconds() {
    let bench = Bench::new();
    let mut command = bench.convert("-o - --format raw");
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A reader so slow that this takes some seconds.
    let mut stdout = child.stdout.take().unwrap();
    let mut block = vec![0; 1 << 20];
    for _ in 0..WORK {
        stdout.read_exact(&mut block).unwrap();
        std::thread::sleep(Duration::from_millis(150));
    }
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());

    let lines: Vec<_> = text(&output.stderr).lines().collect();
    let (last, running) = lines.split_last().unwrap();
    assert!(is_last_line(last, "writing"), "{lines:?}");
    for line in running {
        let parts = ["writing: ", " of ", "%) at ", "/s, ", " s left"];
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    assert!(!running.is_empty() && running.len() as u64 <= start.elapsed().as_secs() / 3, "{lines:?}");
}

#[test]
fn a_build_step_has_a_short_log() {
    let bench = Bench::new();
    let spec = Spec { profile: Profile::Data, ..Spec::default() };
    let mut command = vmimage(&["assemble", "--root", "tree", "--boot", "nothing", "--output", "."]);
    command.args(["--spec", &serde_json::to_string(&spec).unwrap()]);
    let output = run(command.current_dir(bench.0.path()));
    let lines: Vec<_> = text(&output.stderr).lines().collect();
    assert!(lines.len() == 1 && is_last_line(lines[0], "writing"), "{lines:?}");
    assert!(text(&output.stdout).starts_with("disk.qcow2: qcow2, "), "{output:?}");
}

#[test]
fn a_terminal_has_one_line_that_is_redrawn() {
    let bench = Bench::new();
    let convert = bench.convert("-o disk.qcow2 --compression zlib --threads 1");
    let words = convert.get_args().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let shell = format!("{} {words}", convert.get_program().to_str().unwrap());
    let on_terminal = |term: &str| {
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &shell, "/dev/null"]);
        let output = run(script.current_dir(bench.0.path()).env("TERM", term).stdin(Stdio::null()));
        text(&output.stdout).to_owned()
    };
    let shown = on_terminal("xterm");
    let states: Vec<_> = shown.split("\r\x1b[K").collect();
    assert!(states.iter().filter(|state| state.contains(" s left")).count() > 0, "{shown:?}");
    assert!(states.iter().any(|state| state.contains("\x1b[?7lplanning\x1b[?7h")), "{shown:?}");
    let (last, running) = states.split_last().unwrap();
    assert!(running.iter().all(|state| !state.contains('\n')), "one line: {shown:?}");
    assert!(is_last_line(last.lines().next().unwrap(), "writing"), "{last:?}");
    assert!(last.lines().next_back().unwrap().starts_with("disk.qcow2: qcow2, "), "{last:?}");

    assert!(!on_terminal("dumb").contains('\x1b'));
}

/// The stages of a run, by its JSON lines, if each went from nothing to all and the last one wrote.
fn stages(lines: &str) -> Option<Vec<String>> {
    let mut stages: Vec<(String, u64, u64)> = Vec::new();
    for line in lines.lines() {
        let object: Value = serde_json::from_str(line).ok()?;
        let (stage, [done, total]) =
            (object["stage"].as_str()?, ["done", "total"].map(|key| object[key].as_u64()));
        let (done, total) = (done?, total?);
        match stages.last_mut() {
            Some(last) if last.0 == stage && done >= last.1 && done <= total => {
                *last = (stage.into(), done, total)
            }
            Some(last) if last.0 == stage || last.1 != last.2 => return None,
            _ => stages.push((stage.to_owned(), done, total)),
        }
    }
    let (stage, done, total) = stages.last()?;
    let is_whole = stage == "writing" && done == total && *total > 0;
    is_whole.then(|| stages.into_iter().map(|(stage, ..)| stage).collect())
}

#[test]
fn programs_read_json_until_all_is_done() {
    let bench = Bench::new();
    let output = run(&mut bench.convert("-o disk.qcow2 --progress rawjson"));
    let lines = text(&output.stderr);
    assert_eq!(stages(lines).unwrap(), ["reading", "planning", "writing"], "{lines}");
    let last: Value = serde_json::from_str(lines.lines().next_back().unwrap()).unwrap();
    assert!(last["done"].as_u64().unwrap() >= (WORK as u64) << 20, "{last}");

    let whole = r#"{"stage":"writing","done":8,"total":8}"#;
    assert!(stages(whole).is_some());
    for broken in [
        "",
        "writing",
        r#"{"stage":"writing","done":7,"total":8}"#,
        r#"{"stage":"reading","done":8,"total":8}"#,
        &format!("{whole}\n{}", whole.replacen('8', "7", 1)),
        &format!("{}\n{whole}", r#"{"stage":"reading","done":7,"total":8}"#),
    ] {
        assert_eq!(stages(broken), None, "{broken}");
    }
}

#[test]
fn quiet_is_silent() {
    let bench = Bench::new();
    let output = run(&mut bench.convert("-o disk.raw -q"));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("", ""));
    let output = run(&mut bench.convert("-o - --format raw -q --progress plain"));
    assert_eq!(text(&output.stderr), "");
    let output = run(&mut bench.convert("-o disk.raw --progress quiet"));
    assert_eq!(text(&output.stderr), "");
    assert!(text(&output.stdout).contains("\ndisk.raw: raw, "), "the result is no progress");
}

#[test]
fn a_stage_that_fails_leaves_no_line() {
    let bench = Bench::new();
    for style in ["plain", "tty"] {
        let output = bench.convert(&format!("-o disk.raw --size 8M --progress {style}")).output().unwrap();
        let shown = text(&output.stderr);
        assert!(!output.status.success());
        let visible = shown.rsplit("\r\x1b[K").next().unwrap();
        assert!(visible.starts_with("error: size: ") && visible.lines().count() == 2, "{shown:?}");
    }
}

#[test]
fn the_last_line_says_what_was_made() {
    let bench = Bench::new();
    let output = run(&mut bench.convert("-o disk.qcow2 -o disk.raw"));
    let lines: Vec<_> = text(&output.stdout).lines().rev().take(2).collect();
    for (line, start) in lines.iter().zip(["disk.raw: raw, ", "disk.qcow2: qcow2, "]) {
        // Nothing on this disk boots.
        assert!(
            line.starts_with(start) && line.contains(" MiB disk in ") && line.ends_with(" MiB"),
            "{line}"
        );
    }
}

#[test]
fn stdout_carries_the_disk_alone() {
    let bench = Bench::new();
    run(&mut bench.convert("-o disk.raw"));
    let output = run(&mut bench.convert("-o - --format raw"));
    assert!(output.stdout == fs::read(bench.path("disk.raw")).unwrap());
    let output = bench.convert("-o - --format raw --json").output().unwrap();
    assert_eq!(output.stdout, b"");
    let said = "error: --json: stdout is taken by the disk\nhint: name a file with -o\n";
    assert_eq!(text(&output.stderr), said);
}
