//! A hundred inputs for every target, and faults that have to be found.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::process::{Command, Output};

use fuzz::targets;

/// A run of targets; the folder for what they find is empty before.
fn fuzz(names: &[&str], more: &[&str]) -> (Output, tempfile::TempDir) {
    let kept = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzz"));
    command.args(names).args(["--seed", "1", "--keep"]).arg(kept.path()).args(more);
    for variable in ["FUZZ", "FUZZ_S", "FUZZ_N", "FUZZ_J"] {
        command.env_remove(variable);
    }
    (command.output().unwrap(), kept)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_hundred_inputs_do_no_harm() {
    let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
    // Time is not judged here: the machine has other tests to run.
    let (output, kept) = fuzz(&names, &["--executions", "100", "--jobs", "2", "--allowed", "60000"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches(": 100 executions, ").count(), names.len(), "{}", said(&output));
    assert_eq!(kept.path().read_dir().unwrap().count(), 0);
}

#[test]
fn planted_faults_are_found_and_kept() {
    for (target, what, allowed) in [
        ("planted-panic", "panic at fuzz/src/targets/planted.rs", "10000"),
        ("planted-thread", "panic at fuzz/src/targets/planted.rs", "10000"),
        ("planted-allocation", "more memory than is allowed", "10000"),
        ("planted-endless", "more than 500ms", "500"),
        ("planted-deep", "signal ", "10000"),
        ("planted-silence", "a refusal without a reason", "10000"),
    ] {
        let (output, kept) = fuzz(&[target], &["--executions", "3", "--allowed", allowed]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(what), "{}", said(&output));
        assert!(said(&output).contains("again: "), "{}", said(&output));
        let files: Vec<_> = kept.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        // The command that is named does it again.
        let mut again = Command::new(env!("CARGO_BIN_EXE_fuzz"));
        again.args(["again", target, "--allowed", allowed]).arg(&files[0]);
        assert!(!again.output().unwrap().status.success());
    }
}

#[test]
fn a_target_that_accepts_nothing_is_a_fault() {
    let (output, _) = fuzz(&["planted-refusal"], &["--executions", "3"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("a whole input is refused: never"), "{}", said(&output));
}

#[test]
fn the_same_seed_gives_the_same_inputs() {
    for target in targets::ALL.iter().take(3) {
        let inputs = |random| fuzz::Inputs::new(target, random);
        let (first, second, other) = (inputs(7), inputs(7), inputs(8));
        assert!((0..50).all(|number| first.get(number) == second.get(number)));
        assert!((0..50).any(|number| first.get(number) != other.get(number)));
    }
}

#[test]
fn no_such_target() {
    let (output, _) = fuzz(&["tarr"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("tarr is no target: there are tar, layers"), "{}", said(&output));
}
