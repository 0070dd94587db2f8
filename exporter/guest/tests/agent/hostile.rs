//! Hosts that do not keep to the protocol.

use std::io::Write;
use std::os::unix::net::UnixStream;

use agent::CHANNELS;
use agent::channel::WINDOW;
use agent::frame::{Frame, Kind, Lost, PAYLOAD_MAX, Reader, ZEROS, hello};
use agent::message::{Done, Request};

use crate::support::{Agent, sh};

/// Frames without a client in between.
struct Raw {
    agent: Agent,
    reader: Reader<UnixStream>,
    hellos: u64,
}

impl Raw {
    fn start() -> Self {
        let agent = Agent::start();
        let reader = Reader::new(agent.stream.try_clone().unwrap());
        Self { agent, reader, hellos: 0 }
    }

    fn write(&self, bytes: &[u8]) {
        (&self.agent.stream).write_all(bytes).unwrap();
    }

    fn send(&self, kind: Kind, stream: u8, channel: u16, payload: &[u8]) {
        self.write(&Frame { kind, stream, channel, payload }.encode().unwrap());
    }

    fn open(&self, channel: u16, line: &str) {
        self.send(Kind::Open, 0, channel, &serde_json::to_vec(&Request::Exec(sh(line))).unwrap());
    }

    fn hello(&mut self) {
        self.hellos += 1;
        let nonce = self.hellos.to_le_bytes();
        self.write(&[&[0; ZEROS][..], &hello(nonce)].concat());
        self.reader.answer(nonce).unwrap();
    }

    /// What became of a channel.
    fn done(&mut self, channel: u16) -> Done {
        loop {
            let frame = self.reader.frame().unwrap();
            if (frame.kind, frame.channel) == (Kind::Done, channel) {
                return serde_json::from_slice(frame.payload).unwrap();
            }
        }
    }

    fn works(&mut self) {
        self.open(7, "exit 3");
        assert_eq!(self.done(7).status, 3);
    }
}

#[test]
fn what_is_no_part_of_the_protocol_ends_the_connection_and_only_that() {
    let header =
        |kind: u8, stream: u8, len: u32| [&[kind, stream, 1, 0][..], &len.to_le_bytes(), &[0x17]].concat();
    let frame =
        |kind, stream, channel, payload: &[u8]| Frame { kind, stream, channel, payload }.encode().unwrap();
    let sleep = frame(Kind::Open, 0, 1, &serde_json::to_vec(&Request::Exec(sh("exec sleep 1000"))).unwrap());
    let flood = frame(Kind::Data, 0, 1, &[0; PAYLOAD_MAX]).repeat(WINDOW / PAYLOAD_MAX + 4);
    let attacks: [(&str, Vec<u8>); 15] = [
        ("an unknown kind", header(99, 0, 0)),
        ("an unknown stream", header(3, 3, 0)),
        ("a length of 4 GiB", header(3, 0, u32::MAX)),
        ("one byte too much", header(3, 0, PAYLOAD_MAX as u32 + 1)),
        ("a last byte that is none", b"\x03\0\x01\0\0\0\0\0\x18".to_vec()),
        ("a flood without credit", [sleep.clone(), flood].concat()),
        ("the same channel twice", [sleep.clone(), sleep.clone()].concat()),
        ("the channel of the connection", frame(Kind::Open, 0, 0, b"{}")),
        ("an answer", frame(Kind::Done, 0, 1, b"{}")),
        ("a hello that is none", frame(Kind::Hello, 0, 0, b"hello")),
        ("output of the host's", [sleep.clone(), frame(Kind::Data, 1, 1, b"a")].concat()),
        ("credit beyond the window", [sleep.clone(), frame(Kind::Credit, 1, 1, &[0xff; 4])].concat()),
        ("credit that is no number", [sleep.clone(), frame(Kind::Credit, 1, 1, &[1])].concat()),
        (
            "data behind the end",
            [sleep.clone(), frame(Kind::End, 0, 1, b""), frame(Kind::Data, 0, 1, b"a")].concat(),
        ),
        ("a control that is none", [sleep, frame(Kind::Control, 0, 1, b"{\"eject\":1}")].concat()),
    ];
    let mut raw = Raw::start();
    for (name, bytes) in attacks {
        raw.hello();
        raw.write(&bytes);
        let said = loop {
            match raw.reader.frame() {
                Ok(_) => {}
                Err(Lost::NoFrame(said)) => break said,
                Err(Lost::Stream(error)) => panic!("{name}: {error}"),
            }
        };
        assert_eq!(said, "there is no such frame", "{name}: the agent hangs up");
        raw.hello();
        raw.works();
    }
    assert!(raw.agent.memory() < 40 << 10, "{} KiB", raw.agent.memory());
}

#[test]
fn what_is_not_understood_is_said_and_the_connection_goes_on() {
    let mut raw = Raw::start();
    raw.hello();
    for request in [&b"{}"[..], b"", b"{\"exec\":{\"argv\":[1]}}", b"{\"reboot\":{}}", &[b'['; PAYLOAD_MAX]] {
        raw.send(Kind::Open, 0, 5, request);
        let done = raw.done(5);
        assert_eq!(done.status, 125);
        assert!(done.error.unwrap().starts_with("is not understood: "));
    }
    // Channels that are not open: something may have been on the way.
    for kind in [Kind::Data, Kind::End, Kind::Credit, Kind::Control, Kind::Close] {
        raw.send(kind, 0, 4242, &[0xff; 100]);
    }
    raw.works();
}

#[test]
fn no_more_is_begun_than_there_is_room_for() {
    let mut raw = Raw::start();
    raw.hello();
    for channel in 1..=CHANNELS as u16 {
        raw.open(channel, "exec sleep 1000");
    }
    for channel in 100..200 {
        raw.open(channel, "exec sleep 1000");
        assert!(raw.done(channel).error.unwrap().contains("channels are open"));
    }
    raw.send(Kind::Close, 0, 1, b"");
    assert_eq!(raw.done(1).signal, Some(1));
    raw.hello();
    // Those of the connection before are on their way out.
    let mut tries = 0;
    loop {
        raw.open(9, "exit 3");
        tries += 1;
        match raw.done(9).status {
            3 => break,
            _ => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
        assert!(tries < 500);
    }
    assert!(raw.agent.memory() < 40 << 10, "{} KiB", raw.agent.memory());
}

#[test]
fn garbage_in_front_of_a_hello_is_skipped() {
    let mut raw = Raw::start();
    let noise: Vec<u8> = (0..1_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    raw.write(&noise);
    raw.write(&hello(*b"anybody?")[..20]);
    raw.hello();
    raw.works();
    // And between two of them.
    raw.write(&noise);
    raw.hello();
    raw.works();
}
