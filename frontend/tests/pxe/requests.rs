//! A client that boots, as far as DHCP goes.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use dhcp_message::{Header, MessageType, Options, REQUEST, Writer, option};
use socket2::{Domain, Socket, Type};

use super::lab::Host;

/// What was answered.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) kind: u8,
    pub(super) server: [u8; 4],
    /// The address that the client is given.
    pub(super) address: [u8; 4],
    pub(super) next: [u8; 4],
    pub(super) file: String,
}

/// Who looks for something to boot: an option 60, and the number of an architecture.
pub(super) fn discover(class: &str, architecture: u16) -> Vec<u8> {
    let mut header = Header::new(REQUEST);
    header.xid = 0x1234_5678.into();
    header.chaddr[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    // The answer may go to everybody: there is no address yet.
    header.flags = dhcp_message::BROADCAST.into();
    let mut message = Writer::new(&header);
    message.put(option::MESSAGE_TYPE, &[MessageType::Discover as u8]);
    message.put(option::VENDOR_CLASS, class.as_bytes());
    message.put(option::CLIENT_SYSTEM, &architecture.to_be_bytes());
    message.end()
}

/// A socket of a host for what is answered to clients.
pub(super) struct Client(UdpSocket);

impl Client {
    pub(super) fn new(host: &Host) -> Self {
        Self(host.inside(|| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.bind_device(Some(b"eth0")).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.bind(&"0.0.0.0:68".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
            socket.into()
        }))
    }

    /// Asks everybody; waits for so many answers.
    pub(super) fn ask(&mut self, message: &[u8], port: u16, answers: usize) -> Vec<Reply> {
        self.ask_at(message, &format!("255.255.255.255:{port}"), answers)
    }

    pub(super) fn ask_at(&mut self, message: &[u8], to: &str, answers: usize) -> Vec<Reply> {
        self.0.send_to(message, to).unwrap();
        (0..answers).map(|_| self.next(Duration::from_secs(30)).expect("an answer")).collect()
    }

    /// Sends it, and hears nothing for so long.
    pub(super) fn hears_nothing(&mut self, message: &[u8], to: &str, time: Duration) -> bool {
        self.0.send_to(message, to).unwrap();
        self.next(time).is_none()
    }

    /// The next answer.
    fn next(&mut self, time: Duration) -> Option<Reply> {
        let until = Instant::now() + time;
        let mut buffer = [0; 2000];
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.0.set_read_timeout(Some(left)).unwrap();
            match self.0.recv(&mut buffer) {
                Ok(len) => return Some(read(&buffer[..len])),
                Err(_) if Instant::now() >= until => return None,
                // That a port is closed.
                Err(_) => {}
            }
        }
    }
}

fn read(message: &[u8]) -> Reply {
    let (header, rest) = Header::read(message).unwrap();
    let options = Options::read(rest).unwrap();
    let file = header.file.split(|byte| *byte == 0).next().unwrap();
    Reply {
        kind: options.message_type().unwrap() as u8,
        server: options.address(option::SERVER_ID).unwrap().octets(),
        address: header.yiaddr,
        next: header.siaddr,
        file: String::from_utf8(file.to_vec()).unwrap(),
    }
}
