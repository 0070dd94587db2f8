//! One question to a name server (RFC 1035), by UDP, and by TCP where the answer is too long for that.
//!
//! The identifier and the port are random, and only an answer from that server to that question counts.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE, header_buffer};

/// The longest answer by UDP that is read; without EDNS they have 512 bytes.
const DATAGRAM: usize = 4096;
/// More records than this are not read.
const RECORDS: u16 = 256;
/// How far a name may lead to another one.
const ALIASES: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
}

/// What a server answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There may be none of that kind.
    Addresses(Vec<IpAddr>),
    NoSuchName,
}

/// Why nobody knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Silent,
    /// A server has no answer, says the code.
    Refused(String),
    /// The name cannot be asked for.
    NoName,
    Failed(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("no name server answers (/etc/resolv.conf)"),
            Self::Refused(code) => write!(f, "the name server has no answer: {code}"),
            Self::NoName => f.write_str("it is no name that name servers know"),
            Self::Failed(reason) => write!(f, "no name server can be asked: {reason}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// The addresses of `name`, by what `server` says until `end`.
pub(super) fn ask(server: SocketAddr, name: &str, kind: Kind, end: Instant) -> Result<Found, Trouble> {
    let mut id = [0; 2];
    let filled =
        rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty()).map_err(io::Error::from)?;
    if filled != id.len() {
        return Err(Trouble::Failed("there are no random numbers".to_owned()));
    }
    let question = question(u16::from_ne_bytes(id), name, kind)?;
    let answer = by_datagram(server, &question, end)?;
    match header_buffer::has_flags(&answer, PacketFlag::TRUNCATION) {
        Ok(true) => read(&by_stream(server, &question, end)?, &question),
        _ => read(&answer, &question),
    }
}

/// What an answer says that was not asked for.
#[cfg(feature = "fuzz")]
pub(super) fn read_for(id: u16, name: &str, answer: &[u8]) -> Result<Found, Trouble> {
    let question = question(id, name, Kind::V4)?;
    match is_answer(answer, &question) {
        true => read(answer, &question),
        false => Err(Trouble::Failed("it answers another question".to_owned())),
    }
}

fn question(id: u16, name: &str, kind: Kind) -> Result<Vec<u8>, Trouble> {
    let name = Name::new(name).ok().filter(Name::is_valid_hostname).ok_or(Trouble::NoName)?;
    let kind = if kind == Kind::V4 { TYPE::A } else { TYPE::AAAA };
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(|_| Trouble::NoName)
}

fn by_datagram(server: SocketAddr, question: &[u8], end: Instant) -> Result<Vec<u8>, Trouble> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // From then on the kernel takes what comes from there alone.
    socket.connect(server)?;
    socket.send(question)?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        socket.set_read_timeout(Some(left(end)?))?;
        let len = socket.recv(&mut buffer)?;
        let answer = buffer.get(..len).unwrap_or_default();
        if is_answer(answer, question) {
            return Ok(answer.to_vec());
        }
    }
}

fn by_stream(server: SocketAddr, question: &[u8], end: Instant) -> Result<Vec<u8>, Trouble> {
    let mut stream = TcpStream::connect_timeout(&server, left(end)?)?;
    let len = u16::try_from(question.len()).map_err(|_| Trouble::NoName)?;
    stream.set_write_timeout(Some(left(end)?))?;
    stream.write_all(&[&len.to_be_bytes(), question].concat())?;
    let mut len = [0; 2];
    fill(&mut stream, &mut len, end)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    fill(&mut stream, &mut answer, end)?;
    match is_answer(&answer, question) {
        true => Ok(answer),
        false => Err(Trouble::Failed("it answers another question".to_owned())),
    }
}

/// As `read_exact`, until `end` even if a byte comes now and then.
fn fill(stream: &mut TcpStream, mut buffer: &mut [u8], end: Instant) -> Result<(), Trouble> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(buffer)? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            len => buffer = buffer.get_mut(len..).unwrap_or_default(),
        }
    }
    Ok(())
}

fn left(end: Instant) -> Result<Duration, Trouble> {
    let left = end.saturating_duration_since(Instant::now());
    // A socket takes no time at all for all the time there is.
    if left.is_zero() { Err(Trouble::Silent) } else { Ok(left) }
}

/// Whether it is for that question: the same identifier, and the same question once more.
fn is_answer(answer: &[u8], question: &[u8]) -> bool {
    let is_response = header_buffer::has_flags(answer, PacketFlag::RESPONSE) == Ok(true);
    is_response
        && answer.get(..2) == question.get(..2)
        && header_buffer::questions(answer) == Ok(1)
        && answer.get(12..question.len()).is_some_and(|own| own.eq_ignore_ascii_case(&question[12..]))
}

/// What an answer says of the name in its question.
fn read(answer: &[u8], question: &[u8]) -> Result<Found, Trouble> {
    let broken = || Trouble::Failed("its answer cannot be read".to_owned());
    let counts = [header_buffer::answers, header_buffer::name_servers, header_buffer::additional_records];
    // Room is made for as many as it says.
    if counts.iter().any(|count| count(answer).is_ok_and(|count| count > RECORDS)) {
        return Err(broken());
    }
    let packet = Packet::parse(answer).map_err(|_| broken())?;
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Found::NoSuchName),
        other => return Err(Trouble::Refused(format!("{other:?}"))),
    }
    let asked = Packet::parse(question).map_err(|_| broken())?;
    let name = asked.questions.first().map(|question| &question.qname).ok_or_else(broken)?;
    Ok(Found::Addresses(of_name(&packet, name)))
}

/// The addresses of a name, or of the one that it is another name for.
fn of_name(packet: &Packet<'_>, name: &Name<'_>) -> Vec<IpAddr> {
    let mut name = name;
    for _ in 0..ALIASES {
        let records =
            || packet.answers.iter().filter(|record| record.name == *name && record.class == CLASS::IN);
        let addresses: Vec<_> = records().filter_map(|record| address(&record.rdata)).collect();
        let alias = records().find_map(|record| match &record.rdata {
            RData::CNAME(alias) => Some(&alias.0),
            _ => None,
        });
        match alias {
            Some(alias) if addresses.is_empty() => name = alias,
            _ => return addresses,
        }
    }
    Vec::new()
}

fn address(data: &RData<'_>) -> Option<IpAddr> {
    match data {
        RData::A(v4) => Some(Ipv4Addr::from(v4.address).into()),
        RData::AAAA(v6) => Some(Ipv6Addr::from(v6.address).into()),
        _ => None,
    }
}
