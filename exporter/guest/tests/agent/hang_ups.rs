//! Hosts that hang up, at any point, and those that come after them.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use agent::frame::{Frame, Kind, hello};
use agent::message::Request;

use crate::support::{Agent, run, sh, until};

fn frame(kind: Kind, stream: u8, payload: &[u8]) -> Vec<u8> {
    Frame { kind, stream, channel: 1, payload }.encode().unwrap()
}

/// All that a host says that has a line of shell run.
fn conversation(line: &str) -> Vec<u8> {
    let request = serde_json::to_vec(&Request::Exec(sh(line))).unwrap();
    [&hello(*b"earlier!")[..], &frame(Kind::Open, 0, &request), &frame(Kind::Data, 0, &[b'a'; 999])].concat()
}

#[test]
fn whoever_comes_next_finds_nothing_of_the_one_before() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("input");
    let said = conversation(&format!("exec cat >{}", file.display()));
    for cut in (0..said.len()).step_by(37).chain([said.len() - 1]) {
        let mut agent = Agent::start();
        (&agent.stream).write_all(&said[..cut]).unwrap();
        let host = agent.host();
        assert_eq!(run(&host, sh("echo new"), b"").1, "new\n", "after {cut} bytes");
        drop(host);
        agent.end();
        let input = fs::read(&file).unwrap_or_default();
        assert!(input.is_empty(), "after {cut} bytes, what was cut off is not believed");
    }
}

#[test]
fn what_it_has_begun_ends_even_if_it_would_not() {
    let scratch = tempfile::tempdir().unwrap();
    let marks = ["stubborn", "polite", "child"].map(|name| scratch.path().join(name));
    let [stubborn, polite, child] = &marks;
    let lines = [
        format!("trap '' HUP; echo $$ >{}; while :; do sleep 1; done", stubborn.display()),
        format!("echo $$ >{}; exec sleep 1000", polite.display()),
        format!("sh -c 'echo $$ >{}; exec sleep 1000'; true", child.display()),
    ];
    let opened = lines.iter().zip(1..).map(|(line, channel)| {
        let request = serde_json::to_vec(&Request::Exec(sh(line))).unwrap();
        Frame { kind: Kind::Open, stream: 0, channel, payload: &request }.encode().unwrap()
    });
    let said = [hello(*b"earlier!").to_vec(), opened.collect::<Vec<_>>().concat()].concat();
    for ends_with_the_stream in [false, true] {
        let mut agent = Agent::start();
        (&agent.stream).write_all(&said).unwrap();
        let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
        until("the start", || marks.iter().all(|mark| number(mark).is_some()));
        let processes =
            marks.each_ref().map(|mark| Path::new("/proc").join(number(mark).unwrap().to_string()));
        if ends_with_the_stream {
            agent.end();
        } else {
            // In the middle of a frame, and another host comes over the same stream.
            (&agent.stream).write_all(&frame(Kind::Data, 0, &[0; 500])[..100]).unwrap();
            let next = agent.host();
            assert_eq!(run(&next, sh("echo new"), b"").1, "new\n");
        }
        until("the end of all", || processes.iter().all(|process| !process.exists()));
        marks.iter().for_each(|mark| fs::remove_file(mark).unwrap());
    }
}

#[test]
fn a_host_is_told_that_the_machine_has_gone() {
    let agent = Agent::start();
    let host = agent.host();
    let session = host.open(&Request::Exec(sh("echo ready; exec sleep 1000"))).unwrap();
    let mut ready = [0; 6];
    session.output().read_exact(&mut ready).unwrap();
    drop(agent);
    assert_eq!(session.wait().status, 125);
    assert!(host.status().is_err() && host.stop().is_err());
}

#[test]
fn a_copy_that_was_cut_off_leaves_no_whole_file() {
    let scratch = tempfile::tempdir().unwrap();
    let request = serde_json::to_vec(&Request::CopyIn { to: scratch.path().into() }).unwrap();
    let large = tempfile::NamedTempFile::new().unwrap();
    fs::write(large.path(), vec![b'x'; 50_000]).unwrap();
    let mut archive = Vec::new();
    agent::tree::pack(large.path(), Some(&"large".into()), &mut archive).unwrap();
    let said = [
        &hello(*b"earlier!")[..],
        &frame(Kind::Open, 0, &request),
        &frame(Kind::Data, 0, &archive[..30_000]),
    ];
    let mut agent = Agent::start();
    (&agent.stream).write_all(&said.concat()).unwrap();
    let path = scratch.path().join("large");
    until("the file", || path.exists());
    agent.end();
    assert!(fs::metadata(&path).unwrap().len() < 50_000);
}
