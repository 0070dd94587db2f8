//! Where a server listens, as it is typed: `unix:PATH` or `tcp:ADDRESS:PORT`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A place to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket in the file system, for this user alone.
    Unix(PathBuf),
    /// An address of this machine, for all who reach it.
    Tcp(SocketAddr),
}

impl Address {
    /// How clients are told of it.
    ///
    /// Source: `doc/uri.md` of github.com/NetworkBlockDevice/nbd.
    pub fn uri(&self) -> String {
        match self {
            Self::Unix(path) => format!("nbd+unix:///?socket={}", escaped(path)),
            Self::Tcp(address) => format!("nbd://{address}"),
        }
    }
}

/// A path as the value of a query.
fn escaped(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    let text = bytes.map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(*byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    text.collect()
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "write unix:PATH or tcp:ADDRESS:PORT, such as unix:/run/user/1000/web.sock or tcp:127.0.0.1:10809";
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tcp", address)) => match address.parse() {
                Ok(address) => Ok(Self::Tcp(address)),
                Err(_) => Err(format!(
                    "{address:?} is no address with a port: write tcp:127.0.0.1:10809 or tcp:[::1]:10809"
                )),
            },
            _ => Err(expected().to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_are_named() {
        for (text, uri) in [
            ("unix:/run/a.sock", "nbd+unix:///?socket=/run/a.sock"),
            ("unix:a b%:c", "nbd+unix:///?socket=a%20b%25%3Ac"),
            ("tcp:127.0.0.1:10809", "nbd://127.0.0.1:10809"),
            ("tcp:[::1]:10809", "nbd://[::1]:10809"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.to_string(), address.uri()), (text.to_owned(), uri.to_owned()));
        }
        for text in
            ["", "unix:", "/run/a.sock", "tcp:", "tcp:10809", "tcp:localhost:10809", "tcp:127.0.0.1", "udp:a"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
