//! A machine's life: made, run, stopped, started again and removed, and what is done in it meanwhile.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::lab::{Held, Lab, fed, until};

#[test]
fn a_machine_stays_until_it_is_removed() {
    let lab = Lab::new();
    assert_eq!(lab.done(&["ps", "-a"]), "NAME   SOURCE   STATUS   PORTS\n");
    assert_eq!(lab.done(&["run", "-d", "--name", "web", "vm", "-p", "8080:80"]), "web\n");
    let mode = fs::metadata(lab.machine("web")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let row = lab.ps("web");
    assert_eq!((&row["state"], &row["kind"]), (&"running".into(), &"microvm".into()));
    assert_eq!(row["ports"], serde_json::json!(["127.0.0.1:8080->80/tcp"]));
    assert_eq!(row["source"], lab.path("vm").canonicalize().unwrap().to_str().unwrap());
    assert_eq!(lab.done(&["ps", "-q"]), "web\n");
    assert!(lab.done(&["ps"]).contains("   Up "));
    until("the log", || lab.done(&["logs", "web"]) == "the machine's words\r\n");
    assert!(lab.refused(&["start", "web"]).contains("web: is running\nhint: "));
    assert!(lab.refused(&["rm", "web"]).contains("web: is running\nhint: "));
    assert_eq!(lab.done(&["stop", "web"]), "web\n");
    let row = lab.ps("web");
    assert_eq!((&row["state"], &row["status"]), (&"exited".into(), &0.into()), "{row}");
    assert_eq!(lab.done(&["ps", "-q"]), "");
    assert_eq!(lab.done(&["stop", "web"]), "web\n", "once more is no error");
    assert_eq!(lab.done(&["start", "web"]), "web\n");
    assert_eq!(lab.ps("web")["state"], "running");
    until("the second start's words", || {
        lab.done(&["logs", "web"]).matches("the machine's words").count() == 2
    });
    assert_eq!(lab.done(&["rm", "-f", "web"]), "web\n");
    assert!(!lab.machine("web").exists());
    until("the end of all processes", || lab.processes().is_empty());
}

#[test]
fn programs_run_in_it_with_dockers_exit_codes() {
    let lab = Lab::new();
    lab.start("web");
    assert_eq!(lab.done(&["exec", "web", "echo", "-n", "two  words"]), "two  words");
    let status = |words: &[&str]| lab.command(words).output().unwrap().status.code();
    assert_eq!(status(&["exec", "web", "sh", "-c", "exit 42"]), Some(42));
    let missing = lab.command(&["exec", "web", "no-such-program"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    assert_eq!(String::from_utf8(missing.stderr).unwrap(), "error: no-such-program: is not there\n");
    assert_eq!(lab.done(&["exec", "-e", "A=b c", "-w", "/", "web", "sh", "-c", "echo $A"]), "b c\n");
    let echoed = fed(&mut lab.command(&["exec", "-i", "web", "cat"]), "typed\n");
    assert_eq!((echoed.status.code(), echoed.stdout), (Some(0), b"typed\n".to_vec()));
    // Without -i there is no input.
    let none = fed(&mut lab.command(&["exec", "web", "cat"]), "typed\n");
    assert_eq!((none.status.code(), none.stdout), (Some(0), Vec::new()));
    let errors = lab.command(&["exec", "web", "sh", "-c", "echo out; echo err >&2"]).output().unwrap();
    assert_eq!((errors.stdout, errors.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
    lab.done(&["stop", "web"]);
    assert!(
        lab.refused(&["exec", "web", "ls"])
            .contains("web: is not running\nhint: start it first: vmimage start web")
    );
}

/// The port of its agent takes one connection; the keeper shares it.
#[test]
fn many_are_served_at_once_and_nobody_ends_what_another_has_begun() {
    let lab = Lab::new();
    lab.start("web");
    let mut command = lab.command(&["exec", "-i", "web", "cat"]);
    let mut long = Held(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut input = long.0.stdin.take().unwrap();
    let mut output = BufReader::new(long.0.stdout.take().unwrap());
    let mut echoed = |line: &str| {
        input.write_all(line.as_bytes()).unwrap();
        let mut back = String::new();
        output.read_line(&mut back).unwrap();
        back
    };
    assert_eq!(echoed("before\n"), "before\n");
    let others: Vec<_> = (0..8)
        .map(|number| {
            lab.command(&["exec", "web", "echo", &number.to_string()]).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (number, other) in others.into_iter().enumerate() {
        assert_eq!(other.wait_with_output().unwrap().stdout, format!("{number}\n").into_bytes());
    }
    // One that is killed in the midst of it takes nobody along.
    let mut killed = lab.command(&["exec", "-i", "web", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(echoed("after\n"), "after\n");
    drop(input);
    assert!(long.0.wait().unwrap().success());
}

#[test]
fn logs_are_followed_to_the_end() {
    let lab = Lab::new();
    lab.start("web");
    let mut follower = Held(lab.command(&["logs", "-f", "web"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(follower.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "the machine's words");
    lab.done(&["stop", "web"]);
    assert_eq!(lines.next().unwrap(), "ends");
    assert_eq!(lines.next(), None);
    assert!(follower.0.wait().unwrap().success());
}

/// The console is this terminal, and the exit code the program's.
#[test]
fn one_in_the_foreground_stays_as_well() {
    let lab = Lab::new();
    let ended = fed(&mut lab.command(&["run", "--name", "web", "vm"]), "typed\nexit 7\n");
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "the machine's words\r\nTYPED\nends\r\n");
    let row = lab.ps("web");
    assert_eq!((&row["state"], &row["status"]), (&"exited".into(), &7.into()));
    assert!(lab.done(&["ps", "-a"]).contains("Exited (7) "));
    lab.done(&["start", "web"]);
    assert_eq!(lab.ps("web")["state"], "running");
}

#[test]
fn what_cannot_be_is_one_line_and_nothing_is_left() {
    let lab = Lab::new();
    lab.start("web");
    let taken = lab.refused(&["run", "-d", "--name", "web", "vm"]);
    assert!(taken.contains("web: there is a machine of that name\nhint: "), "{taken}");
    let port = lab.refused(&["run", "-d", "--name", "port", "vm", "-p", "1:80"]);
    assert!(
        port.contains("port: QEMU: ") && port.contains("host forwarding rule") && port.contains("hint: "),
        "{port}"
    );
    for words in [
        &["stop", "nobody"][..],
        &["start", "nobody"],
        &["rm", "nobody"],
        &["logs", "nobody"],
        &["exec", "nobody", "ls"],
    ] {
        let unknown = lab.refused(words);
        assert!(unknown.contains("nobody: there is no machine of that name\nhint: "), "{unknown}");
    }
    fs::remove_file(lab.path("bin/qemu-system-x86_64")).unwrap();
    let path = lab.path("bin");
    let mut command = lab.command(&["run", "-d", "--name", "other", "vm"]);
    let output = command.env("PATH", path).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && told.contains("qemu-system-x86_64: is not installed"),
        "{told}"
    );
    assert_eq!(lab.done(&["ps", "-aq"]), "web\n");
}

/// A dry run makes nothing.
#[test]
fn a_dry_run_shows_qemus_command_alone() {
    let lab = Lab::new();
    let shown = lab.done(&["run", "-d", "--name", "web", "vm", "--dry-run"]);
    assert!(
        shown.lines().count() == 1 && shown.contains(" -qmp unix:qmp.sock,server=on,wait=off"),
        "{shown}"
    );
    assert_eq!(lab.done(&["ps", "-aq"]), "");
    assert!(!lab.machine("web").exists());
}
