//! Addresses of hosts: from `/etc/hosts` and the name servers of `/etc/resolv.conf`.
//!
//! The program is static. The C library's own way would load libraries of the image, which are those of another C
//! library or of another version, so names are looked up here. What `nsswitch.conf` names beside files and DNS is not
//! asked; systemd-resolved is, since it is a name server, too.

mod files;
mod query;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use files::Servers;
use query::{Found, Trouble};

/// How long one name may take, whatever `resolv.conf` says.
const LONGEST: Duration = Duration::from_secs(30);
/// How many addresses of a host are tried, as many as `ureq` takes.
const ADDRESSES: usize = 16;

/// Who knows addresses.
#[derive(Clone, Debug)]
pub(super) struct Names {
    hosts: PathBuf,
    servers: PathBuf,
    port: u16,
}

impl Names {
    /// As the machine is configured.
    pub(super) fn of_the_machine() -> Self {
        Self { hosts: "/etc/hosts".into(), servers: "/etc/resolv.conf".into(), port: 53 }
    }

    /// The addresses of `host`, none if there is no such host.
    fn find(&self, host: &str, end: Instant) -> Result<Vec<IpAddr>, Trouble> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![address]);
        }
        let absolute = host.trim_end_matches('.').to_ascii_lowercase();
        if absolute == "localhost" || absolute.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let written = files::hosts(&self.hosts, &absolute);
        if !written.is_empty() {
            return Ok(written);
        }
        let servers = Servers::read(&self.servers);
        let mut trouble = None;
        for name in servers.candidates(host) {
            match self.ask(&servers, &name, end) {
                Ok(addresses) if addresses.is_empty() => {}
                Ok(addresses) => return Ok(addresses),
                // Another way to complete the name may be known.
                Err(reason) => drop(trouble.get_or_insert(reason)),
            }
        }
        trouble.map_or(Ok(Vec::new()), Err)
    }

    /// What the first server that knows it says of a name: addresses of IPv4 before those of IPv6.
    fn ask(&self, servers: &Servers, name: &str, end: Instant) -> Result<Vec<IpAddr>, Trouble> {
        let mut trouble = Trouble::Silent;
        for _ in 0..servers.attempts {
            for address in &servers.addresses {
                let server = SocketAddr::new(*address, self.port);
                match addresses(server, name, servers.timeout, end) {
                    Ok(found) => return Ok(found),
                    Err(reason) => trouble = reason,
                }
                if Instant::now() >= end {
                    return Err(trouble);
                }
            }
        }
        Err(trouble)
    }
}

/// Of both kinds. Where a server keeps silent about one of them, the other is good enough.
fn addresses(
    server: SocketAddr,
    name: &str,
    timeout: Duration,
    end: Instant,
) -> Result<Vec<IpAddr>, Trouble> {
    let ask = |kind| query::ask(server, name, kind, end.min(Instant::now() + timeout));
    match (ask(query::Kind::V4)?, ask(query::Kind::V6)) {
        (Found::NoSuchName, _) => Ok(Vec::new()),
        (Found::Addresses(v4), Ok(Found::Addresses(v6))) => Ok(v4.into_iter().chain(v6).collect()),
        (Found::Addresses(v4), Err(reason)) if v4.is_empty() => Err(reason),
        (Found::Addresses(v4), _) => Ok(v4),
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let end = Instant::now() + LONGEST.min(*timeout.after);
        let found =
            self.find(host, end).map_err(|trouble| Error::Io(std::io::Error::other(trouble.to_string())))?;
        let mut result = self.empty();
        found.iter().take(ADDRESSES).for_each(|address| result.push(SocketAddr::new(*address, port)));
        if found.is_empty() { Err(Error::HostNotFound) } else { Ok(result) }
    }
}

/// Reads an answer to the question for the address of `u.example` that has the identifier 7, for `make fuzz`.
#[cfg(feature = "fuzz")]
pub(in super::super) fn fuzz_answer(answer: &[u8]) -> Result<(), String> {
    let found = query::read_for(7, "u.example", answer).map_err(|trouble| trouble.to_string())?;
    assert!(!matches!(found, Found::Addresses(addresses) if addresses.len() > 256), "it is bounded");
    Ok(())
}

#[cfg(test)]
mod tests;
