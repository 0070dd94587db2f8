//! The server and clients of every kind: those that keep to the protocol, and those that do not.

mod peer;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::U32;

use super::format::{
    Chunk, DF, Errno, Greeting, PAYLOAD_MAX, REQ_ONE, Request, command, flag, info, option, reply,
};
use super::*;
use crate::error::Kind;
use crate::testing::Scratch;
use peer::{Peer, answers, ask, go, greet, queries, receive};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 5 * MIB + 100;

/// Data, a hole, data that cannot be read, and data.
struct Fixture;

const HOLE: std::ops::Range<u64> = MIB..3 * MIB;
const BROKEN: std::ops::Range<u64> = 4 * MIB..4 * MIB + 10;

fn byte(at: u64) -> u8 {
    if HOLE.contains(&at) { 0 } else { (at % 251) as u8 + 1 }
}

fn bytes(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(byte).collect()
}

impl ReadAt for Fixture {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        crate::read_at::check_range(self, offset, out.len())?;
        let end = offset + out.len() as u64;
        if offset < BROKEN.end && BROKEN.start < end {
            return Err(Error::new(Kind::Input, "/secret/path", "changed"));
        }
        out.iter_mut().zip(offset..).for_each(|(out, at)| *out = byte(at));
        Ok(())
    }

    fn data_from(&self, offset: u64) -> u64 {
        if HOLE.contains(&offset) { HOLE.end } else { offset.min(SIZE) }
    }

    fn hole_from(&self, offset: u64, until: u64) -> u64 {
        if offset < HOLE.end { HOLE.start.max(offset).min(until) } else { until }
    }
}

