//! The exchange: discover, request, and later renew (RFC 2131, section 4.4).

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::num::NonZeroU32;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::lease::Lease;
use super::message::{Answer, MessageType, Query};
use crate::init::console::say;
use crate::init::netlink::Link;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// How long the first question waits for its answer, and the longest of them.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// Between two tries to renew, at least.
const RETRY: Duration = Duration::from_secs(60);
/// More than any server sends: the least everyone must take is 576.
const MAX_MESSAGE: usize = 2048;

/// The client of one interface.
pub(crate) struct Client<'a> {
    /// What it is called in messages: udev may give it another name while the client runs.
    interface: &'a str,
    link: Link,
    mac: [u8; 6],
    /// What the machine is called, for servers that tell DNS.
    hostname: String,
}

/// What a server said to a request.
enum Reply {
    Granted(Lease),
    Refused,
}

impl<'a> Client<'a> {
    /// For an interface with this address of its hardware, `52:54:00:12:34:56`.
    pub(crate) fn new(interface: &'a str, link: Link, address: &str) -> Result<Self, String> {
        let bytes: Vec<_> = address.split(':').map_while(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let mac = bytes.try_into().map_err(|_| format!("{address} is no Ethernet address"))?;
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self { interface, link, mac, hostname })
    }

    /// Ask until there is a lease.
    pub(crate) fn acquire(&self) -> Lease {
        let mut wait = FIRST_WAIT;
        loop {
            match self.discover(wait) {
                Ok(Some(lease)) => return lease,
                Ok(None) => {}
                Err(error) => {
                    say(format_args!("{}: DHCP: {error}", self.interface));
                    sleep(wait);
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn discover(&self, wait: Duration) -> io::Result<Option<Lease>> {
        let socket = self.socket(Ipv4Addr::UNSPECIFIED)?;
        let query = self.query(MessageType::Discover);
        let offer = self.ask(&socket, Ipv4Addr::BROADCAST, &query, wait, |answer| {
            Lease::read(answer).filter(|_| answer.kind == MessageType::Offer)
        })?;
        let Some(offer) = offer else { return Ok(None) };
        let query =
            Query { kind: MessageType::Request, offered: Some((offer.address, offer.server)), ..query };
        Ok(match self.ask(&socket, Ipv4Addr::BROADCAST, &query, wait, reply)? {
            Some(Reply::Granted(lease)) => Some(lease),
            Some(Reply::Refused) | None => None,
        })
    }

    /// Renew a lease, each time with a call of `renewed`, until it has ended. Returns the last one.
    pub(crate) fn keep(&self, mut lease: Lease, mut renewed: impl FnMut(&Lease)) -> Lease {
        let mut granted = Instant::now();
        let mut next = lease.renewal;
        loop {
            sleep(next.saturating_sub(granted.elapsed()));
            let asked = Instant::now();
            let server = if granted.elapsed() < lease.rebinding { lease.server } else { Ipv4Addr::BROADCAST };
            match self.renew(&lease, server) {
                Ok(Some(Reply::Granted(new))) if new.address == lease.address => {
                    (lease, granted) = (new, asked);
                    next = lease.renewal;
                    renewed(&lease);
                    continue;
                }
                // Another address is another lease.
                Ok(Some(_)) => return lease,
                Ok(None) => {}
                Err(error) => say(format_args!("{}: DHCP: {error}", self.interface)),
            }
            let left = lease.duration.saturating_sub(granted.elapsed());
            if left.is_zero() {
                return lease;
            }
            next = (granted.elapsed() + (left / 2).max(RETRY)).min(lease.duration);
        }
    }

    fn renew(&self, lease: &Lease, server: Ipv4Addr) -> io::Result<Option<Reply>> {
        let socket = self.socket(lease.address)?;
        let query = Query { own: Some(lease.address), ..self.query(MessageType::Request) };
        self.ask(&socket, server, &query, FIRST_WAIT * 4, reply)
    }

    fn query(&self, kind: MessageType) -> Query<'_> {
        // As random as the kernel is at once: a machine that starts must not wait for more.
        let xid = RandomState::new().hash_one(self.mac) as u32;
        Query { kind, xid, mac: self.mac, own: None, offered: None, hostname: &self.hostname }
    }

    /// Send a query and take the first answer that `read` can use.
    fn ask<T>(
        &self,
        socket: &UdpSocket,
        server: Ipv4Addr,
        query: &Query<'_>,
        wait: Duration,
        read: impl Fn(&Answer) -> Option<T>,
    ) -> io::Result<Option<T>> {
        socket.send_to(&query.to_bytes(), (server, SERVER_PORT))?;
        let start = Instant::now();
        let mut bytes = [0; MAX_MESSAGE];
        loop {
            let left = wait.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            socket.set_read_timeout(Some(left))?;
            let len = match socket.recv(&mut bytes) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let answer = Answer::parse(bytes.get(..len).unwrap_or_default(), query.xid, self.mac);
            if let Some(found) = answer.as_ref().and_then(&read) {
                return Ok(Some(found));
            }
        }
    }

    /// On this interface only: another one may have another network with the same addresses.
    fn socket(&self, own: Ipv4Addr) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        self.bind(&socket)?;
        socket.bind(&SocketAddrV4::new(own, CLIENT_PORT).into())?;
        Ok(socket.into())
    }

    /// By its number, since Linux 6.2 renames interfaces that are up; by its name on kernels before 5.0.
    fn bind(&self, socket: &Socket) -> io::Result<()> {
        match socket.bind_device_by_index_v4(NonZeroU32::new(self.link.0)) {
            Err(error) if error.raw_os_error() == Some(Errno::NOPROTOOPT.raw_os_error()) => {
                socket.bind_device(Some(self.interface.as_bytes()))
            }
            done => done,
        }
    }
}

fn reply(answer: &Answer) -> Option<Reply> {
    match answer.kind {
        MessageType::Ack => Lease::read(answer).map(Reply::Granted),
        MessageType::Nak => Some(Reply::Refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::netdevice::name_to_index;

    use super::*;

    #[test]
    fn an_interface_is_the_same_by_another_name() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let link = Link(name_to_index(&socket, "lo").unwrap());
        Client::new("renamed", link, "52:54:00:12:34:56").unwrap().bind(&socket).unwrap();
        assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
    }
}
