//! A client that boots, as far as DHCP goes.

use std::net::UdpSocket;
use std::time::Duration;

use dhcp_message::{Header, MessageType, Options, REQUEST, Writer, option};
use socket2::{Domain, Socket, Type};

use super::lab::Host;

/// The number of a request.
pub(super) const XID: u32 = 0x1234_5678;

/// What was answered.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) xid: u32,
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
    header.xid = XID.into();
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
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket.into()
        }))
    }

    /// Asks, and waits for so many answers.
    pub(super) fn ask(&mut self, message: &[u8], to: &str, answers: usize) -> Vec<Reply> {
        self.0.send_to(message, to).unwrap();
        (0..answers).map(|_| self.next()).collect()
    }

    /// Whether what comes first after two messages is the answer to the second: the one with another number.
    pub(super) fn is_not_answered(&mut self, message: (&[u8], &str), then: (&[u8], &str)) -> bool {
        let mut last = then.0.to_vec();
        last[4..8].copy_from_slice(&(XID + 1).to_be_bytes());
        self.0.send_to(message.0, message.1).unwrap();
        self.0.send_to(&last, then.1).unwrap();
        self.next().xid == XID + 1
    }

    fn next(&mut self) -> Reply {
        let mut buffer = [0; 2000];
        // An error is that a port is closed, and time is over at last.
        let received = (0..9).find_map(|_| self.0.recv(&mut buffer).ok()).expect("an answer");
        read(&buffer[..received])
    }
}

fn read(message: &[u8]) -> Reply {
    let (header, rest) = Header::read(message).unwrap();
    let options = Options::read(rest).unwrap();
    let file = header.file.split(|byte| *byte == 0).next().unwrap();
    Reply {
        xid: header.xid.get(),
        kind: options.message_type().unwrap() as u8,
        server: options.address(option::SERVER_ID).unwrap().octets(),
        address: header.yiaddr,
        next: header.siaddr,
        file: String::from_utf8(file.to_vec()).unwrap(),
    }
}