/// A server while a test runs, and what it has told.
struct Served {
    scratch: Scratch,
    told: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

impl Served {
    fn new() -> Self {
        let scratch = Scratch::new();
        let told = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let listener = Listener::bind(&Address::Unix(scratch.file("socket"))).unwrap();
        let (says, stops) = (Arc::clone(&told), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let tell = |who: &str, event: Event<'_>| {
                let event = match event {
                    Event::Gone { sent, why } => {
                        format!("gone {sent} {}", why.map_or("by itself".into(), ToString::to_string))
                    }
                    Event::Failed(error) => format!("failed {error}"),
                    other => format!("{other:?}"),
                };
                says.lock().unwrap().push(format!("{who}: {event}"));
            };
            Server { view: Arc::new(Fixture), description: "an image".into(), tell: &tell }
                .serve(&listener, &stops)
        });
        Self { scratch, told, stop, thread: Some(thread) }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.scratch.file("socket")).unwrap()
    }

    /// Waits until something has been told.
    fn waits_for(&self, what: &str) {
        let start = Instant::now();
        while !self.told.lock().unwrap().iter().any(|line| line.contains(what)) {
            assert!(start.elapsed() < Duration::from_secs(60), "{what}: {:?}", self.told);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// That it still answers.
    fn lives(&self) {
        let mut client = Peer::ready(self.connect(), true);
        assert_eq!(client.read(0, 100).unwrap(), bytes(0..100));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let served = self.thread.take().unwrap().join();
        if !thread::panicking() {
            served.unwrap().unwrap();
            assert!(!self.scratch.file("socket").exists(), "nothing is left");
        }
    }
}

#[test]
fn clients_read_what_there_is_by_both_kinds_of_answers() {
    let served = Served::new();
    for is_structured in [false, true] {
        let mut client = Peer::ready(served.connect(), is_structured);
        for range in
            [0..1, 7..100_000, MIB - 5..MIB + 5, 0..4 * MIB, 3 * MIB - 1..3 * MIB + 1, SIZE - 100..SIZE]
        {
            let read = client.read(range.start, (range.end - range.start) as u32).unwrap();
            assert!(read == bytes(range.clone()), "{range:?}");
        }
        for (offset, length) in
            [(SIZE, 1), (SIZE - 1, 2), (u64::MAX, 1), (u64::MAX - 5, 100), (0, 0), (0, PAYLOAD_MAX + 1)]
        {
            assert_eq!(client.read(offset, length), Err(Errno::Inval as u32), "{offset} {length}");
        }
        client.send(command::DISC, 0, 0, 0);
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    }
    served.waits_for("client 2: gone");
}

#[test]
fn holes_come_by_their_length_and_are_told_of() {
    let served = Served::new();
    let mut client = Peer::ready(served.connect(), true);
    let (read, kinds) = client.read_as(0, 0, 4 * MIB as u32).unwrap();
    assert!(read == bytes(0..4 * MIB));
    assert_eq!(kinds, [Chunk::OFFSET_DATA, Chunk::OFFSET_HOLE, Chunk::OFFSET_DATA]);
    let (read, kinds) = client.read_as(DF, MIB - 5, 10).unwrap();
    assert_eq!((read, kinds), (bytes(MIB - 5..MIB + 5), vec![Chunk::OFFSET_DATA]));
    assert_eq!(client.read_as(DF, 0, MIB as u32 + 1).unwrap_err(), Errno::Overflow as u32);
    let expected = [(MIB as u32, 0), (2 * MIB as u32, 3), (2 * MIB as u32 + 100, 0)];
    assert_eq!(client.status(0, 0, SIZE as u32), expected);
    assert_eq!(client.status(REQ_ONE, 5, 100), [(100, 0)]);
    assert_eq!(client.status(REQ_ONE, 2 * MIB, SIZE as u32 - 2 * MIB as u32), [(MIB as u32, 3)]);
    client.send(command::BLOCK_STATUS, 0, SIZE - 1, 2);
    assert_eq!(client.chunk().1, Chunk::ERROR);
}

#[test]
fn what_cannot_be_read_is_an_error_and_the_next_request_is_not() {
    let served = Served::new();
    let mut client = Peer::ready(served.connect(), true);
    assert_eq!(client.read(3 * MIB, 2 * MIB as u32), Err(Errno::Io as u32));
    assert_eq!(client.read(0, 10).unwrap(), bytes(0..10));
    let mut simple = Peer::ready(served.connect(), false);
    assert_eq!(simple.read(4 * MIB, 100), Err(Errno::Io as u32));
    assert_eq!(simple.read(0, 10).unwrap(), bytes(0..10));
    // Its head has said that all is well by then: what follows is the end, and no byte of another place.
    simple.send(command::READ, 0, 2 * MIB, 3 * MIB as u32);
    assert_eq!(simple.simple(), 0);
    let mut got = Vec::new();
    simple.stream.read_to_end(&mut got).unwrap();
    assert!(got == bytes(2 * MIB..4 * MIB), "{}", got.len());
    served.waits_for("client 1: failed /secret/path: changed");
    served.waits_for("client 2: gone 2097162 was left in the middle of an answer");
    served.lives();
}

#[test]
fn nobody_writes() {
    let served = Served::new();
    for is_structured in [false, true] {
        let mut client = Peer::ready(served.connect(), is_structured);
        client.send(command::WRITE, 0, 0, 100_000);
        client.stream.write_all(&[7; 100_000]).unwrap();
        assert_eq!(client.simple(), Errno::Perm as u32);
        for command in [command::TRIM, command::WRITE_ZEROES] {
            client.send(command, 0, 0, 4096);
            assert_eq!(client.simple(), Errno::Perm as u32);
        }
        for command in [command::FLUSH, command::CACHE] {
            client.send(command, 0, 0, if command == command::FLUSH { 0 } else { 4096 });
            assert_eq!(client.simple(), 0);
        }
        for (command, flags) in [(8, 0), (999, 0), (command::FLUSH, 1 << 9), (command::CACHE, DF)] {
            client.send(command, flags, 0, 0);
            assert_eq!(client.simple(), Errno::Inval as u32, "{command} {flags}");
        }
        assert_eq!(client.read(0, 10).unwrap(), bytes(0..10));
    }
    let mut client = Peer::ready(served.connect(), false);
    client.send(command::BLOCK_STATUS, 0, 0, 10);
    assert_eq!(client.simple(), Errno::Inval as u32, "it was not agreed upon");
    client.send(command::READ, DF, 0, 10);
    assert_eq!(client.simple(), Errno::Inval as u32);
    client.send(command::WRITE, 0, 0, PAYLOAD_MAX + 1);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    served.waits_for("writes more at once than was allowed");
}

#[test]
fn options_are_answered_whatever_they_are() {
    let served = Served::new();
    let mut stream = served.connect();
    greet(&mut stream);
    let mut answer = |option, data: &[u8]| {
        ask(&mut stream, option, data);
        answers(&mut stream)
    };
    let kinds = |answers: &[(u32, Vec<u8>)]| answers.iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
    let listed = answer(option::LIST, b"");
    assert_eq!(listed[0], (reply::SERVER, [&[0; 4][..], b"an image"].concat()));
    let told = answer(option::INFO, &go(b"", &[info::DESCRIPTION, 999]));
    assert_eq!(kinds(&told), [reply::INFO, reply::INFO, reply::INFO, reply::ACK]);
    let export = &told[0].1;
    assert_eq!(export[..10], [&[0, 0][..], &SIZE.to_be_bytes()].concat());
    let flags = u16::from_be_bytes(export[10..].try_into().unwrap());
    assert_eq!((flags & flag::READ_ONLY, flags & flag::SEND_DF), (flag::READ_ONLY, 0));
    assert_eq!(
        told[1].1,
        [&[0, 3][..], &1u32.to_be_bytes(), &4096u32.to_be_bytes(), &PAYLOAD_MAX.to_be_bytes()].concat()
    );
    let malformed: [(u32, &[u8]); 12] = [
        (option::LIST, b"x"),
        (option::GO, b""),
        (option::GO, b"\0\0\0\x09short"),
        (option::GO, b"\xff\xff\xff\xff"),
        (option::GO, b"\0\0\0\0\0\x02\0\0"),
        (option::GO, b"\0\0\0\0\0\0\0\0"),
        (option::INFO, &go(&[b'x'; 4097], &[])),
        (option::STRUCTURED_REPLY, b"x"),
        (option::SET_META_CONTEXT, &queries(b"", &[b"base:allocation"])),
        (option::LIST_META_CONTEXT, b"\0\0\0\0\xff\xff\xff\xff"),
        (option::LIST_META_CONTEXT, b"\0\0\0\0\0\0\0\x01\0\0\0\x09base:"),
        (option::LIST_META_CONTEXT, b"\0\0\0\0\0\0\0\0more"),
    ];
    for (option, data) in malformed {
        assert_eq!(kinds(&answer(option, data)), [reply::ERR_INVALID], "{option} {data:?}");
    }
    for option in [option::GO, option::INFO] {
        assert_eq!(kinds(&answer(option, &go(b"other", &[]))), [reply::ERR_UNKNOWN]);
    }
    // TLS, extended headers, and what nobody has thought of yet.
    for option in [5, 11, 4, 12, u32::MAX] {
        assert_eq!(kinds(&answer(option, b"anything")), [reply::ERR_UNSUP]);
    }
    assert_eq!(kinds(&answer(option::STRUCTURED_REPLY, b"")), [reply::ACK]);
    for (option, asked, count) in [
        (option::LIST_META_CONTEXT, &[][..], 2),
        (option::LIST_META_CONTEXT, &[&b"base:"[..], b"base:allocation"], 2),
        (option::LIST_META_CONTEXT, &[&b"qemu:"[..]], 1),
        (option::SET_META_CONTEXT, &[], 1),
        (option::SET_META_CONTEXT, &[&b"base:"[..]], 1),
        (option::SET_META_CONTEXT, &[&b"qemu:dirty"[..], b"base:allocation"], 2),
    ] {
        assert_eq!(answer(option, &queries(b"", asked)).len(), count, "{option} {asked:?}");
    }
    assert_eq!(kinds(&answer(option::SET_META_CONTEXT, &queries(b"other", &[]))), [reply::ERR_UNKNOWN]);
    assert_eq!(kinds(&answer(option::ABORT, b"")), [reply::ACK]);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn the_old_way_in_is_open_too() {
    let served = Served::new();
    for flags in [1_u32, 3] {
        let mut stream = served.connect();
        let _: Greeting = receive(&mut stream).unwrap();
        stream.write_all(&flags.to_be_bytes()).unwrap();
        ask(&mut stream, option::EXPORT_NAME, b"");
        let mut head = vec![0; if flags == 1 { 134 } else { 10 }];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[..8], SIZE.to_be_bytes());
        let mut client = Peer { stream, is_structured: false };
        assert_eq!(client.read(0, 10).unwrap(), bytes(0..10));
    }
    let mut stream = served.connect();
    greet(&mut stream);
    ask(&mut stream, option::EXPORT_NAME, b"other");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    served.waits_for("asks for an export that is not there");
}

#[test]
fn garbage_is_the_end_of_its_own_connection_alone() {
    let served = Served::new();
    let mut other = Peer::ready(served.connect(), true);
    let header = |magic: &[u8; 8], length: u32| [&magic[..], &[0, 0, 0, 7], &length.to_be_bytes()].concat();
    for (garbage, why) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "asks for a handshake that was not offered"),
        ([&[0, 0, 0, 3][..], &header(b"IHAVEOPX", 0)].concat(), "sends what is no option"),
        ([&[0, 0, 0, 3][..], &header(b"IHAVEOPT", u32::MAX)].concat(), "sends an option that is too long"),
    ] {
        let mut stream = served.connect();
        stream.write_all(&garbage).unwrap();
        // It may be cut off while something is under way.
        let _ = stream.read_to_end(&mut Vec::new());
        served.waits_for(why);
    }
    let mut client = Peer::ready(served.connect(), true);
    client.stream.write_all(&[0x25; 28]).unwrap();
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    served.waits_for("sends what is no request");
    // In the middle of an option, of a request, of what is written, and of an answer.
    for part in [&header(b"IHAVEOPT", 100)[..], b"IHAVE"] {
        let mut stream = served.connect();
        greet(&mut stream);
        stream.write_all(part).unwrap();
    }
    let mut client = Peer::ready(served.connect(), true);
    client.stream.write_all(&[0x25, 0x60]).unwrap();
    drop(client);
    let mut client = Peer::ready(served.connect(), true);
    client.send(command::WRITE, 0, 0, 1000);
    drop(client);
    let mut client = Peer::ready(served.connect(), true);
    (0..50).for_each(|_| client.send(command::READ, 0, 0, MIB as u32));
    drop(client);
    served.waits_for("hung up in the middle of a message");
    assert_eq!(other.read(0, 100).unwrap(), bytes(0..100));
    served.lives();
}

