//! Sockets on one address, and where it is asked for on one interface.
//!
//! Who has no address yet sends to 255.255.255.255, and the kernel hands that to sockets of every address or of that very
//! one. The second kind hears nothing else, so nothing of this program listens on addresses that nobody has named.

use std::net::SocketAddrV4;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::base::{Error, Result};

/// Until data that nobody takes ends a connection.
const STALLED: Duration = Duration::from_secs(60);

/// A socket for datagrams, which may be sent to everybody on the network, too.
pub(super) fn udp(address: SocketAddrV4, device: Option<&str>) -> Result<UdpSocket> {
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        socket.bind_device(device.map(str::as_bytes))?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    bind().map_err(|error| unbound(address, "UDP", error))
}

/// A socket for connections.
pub(super) fn tcp(address: SocketAddrV4, device: Option<&str>) -> Result<TcpListener> {
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // Connections of an earlier run may still be closing.
        socket.set_reuse_address(true)?;
        // What is accepted has it from here.
        socket.set_tcp_user_timeout(Some(STALLED))?;
        socket.bind_device(device.map(str::as_bytes))?;
        socket.bind(&address.into())?;
        socket.listen(128)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|error| unbound(address, "TCP", error))
}

fn unbound(address: SocketAddrV4, protocol: &str, error: std::io::Error) -> Error {
    let hint = match (error.kind(), address.port()) {
        (std::io::ErrorKind::PermissionDenied, _) => "ports below 1024 are root's: type sudo before it",
        (std::io::ErrorKind::AddrInUse, 67 | 4011) => {
            "a DHCP server runs on this machine: let it name the boot files, as docs/netboot.md shows, and add --no-dhcp"
        }
        (std::io::ErrorKind::AddrInUse, 69) => "stop the TFTP server that runs on this machine",
        (std::io::ErrorKind::AddrInUse, _) => "take another one: --http-port 8081",
        _ => return Error::user(format!("{address} ({protocol}): cannot be listened on")).because(error),
    };
    Error::user(format!("{address} ({protocol}): cannot be listened on")).because(error).with_hint(hint)
}
