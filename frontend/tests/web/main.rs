//! The web server of other tests does what they believe of it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod web;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use web::Server;

const LEN: usize = 100_000;

/// Ask for a path, with a line of a head; the head of the answer, and as much of its body as comes.
fn ask(server: &Server, path: &str, head: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n{head}\r\n").unwrap();
    // Nothing else will be asked.
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap(), body)
}

#[test]
fn a_server_serves_ranges_and_has_the_faults_that_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..LEN).map(|number| (number % 251) as u8).collect();
    std::fs::create_dir(folder.path().join("2")).unwrap();
    for name in ["k.root.zst", "manifest.json"] {
        std::fs::write(folder.path().join("2").join(name), &bytes).unwrap();
    }
    let server = Server::start(folder.path()).unwrap();
    for (path, range, status, body) in [
        ("/2/k.root.zst", "", " 200 ", &bytes[..]),
        ("/2/k.root.zst", "Range: bytes=10-19\r\n", " 206 ", &bytes[10..20]),
        ("/2/k.root.zst", "range: bytes=99990-\r\n", " 206 ", &bytes[99_990..]),
        ("/2/k.root.zst", "Range: bytes=100000-\r\n", " 416 ", &[]),
        ("/2/none", "", " 404 ", &[]),
        ("/2/../2/k.root.zst", "", " 404 ", &[]),
        ("/no-ranges/2/k.root.zst", "Range: bytes=10-19\r\n", " 200 ", &bytes[..]),
        ("/cuts/2/k.root.zst", "Range: bytes=10-\r\n", " 206 ", &bytes[10..70_010]),
        ("/cuts/2/manifest.json", "", " 200 ", &bytes[..]),
        ("/ends/2/k.root.zst", "Range: bytes=900-\r\n", " 206 ", &bytes[900..1000]),
        ("/ends/2/k.root.zst", "Range: bytes=2000-\r\n", " 206 ", &[]),
        ("/stalls/2/k.root.zst", "", " 200 ", &[]),
        ("/redirects/2/manifest.json", "", " 302 ", &[]),
    ] {
        let (head, got) = ask(&server, path, range);
        assert!(head.contains(status) && got == body, "{path} {range}: {head} and {} bytes", got.len());
    }
    let (head, _) = ask(&server, "/lies/2/k.root.zst", "Range: bytes=10-19\r\n");
    assert!(head.contains("Content-Range: bytes 11-19/100000"), "{head}");
    let (_, dripped) = ask(&server, "/drips/2/k.root.zst", "Range: bytes=0-1\r\n");
    assert_eq!(dripped, bytes[..2]);

    assert!(server.asked().len() == 15 && server.asked().is_empty() && server.sent() > 0);
    assert_eq!(server.sent(), 0);
    server.tell("reboot\n");
    assert_eq!(ask(&server, "/steps", "").1, b"reboot\n");
}