#[test]
fn there_is_room_for_so_many_and_again_when_they_have_gone() {
    let served = Served::new();
    let mut clients: Vec<_> = (0..CLIENTS_MAX).map(|_| Peer::ready(served.connect(), false)).collect();
    let mut one_more = served.connect();
    assert_eq!(one_more.read(&mut [0]).unwrap(), 0);
    served.waits_for("a client: Refused");
    assert_eq!(clients[5].read(0, 100).unwrap(), bytes(0..100));
    clients.pop();
    served.waits_for(&format!("client {CLIENTS_MAX}: gone"));
    let start = Instant::now();
    // It has said so before there is room.
    while served.connect().read(&mut [0]).unwrap() == 0 {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn who_does_not_say_what_it_wants_is_cut_off() {
    let scratch = Scratch::new();
    let listener = Listener::bind(&Address::Unix(scratch.file("socket"))).unwrap();
    let mut peer = UnixStream::connect(scratch.file("socket")).unwrap();
    let (stream, _) = listener.accept(Duration::from_secs(60)).unwrap().unwrap();
    let mut client = Client::new(stream, Duration::from_millis(300));
    // A byte now and then is not enough.
    let dripping = thread::spawn(move || {
        while peer.write_all(b"\0").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let talk = Talk { view: &Fixture, description: "", failed: &|_| {} };
    let (sent, ended) = talk.with(&mut client, |client| client.settle());
    let lost = ended.unwrap_err().to_string();
    // What it drips is no option either.
    assert!(
        sent == 0 && (lost == "took too long to say what it wants" || lost == "sends what is no option"),
        "{lost}"
    );
    drop(client);
    dripping.join().unwrap();
}

#[test]
fn a_socket_is_its_users_alone_and_takes_no_ones_place() {
    let scratch = Scratch::new();
    let path = scratch.file("socket");
    let address = Address::Unix(path.clone());
    let listener = Listener::bind(&address).unwrap();
    assert_eq!(std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let refused = |address: &Address| Listener::bind(address).unwrap_err().to_string();
    assert!(refused(&address).ends_with("socket: is listened on already"));
    drop(listener);
    assert!(!path.exists());
    // One that a killed server has left.
    let left = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(left);
    assert!(path.exists());
    drop(Listener::bind(&address).unwrap());
    scratch.write("socket", b"a file of somebody's");
    assert!(refused(&address).ends_with("socket: is there already"));
    assert_eq!(std::fs::read(&path).unwrap(), b"a file of somebody's");
    let shared = scratch.file("shared");
    std::fs::create_dir(&shared).unwrap();
    for (mode, is_refused) in [(0o777, true), (0o1777, false), (0o775, true), (0o755, false)] {
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(mode)).unwrap();
        let bound = Listener::bind(&Address::Unix(shared.join("socket")));
        assert_eq!(bound.is_err(), is_refused, "{mode:o}");
    }
    let long = Address::Unix(scratch.file(&"x".repeat(120)));
    assert!(refused(&long).contains("cannot be listened on"), "{}", refused(&long));
    assert!(
        refused(&Address::Unix("/nonexistent/socket".into())).contains("/nonexistent: cannot be looked at")
    );
}

#[test]
fn a_name_that_another_one_has_taken_stays() {
    let scratch = Scratch::new();
    let listener = Listener::bind(&Address::Unix(scratch.file("socket"))).unwrap();
    std::fs::remove_file(scratch.file("socket")).unwrap();
    scratch.write("socket", b"another one's");
    drop(listener);
    assert!(scratch.file("socket").exists());
}

#[test]
fn tcp_is_for_the_address_that_is_named() {
    let listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
    let Address::Tcp(address) = *listener.address() else { panic!() };
    assert!(TcpStream::connect(("127.0.0.2", address.port())).is_err());
    let stop = AtomicBool::new(false);
    let server = Server { view: Arc::new(Fixture), description: String::new(), tell: &|_, _| {} };
    thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve(&listener, &stop));
        let mut client = Peer::ready(TcpStream::connect(address).unwrap(), true);
        assert_eq!(client.read(0, 100).unwrap(), bytes(0..100));
        // One that waits does not keep it from its end.
        stop.store(true, Ordering::Relaxed);
        serving.join().unwrap().unwrap();
        assert_eq!(client.stream.read(&mut [0]).unwrap_or(0), 0);
    });
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(taken.local_addr().unwrap());
    let error = Listener::bind(&address).unwrap_err();
    assert!(error.to_string().contains("cannot be listened on"), "{error}");
}

/// A client whose every byte is there already.
struct Recorded<'a> {
    says: &'a [u8],
    hears: Vec<u8>,
}

impl Read for Recorded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.says.read(buffer)
    }
}

impl Write for Recorded<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.hears.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_conversation_is_the_same_over_anything() {
    let mut says = U32::new(3).as_bytes().to_vec();
    ask(&mut says, option::GO, &go(b"", &[]));
    let request = |command: u16, length: u32| Request {
        magic: Request::MAGIC.into(),
        command_flags: 0.into(),
        command: command.into(),
        cookie: 1.into(),
        offset: 0.into(),
        length: length.into(),
    };
    says.extend(request(command::READ, 100).as_bytes());
    says.extend(request(command::DISC, 0).as_bytes());
    let mut client = Recorded { says: &says, hears: Vec::new() };
    assert_eq!(converse(&Fixture, &mut client).unwrap(), 100);
    assert!(client.hears.ends_with(&bytes(0..100)));
    // Cut off anywhere it is an error, or an end between two messages.
    for end in 0..says.len() {
        let mut client = Recorded { says: &says[..end], hears: Vec::new() };
        let is_between = [0, 4, 4 + 16 + 6, 4 + 16 + 6 + 28].contains(&end);
        assert_eq!(converse(&Fixture, &mut client).is_ok(), is_between, "{end}");
    }
}
