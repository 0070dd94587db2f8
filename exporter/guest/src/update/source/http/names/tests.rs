//! Name servers on loopback that answer well, badly, late, and about something else.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;

use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use super::*;

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

/// A machine that asks the servers at these addresses of loopback.
fn machine(servers: &[&str], port: u16) -> (tempfile::TempDir, Names) {
    let folder = tempfile::tempdir().unwrap();
    let [hosts, conf] = ["hosts", "resolv.conf"].map(|name| folder.path().join(name));
    fs::write(&hosts, "192.0.2.1 written.example\n").unwrap();
    let lines: Vec<_> = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    fs::write(&conf, format!("{}search a.example\noptions timeout:1 attempts:1\n", lines.concat())).unwrap();
    (folder, Names { hosts, servers: conf, port })
}

fn find(names: &Names, host: &str) -> Result<Vec<IpAddr>, Trouble> {
    names.find(host, Instant::now() + LONGEST)
}

/// A server that answers each datagram with all that `answer` says, and the port it listens at.
fn serve(at: &str, port: u16, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind((at, port)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            for datagram in answer(&buffer[..len]) {
                socket.send_to(&datagram, from).unwrap();
            }
        }
    });
    port
}

/// The honest answer: `u.a.example` is another name of a host with both addresses, all else is unknown.
fn honest(question: &[u8]) -> Vec<u8> {
    let asked = Packet::parse(question).unwrap();
    let mut reply = Packet::new_reply(asked.id());
    reply.questions = asked.questions.clone();
    let name = &asked.questions[0].qname;
    if *name != Name::new_unchecked("u.a.example") {
        *reply.rcode_mut() = RCODE::NameError;
        return reply.build_bytes_vec().unwrap();
    }
    let host = Name::new_unchecked("host.example");
    let record = |name: &Name<'static>, data| ResourceRecord::new(name.clone(), CLASS::IN, 60, data);
    reply.answers.push(record(&Name::new_unchecked("u.a.example"), RData::CNAME(CNAME(host.clone()))));
    let data = match asked.questions[0].qtype {
        QTYPE::TYPE(TYPE::A) => RData::A(A { address: V4.into() }),
        _ => RData::AAAA(AAAA { address: V6.into() }),
    };
    reply.answers.push(record(&host, data));
    // Of somebody who was not asked for.
    reply.answers.push(record(&Name::new_unchecked("other.example"), RData::A(A { address: 1 })));
    reply.build_bytes_vec().unwrap()
}

#[test]
fn what_is_written_is_not_asked_for() {
    let (_folder, names) = machine(&[], 1);
    assert_eq!(find(&names, "10.0.2.2"), Ok(vec!["10.0.2.2".parse().unwrap()]));
    assert_eq!(find(&names, "[::1]"), Ok(vec![Ipv6Addr::LOCALHOST.into()]));
    assert_eq!(find(&names, "LOCALHOST").unwrap()[0], Ipv4Addr::LOCALHOST);
    assert_eq!(find(&names, "Written.example."), Ok(vec!["192.0.2.1".parse().unwrap()]));
}

#[test]
fn a_name_has_addresses_of_both_kinds_through_its_alias() {
    let port = serve("127.0.0.1", 0, |question| vec![honest(question)]);
    let (_folder, names) = machine(&["127.0.0.1"], port);
    let both: [IpAddr; 2] = [V4.into(), V6.into()];
    // A short name is completed.
    assert_eq!(find(&names, "u").unwrap(), both);
    assert_eq!(find(&names, "U.a.example").unwrap(), both);
    assert_eq!(find(&names, "nobody.example"), Ok(Vec::new()));
    assert_eq!(find(&names, "no_name."), Err(Trouble::NoName));
}

#[test]
fn answers_to_something_else_do_not_count() {
    let forged = |question: &[u8]| {
        let lie = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut answer = honest(question);
            // The last four bytes are an address, here that of the liar.
            change(&mut answer);
            answer
        };
        let (id, name) = (lie(&|answer| answer[0] ^= 1), lie(&|answer| answer[13] ^= 3));
        let query = lie(&|answer| answer[2] &= 0x7f);
        vec![id, name, query, vec![], vec![0; 11], honest(question)]
    };
    let port = serve("127.0.0.1", 0, forged);
    let (_folder, names) = machine(&["127.0.0.1"], port);
    assert_eq!(find(&names, "u.a.example").unwrap()[0], V4);
}

#[test]
fn a_server_that_is_silent_or_broken_is_left_for_the_next() {
    let broken = |question: &[u8]| {
        let mut answer = honest(question);
        answer.truncate(answer.len() - 20);
        vec![answer]
    };
    let port = serve("127.0.0.3", 0, |question| vec![honest(question)]);
    serve("127.0.0.2", port, broken);
    serve("127.0.0.1", port, |_| vec![]);
    let (_folder, names) = machine(&["127.0.0.1", "127.0.0.2", "127.0.0.3"], port);
    assert_eq!(find(&names, "u.a.example").unwrap()[0], V4);
    let (_folder, alone) = machine(&["127.0.0.1"], port);
    assert_eq!(find(&alone, "u.a.example"), Err(Trouble::Silent));
    let (_folder, alone) = machine(&["127.0.0.2"], port);
    assert!(find(&alone, "u.a.example").unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn a_server_that_refuses_is_not_believed_to_know() {
    let port = serve("127.0.0.1", 0, |question| {
        let mut answer = honest(question);
        answer[3] = answer[3] & 0xf0 | 2;
        vec![answer]
    });
    let (_folder, names) = machine(&["127.0.0.1"], port);
    assert!(matches!(find(&names, "u.a.example"), Err(Trouble::Refused(_))));
}

#[test]
fn more_records_than_anybody_needs_are_not_read() {
    let port = serve("127.0.0.1", 0, |question| {
        let mut answer = honest(question);
        answer[6..8].copy_from_slice(&[0xff, 0xff]);
        vec![answer]
    });
    let (_folder, names) = machine(&["127.0.0.1"], port);
    assert!(matches!(find(&names, "u.a.example"), Err(Trouble::Failed(_))));
}

#[test]
fn what_is_too_long_for_a_datagram_comes_by_a_stream() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    serve("127.0.0.1", port, |question| {
        let mut reply = Packet::new_reply(Packet::parse(question).unwrap().id());
        reply.questions = Packet::parse(question).unwrap().questions;
        reply.set_flags(PacketFlag::TRUNCATION);
        vec![reply.build_bytes_vec().unwrap()]
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut question).unwrap();
            let answer = honest(&question);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    let (_folder, names) = machine(&["127.0.0.1"], port);
    assert_eq!(find(&names, "u.a.example").unwrap(), [IpAddr::from(V4), V6.into()]);
}
