//! TFTP (RFC 1350) with its options (RFC 2347 to 2349, 7440): small files, for firmware that knows nothing else. Nothing is
//! written.

mod request;
mod transfer;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::folder::Library;
use super::told::{Event, Log, Protocol};
use super::visitors::{Visit, Visitors};
use crate::base::{Error, Result};
pub(super) use request::read;
use request::{ReadRequest, Refusal};
pub(super) use transfer::Terms;
use transfer::Transfer;

/// Where requests come to.
pub(super) const PORT: u16 = 69;

/// The first two bytes of a message (RFC 1350, section 5; RFC 2347).
mod opcode {
    pub(super) const READ: u16 = 1;
    pub(super) const WRITE: u16 = 2;
    pub(super) const DATA: u16 = 3;
    pub(super) const ACK: u16 = 4;
    pub(super) const ERROR: u16 = 5;
    pub(super) const OPTION_ACK: u16 = 6;
}

/// Answers requests; each transfer has a port of its own (RFC 1350, section 4).
pub(super) async fn serve(
    socket: UdpSocket,
    address: Ipv4Addr,
    library: Arc<Library>,
    visitors: Visitors,
    log: Log,
) -> Result<()> {
    // RFC 2347: no request is longer than 512 bytes.
    let mut buffer = [0; 513];
    loop {
        let received = socket.recv_from(&mut buffer).await;
        let (len, who) =
            received.map_err(|error| Error::user("TFTP: nothing can be received").because(error))?;
        if len == buffer.len() {
            continue;
        }
        match read(&buffer[..len]) {
            Ok(request) => {
                // One that was sent again while its transfer goes on is none.
                let Some(visit) = visitors.admit(who) else { continue };
                tokio::spawn(answer(request, address, library.clone(), visit, who, log));
            }
            Err(Some(refusal)) => {
                let _ = socket.send_to(&refusal.to_bytes(), who).await;
            }
            Err(None) => {}
        }
    }
}

async fn answer(
    request: ReadRequest,
    address: Ipv4Addr,
    library: Arc<Library>,
    _visit: Visit,
    who: SocketAddr,
    log: Log,
) {
    let (answer, bytes) = match send(&request, address, &library, who).await {
        Ok(bytes) => ("sent".to_owned(), Some(bytes)),
        Err(reason) => (reason, None),
    };
    let client = who.ip().to_string();
    log.say(&Event { protocol: Protocol::Tftp, client, request: request.name, answer, bytes });
}

/// Sends the file that is asked for, or an error; says how many bytes, or what went wrong.
async fn send(
    request: &ReadRequest,
    address: Ipv4Addr,
    library: &Library,
    who: SocketAddr,
) -> Result<u64, String> {
    let text = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind(SocketAddrV4::new(address, 0)).await.map_err(text)?;
    socket.connect(who).await.map_err(text)?;
    let Some(content) = library.find(&request.name) else {
        let refusal = Refusal::not_found();
        socket.send(&refusal.to_bytes()).await.map_err(text)?;
        return Err(refusal.message.to_owned());
    };
    Transfer::new(&socket, content, Terms::agree(&request.options, content.len())).run().await
}
