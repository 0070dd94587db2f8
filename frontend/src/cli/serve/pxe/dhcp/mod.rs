//! DHCP as far as it starts machines: the offers of a proxy (PXE 2.1, section 2.2), or a whole server for a lab.
//!
//! A proxy has no addresses to give. It answers PXE clients and those of UEFI HTTP boot, and nobody else: on port 67 who
//! looks for a server, on port 4011 who has an address and asks for the boot file once more.

mod answer;
mod leases;
mod range;
mod request;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;

use super::told::Log;
use crate::base::{Error, Result};
pub(super) use answer::Responder;
pub(super) use range::Range;

/// Longer messages are no requests: an Ethernet frame has no room for them.
const LONGEST: usize = 1500;
/// Where clients listen.
const CLIENT: u16 = 68;

/// Which port a request has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// That of DHCP servers.
    Server,
    /// That of PXE's boot servers.
    Boot,
}

impl Port {
    pub(super) fn number(self) -> u16 {
        match self {
            Self::Server => 67,
            Self::Boot => 4011,
        }
    }
}

/// Answers what comes to `socket`; from `own` if that is a socket for broadcasts.
pub(super) async fn serve(
    socket: Arc<UdpSocket>,
    own: Arc<UdpSocket>,
    port: Port,
    responder: Arc<Responder>,
    log: Log,
) -> Result<()> {
    let out = if port == Port::Boot { &socket } else { &own };
    let mut buffer = [0; LONGEST + 1];
    loop {
        let received = socket.recv_from(&mut buffer).await;
        let (len, from) =
            received.map_err(|error| Error::user("DHCP: nothing can be received").because(error))?;
        let Some(answer) = responder.answer(&buffer[..len], from, port, Instant::now()) else { continue };
        if let Some((message, to)) = &answer.message {
            // Who has gone does not hear it, and who has not asks again.
            let _ = out.send_to(message, to).await;
        }
        log.say(&answer.event);
    }
}

/// Where an answer goes: who has an address is told there, everybody else by a broadcast.
fn destination(from: SocketAddr, port: Port) -> Option<SocketAddrV4> {
    let IpAddr::V4(address) = from.ip() else { return None };
    Some(match (address.is_unspecified(), port) {
        (true, _) => SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT),
        (false, Port::Server) => SocketAddrV4::new(address, CLIENT),
        (false, Port::Boot) => SocketAddrV4::new(address, from.port()),
    })
}
