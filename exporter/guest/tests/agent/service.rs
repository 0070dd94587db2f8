//! The service, of which this test tells as process 1 does.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;

use agent::message::{Done, Request, State, Status};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::support::{Agent, run, sh};

fn tell(link: &OwnedFd, message: &[u8]) {
    assert_eq!(send(link, message, SendFlags::empty()), Ok(message.len()));
}

fn asked(link: &OwnedFd) -> Vec<u8> {
    let mut message = [0; 64];
    let (len, _) = recv(link, &mut message[..], RecvFlags::empty()).unwrap();
    message[..len].to_vec()
}

fn output(text: &str) -> Vec<u8> {
    [&b"o\0\0\0\0\0\0\0\0"[..], text.as_bytes()].concat()
}

#[test]
fn its_state_is_told_and_every_change() {
    let agent = Agent::start();
    let host = agent.host();
    tell(&agent.link, br#"s{"state":"running","starts":1,"health":"starting"}"#);
    let status = host.status().unwrap();
    assert_eq!((status.state, status.starts), (State::Running, 1));
    let session = host.open(&Request::Status { follow: true }).unwrap();
    let mut lines = BufReader::new(session.output()).lines().map(Result::unwrap);
    assert_eq!(serde_json::from_str::<Status>(&lines.next().unwrap()).unwrap(), status);
    tell(&agent.link, br#"s{"state":"ended","starts":1,"status":137,"signal":9}"#);
    assert_eq!(lines.next().unwrap(), r#"{"state":"ended","starts":1,"status":137,"signal":9}"#);
    session.close();
    assert_eq!(session.wait(), Done::default());
}

#[test]
fn its_output_is_told_from_before_and_as_it_comes() {
    let agent = Agent::start();
    let host = agent.host();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(asked(&agent.link), b"o");
            tell(&agent.link, &output("one\n"));
            tell(&agent.link, &output("two\n"));
            tell(&agent.link, b"c");
        });
        let session = host.open(&Request::Logs { follow: false }).unwrap();
        let lines: Vec<_> = BufReader::new(session.output()).lines().map(Result::unwrap).collect();
        assert_eq!((lines, session.wait()), (vec!["one".to_owned(), "two".to_owned()], Done::default()));
    });
    let session = host.open(&Request::Logs { follow: true }).unwrap();
    let mut lines = BufReader::new(session.output()).lines().map(Result::unwrap);
    assert_eq!(lines.by_ref().take(2).collect::<Vec<_>>(), ["one", "two"]);
    tell(&agent.link, &output("three\n"));
    assert_eq!(lines.next().unwrap(), "three");
    // Some of it is gone before it can be told, and the host hears how much.
    tell(&agent.link, b"o\x05\0\0\0\0\0\0\0four\n");
    assert_eq!(lines.next().unwrap(), "four");
    session.close();
    assert_eq!(session.wait().lost, 5);
}

#[test]
fn stop_is_asked_of_process_1() {
    let agent = Agent::start();
    agent.host().stop().unwrap();
    assert_eq!(asked(&agent.link), b"x");
}

#[test]
fn without_process_1_it_is_an_error_and_all_else_goes_on() {
    let mut agent = Agent::start();
    let (other, _) = std::os::unix::net::UnixStream::pair().unwrap();
    agent.link = other.into();
    let host = agent.host();
    assert!(host.stop().unwrap_err().contains("process 1"));
    assert!(host.open(&Request::Logs { follow: false }).unwrap().wait().error.is_some());
    assert_eq!(run(&host, sh("echo on"), b"").1, "on\n");
}
