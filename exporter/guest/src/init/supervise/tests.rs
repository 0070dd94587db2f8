use std::process::Command;
use std::sync::mpsc::channel;

use rustix::process::{WaitOptions, waitpid};

use super::*;
use crate::init::ending::NOT_FOUND;
use crate::init::standing::Standing;

/// One whose service stops by this signal, and where its events go.
fn supervisor(stop_signal: &str) -> (Supervisor, Desk) {
    let (events, inbox) = channel();
    let desk = Desk { log: Log::default(), board: Board::default(), events };
    let json = format!(r#"{{"Entrypoint":["/app"],"StopSignal":"{stop_signal}"}}"#);
    let service = serde_json::from_str(&json).unwrap();
    (Supervisor::new(service, OnCrash::PowerOff, false, desk.clone(), inbox), desk)
}

/// What becomes of a launcher that is this line of a shell, whose standard input is the pipe for its report.
fn attend(supervisor: &mut Supervisor, desk: &Desk, line: &str) -> Outcome {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]);
    let launcher = launcher::begin(command, false, desk).unwrap();
    let (pid, events) = (launcher.pid, desk.events.clone());
    thread::spawn(move || {
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        events.send(Event::Ended(pid, status)).unwrap();
    });
    supervisor.attend(launcher, &mut false)
}

fn standing(desk: &Desk) -> Standing {
    desk.board.read(0, Duration::ZERO).0
}

#[test]
fn a_launcher_that_never_says_a_word_keeps_no_stop_waiting() {
    let (mut supervisor, desk) = supervisor("SIGKILL");
    desk.events.send(Event::Asked(Action::Restart)).unwrap();
    let outcome = attend(&mut supervisor, &desk, "exec sleep 1000");
    assert!(matches!(outcome, Outcome::Asked(Action::Restart)));
    let Standing { pid, ending, starts, .. } = standing(&desk);
    assert_eq!((pid, ending, starts), (None, Some(Ending::Killed(9)), 0));
}

#[test]
fn a_program_runs_once_its_report_has_ended_without_a_word() {
    let (mut supervisor, desk) = supervisor("");
    let outcome = attend(&mut supervisor, &desk, "exec </dev/null; exit 3");
    assert!(matches!(outcome, Outcome::Ended(Ending::Code(3))));
    assert_eq!(standing(&desk).starts, 1);
}

#[test]
fn a_reason_is_told_whichever_comes_first_and_no_longer_than_it_may_be() {
    let failed = |line: &str| {
        let (mut supervisor, desk) = supervisor("");
        let outcome = attend(&mut supervisor, &desk, line);
        assert_eq!((standing(&desk).starts, standing(&desk).pid), (1, None), "{line}");
        match outcome {
            Outcome::Ended(Ending::Failed(code, reason)) => (code, reason),
            Outcome::Ended(ending) => panic!("{line}: {ending}"),
            _ => panic!("{line}"),
        }
    };
    assert_eq!(failed("printf no >&0; exit 127"), (NOT_FOUND, "no".to_owned()));
    assert_eq!(failed("printf no >&0; exec </dev/null; sleep 0.1; exit 127"), (NOT_FOUND, "no".to_owned()));
    let (code, reason) = failed("head -c 100000 /dev/zero >&0; exit 125");
    assert_eq!((code, reason.len()), (NOT_SET_UP, 4096));
}
