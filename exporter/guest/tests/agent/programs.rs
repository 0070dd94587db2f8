//! Programs: pipes, terminals, users, how they end.

use std::io::{self, Read, Write};

use agent::client::Session;
use agent::message::{Done, Exec, Request, Size};

use crate::support::{Agent, run, sh};

fn status(status: i32) -> Done {
    Done { status, ..Done::default() }
}

#[test]
fn a_program_gets_its_input_and_the_host_its_status() {
    let agent = Agent::start();
    let host = agent.host();
    let line = r#"read -r line; echo "$line $A $(id -u):$(id -g) $(pwd)"; echo bad >&2; exit 7"#;
    let exec = Exec {
        env: vec!["A=a 'b\"".to_owned()],
        user: Some("65534:12".to_owned()),
        workdir: Some("/tmp".to_owned()),
        ..sh(line)
    };
    let (done, output, errors) = run(&host, exec, b"typed\n");
    assert_eq!((done, &*output, &*errors), (status(7), "typed a 'b\" 65534:12 /tmp\n", "bad\n"));
    // Nothing of the agent's own is passed on.
    let (done, output, _) =
        run(&host, sh("ls -l /proc/self/fd | grep socket:; echo ${VMIMAGE_EXEC-none}"), b"");
    assert_eq!((done, &*output), (status(0), "none\n"));
}

#[test]
fn ends_are_told_in_dockers_numbers() {
    let agent = Agent::start();
    let host = agent.host();
    let bare = |program: &str| Exec { argv: vec![program.to_owned()], ..Exec::default() };
    let (done, _, errors) = run(&host, bare("/no/such"), b"");
    assert_eq!((done, errors.contains("/no/such: no such program")), (status(127), true), "{errors}");
    let (done, _, errors) = run(&host, bare("/etc/passwd"), b"");
    assert_eq!((done, errors.contains("cannot be run")), (status(126), true), "{errors}");
    let nobody = Exec { user: Some("no-such-user".to_owned()), ..sh("true") };
    let (done, _, errors) = run(&host, nobody, b"");
    assert_eq!((done, errors.contains("no-such-user: not in /etc/passwd")), (status(125), true), "{errors}");
    let killed = Done { status: 137, signal: Some(9), ..Done::default() };
    assert_eq!(run(&host, sh("kill -9 $$"), b"").0, killed);
    let session = host.open(&Request::Exec(sh("exec sleep 1000"))).unwrap();
    session.signal(15).unwrap();
    assert_eq!(session.wait(), Done { status: 143, signal: Some(15), ..Done::default() });
    // What it leaves behind keeps nobody waiting, though it has the output open.
    let (done, output, _) = run(&host, sh("sleep 30 & echo $!"), b"");
    assert_eq!(done, status(0));
    run(&host, sh(&format!("kill {output}")), b"");
}

/// Bytes that are told from each other by their place.
struct Pattern {
    at: u64,
    len: u64,
}

fn byte(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min((self.len - self.at) as usize);
        buffer[..len].iter_mut().zip(self.at..).for_each(|(to, at)| *to = byte(at));
        self.at += len as u64;
        Ok(len)
    }
}

impl Write for Pattern {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(bytes.iter().zip(self.at..).all(|(is, at)| *is == byte(at)), "behind byte {}", self.at);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_hundred_megabytes_go_through_a_pipe_both_ways() {
    const LEN: u64 = 100_000_000;
    let agent = Agent::start();
    let host = agent.host();
    let mut output = Pattern { at: 0, len: LEN };
    let cat = Exec { argv: vec!["cat".to_owned()], ..Exec::default() };
    let done = host.run(cat, Pattern { at: 0, len: LEN }, &mut output, io::sink()).unwrap();
    assert_eq!((done, output.at), (status(0), LEN));
    assert!(agent.memory() < 40 << 10, "{} KiB", agent.memory());
}

#[test]
fn no_channel_keeps_another_waiting() {
    let agent = Agent::start();
    let host = agent.host();
    let unread = host.open(&Request::Exec(sh("cat /dev/zero"))).unwrap();
    let deaf = host.open(&Request::Exec(sh("exec sleep 1000"))).unwrap();
    std::thread::scope(|scope| {
        let mut input = deaf.input();
        let writer = scope.spawn(move || io::copy(&mut io::repeat(0), &mut input));
        for _ in 0..3 {
            assert_eq!(run(&host, sh("echo there"), b"").1, "there\n");
        }
        deaf.close();
        assert!(writer.join().unwrap().is_err(), "what nobody reads any more cannot be written");
    });
    unread.close();
    assert_eq!((unread.wait().signal.is_some(), deaf.wait().signal), (true, Some(1)));
}

/// What comes up to these words.
fn read_up_to(session: &Session, words: &str) -> String {
    let (mut text, mut output) = (String::new(), session.output());
    while !text.contains(words) {
        let mut bytes = [0; 256];
        let len = output.read(&mut bytes).unwrap();
        assert!(len > 0, "{text}");
        text += &String::from_utf8_lossy(&bytes[..len]);
    }
    text
}

#[test]
fn a_terminal_is_one() {
    let agent = Agent::start();
    let host = agent.host();
    let tty = Some(Size { rows: 40, columns: 100 });
    let line = "test -t 0 && test -t 2 && stty size; echo $TERM; read -r a; stty size; echo got $a";
    let session = host.open(&Request::Exec(Exec { tty, ..sh(line) })).unwrap();
    assert!(read_up_to(&session, "xterm").contains("40 100"));
    session.resize(Size { rows: 50, columns: 120 }).unwrap();
    session.input().write_all(b"typed\n").unwrap();
    assert!(read_up_to(&session, "got typed").contains("50 120"));
    assert_eq!(session.wait(), status(0));
}

#[test]
fn keys_of_a_terminal_do_what_they_do() {
    let agent = Agent::start();
    let host = agent.host();
    let tty = Some(Size { rows: 24, columns: 80 });
    let session = host.open(&Request::Exec(Exec { tty, ..sh("echo ready; exec cat") })).unwrap();
    read_up_to(&session, "ready");
    let mut input = session.input();
    input.write_all(b"\x03").unwrap();
    assert_eq!(session.wait(), Done { status: 130, signal: Some(2), ..Done::default() }, "Ctrl-C");
    let (done, output, _) = run(&host, Exec { tty, ..sh("exec cat") }, b"line\n");
    assert_eq!(done, status(0), "the end of the input is Ctrl-D");
    assert!(output.contains("line\r\nline\r\n"), "{output:?}");
}
