//! Ends that nobody has asked for, or that are not heeded.

use std::process::Stdio;

use crate::lab::{Held, Lab, kill, until};

/// A machine is not there without its keeper, whatever its files say.
#[test]
fn a_keeper_that_is_killed_takes_its_machine_along() {
    let lab = Lab::new();
    for name in ["a", "b", "c"] {
        lab.start(name);
    }
    let keeper = lab.keeper("b");
    let before = lab.processes().len();
    kill(keeper);
    until("the end of the machine, and of no other", || lab.processes().len() == before - 2);
    // The kernel lets go of its lock when its last thread has ended.
    until("the end of the keeper", || lab.ps("b")["state"] == "dead");
    assert_eq!(lab.ps("b").get("status"), None);
    assert_eq!(lab.done(&["ps", "-q"]), "a\nc\n");
    assert_eq!(lab.done(&["exec", "a", "echo", "there"]), "there\n");
    // What is left of it is no hindrance.
    lab.done(&["start", "b"]);
    assert_eq!(lab.done(&["exec", "b", "echo", "again"]), "again\n");
    lab.done(&["rm", "-f", "a", "b", "c"]);
    until("the end of all processes", || lab.processes().is_empty());
    assert_eq!(lab.done(&["ps", "-aq"]), "");
}

#[test]
fn a_machine_in_the_foreground_ends_with_its_command() {
    let lab = Lab::new();
    let mut command = lab.command(&["run", "--name", "web", "vm"]);
    let mut run =
        Held(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("the machine", || lab.machine("web").exists() && lab.ps("web")["state"] == "running");
    run.0.kill().unwrap();
    run.0.wait().unwrap();
    until("the end of all processes", || lab.processes().is_empty());
    until("the end of the keeper", || lab.ps("web")["state"] == "dead");
}

/// As its kernel crashes, or the host's memory is used up.
#[test]
fn a_qemu_that_is_killed_is_seen_by_its_keeper() {
    let lab = Lab::new();
    lab.start("web");
    let keeper = lab.keeper("web");
    let qemu = lab.processes().into_iter().find(|pid| *pid != keeper).unwrap();
    kill(qemu);
    until("the end of all processes", || lab.processes().is_empty());
    let row = lab.ps("web");
    assert_eq!((&row["state"], &row["status"]), (&"exited".into(), &137.into()), "{row}");
}

#[test]
fn a_machine_without_an_agent_has_its_power_button_pressed() {
    let lab = Lab::new();
    let mut command = lab.command(&["run", "-d", "--name", "web", "vm"]);
    assert!(command.env("MACHINE", "agentless").status().unwrap().success());
    lab.done(&["stop", "web"]);
    assert_eq!(lab.ps("web")["status"], 143);
}

#[test]
fn one_that_does_not_listen_is_killed_when_its_time_is_over() {
    let lab = Lab::new();
    for time in ["1", "0"] {
        let mut command = lab.command(&["run", "-d", "--name", "web", "vm"]);
        assert!(command.env("MACHINE", "agentless deaf").status().unwrap().success());
        lab.done(&["stop", "-t", time, "web"]);
        assert_eq!(lab.ps("web")["status"], 137);
        lab.done(&["rm", "web"]);
    }
}

/// The record of a machine is not believed, and its folder can go all the same.
#[test]
fn a_record_that_is_damaged_is_named() {
    let lab = Lab::new();
    lab.start("web");
    lab.done(&["stop", "web"]);
    std::fs::write(lab.machine("web").join("machine.json"), "{\"version\": 7}").unwrap();
    let error = lab.refused(&["start", "web"]);
    assert!(error.contains("machine.json: is of version 7, and this vmimage knows 1\nhint: "), "{error}");
    assert_eq!(lab.ps("web")["state"], "dead");
    lab.done(&["rm", "web"]);
    assert!(!lab.machine("web").exists());
}
