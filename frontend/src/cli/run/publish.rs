//! `--publish`, in docker's notation.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::str::FromStr;

use crate::base::{Error, Result};

/// One port of the host that leads to one of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publish {
    address: Ipv4Addr,
    host: u16,
    guest: u16,
    protocol: &'static str,
}

impl Publish {
    /// The value of QEMU's `hostfwd=`.
    pub(super) fn hostfwd(&self) -> String {
        format!("{}:{}:{}-:{}", self.protocol, self.address, self.host, self.guest)
    }

    /// As docker shows it: `127.0.0.1:8080->80/tcp`.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}->{}/{}", self.address, self.host, self.guest, self.protocol)
    }
}

/// That nobody else has these ports.
///
/// # Errors
/// If one is taken, or not to be had.
pub(super) fn check_free(ports: &[Publish]) -> Result<()> {
    for (index, Publish { address, host, protocol, .. }) in ports.iter().enumerate() {
        let place = (*address, *host);
        let taken = match *protocol {
            "udp" => UdpSocket::bind(place).map(drop),
            _ => TcpListener::bind(place).map(drop),
        };
        let shown = format!("--publish: port {host}/{protocol} of {address}");
        taken.map_err(|error| Error::user(format!("{shown}: is not to be had")).because(error))?;
        let is_same =
            |other: &Publish| (other.address, other.host, other.protocol) == (*address, *host, *protocol);
        if ports[..index].iter().any(is_same) {
            return Err(Error::user(format!("{shown}: is named twice")));
        }
    }
    Ok(())
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ports, protocol) = match text.rsplit_once('/') {
            None => (text, "tcp"),
            Some((ports, "tcp")) => (ports, "tcp"),
            Some((ports, "udp")) => (ports, "udp"),
            Some((_, other)) => return Err(format!("protocol {other:?} is neither tcp nor udp")),
        };
        let fields: Vec<&str> = ports.split(':').collect();
        let (address, host, guest) = match fields[..] {
            [host, guest] => (Ipv4Addr::LOCALHOST, host, guest),
            [address, host, guest] => (parse_address(address)?, host, guest),
            _ => return Err("should look like 8080:80 or 0.0.0.0:8080:80/tcp".into()),
        };
        Ok(Self { address, host: parse_port(host)?, guest: parse_port(guest)?, protocol })
    }
}

fn parse_address(text: &str) -> Result<Ipv4Addr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IPv4 address"))
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("port {text:?} is not a number from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_become_hostfwd() {
        for (text, hostfwd) in [
            ("8080:80", "tcp:127.0.0.1:8080-:80"),
            ("8080:80/tcp", "tcp:127.0.0.1:8080-:80"),
            ("5353:53/udp", "udp:127.0.0.1:5353-:53"),
            ("0.0.0.0:2222:22", "tcp:0.0.0.0:2222-:22"),
        ] {
            assert_eq!(text.parse::<Publish>().unwrap().hostfwd(), hostfwd);
        }
        assert_eq!("5353:53/udp".parse::<Publish>().unwrap().shown(), "127.0.0.1:5353->53/udp");
    }

    #[test]
    fn a_port_that_somebody_has_is_named_in_one_line() {
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = there.local_addr().unwrap().port();
        let ports = |text: &str| vec![text.parse::<Publish>().unwrap()];
        let error = check_free(&ports(&format!("{port}:80"))).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("--publish: port {port}/tcp of 127.0.0.1: is not to be had: ")),
            "{error}"
        );
        assert!(!error.contains('\n'));
        drop(there);
        let free = ports(&format!("{port}:80"));
        assert!(check_free(&free).is_ok());
        let error = check_free(&[free.clone(), free].concat()).unwrap_err().to_string();
        assert!(error.ends_with("is named twice"), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, part) in [
            ("80", "should look like"),
            ("8080:80:1:2", "should look like"),
            ("8080:80/sctp", "neither tcp nor udp"),
            ("0:80", "not a number from 1"),
            ("70000:80", "not a number from 1"),
            ("localhost:1:2", "not an IPv4 address"),
            ("1:2,hostfwd=x", "not a number"),
        ] {
            let error = text.parse::<Publish>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
