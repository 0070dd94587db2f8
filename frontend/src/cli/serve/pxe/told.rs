//! What is said while it runs: a line for each request, on stdout.

use std::fmt::Display;

use serde::Serialize;

use super::folder::Folder;
use super::network::Site;
use crate::base::{Result, terminal};

/// How it is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    json: bool,
}

/// A request, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    pub(super) protocol: Protocol,
    /// Who asked, by its address on the network or that of its hardware.
    pub(super) client: String,
    /// For what.
    pub(super) request: String,
    /// What it got.
    pub(super) answer: String,
    /// Bytes of a file that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
}

/// How it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    /// Who starts me?
    Dhcp,
    /// A small file.
    Tftp,
    /// Any file, or a range of it.
    Http,
}

#[derive(Serialize)]
struct Ready<'a> {
    serving: &'a str,
    addresses: Vec<String>,
    http_port: u16,
    dhcp: &'a str,
}

impl Log {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// All servers listen.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub(super) fn ready(self, folder: &Folder, sites: &[Site], http_port: u16, dhcp: &str) -> Result<()> {
        folder.skipped().iter().for_each(|reason| terminal::tell_line(format_args!("warning: {reason}")));
        let addresses: Vec<_> = sites.iter().map(|site| site.address.to_string()).collect();
        if self.json {
            return self.print(&Ready { serving: folder.name(), addresses, http_port, dhcp });
        }
        for address in addresses {
            let name = folder.name();
            terminal::print_line(format_args!(
                "serving {name} on {address}: {dhcp}, TFTP, http://{address}:{http_port}/"
            ))?;
        }
        Ok(())
    }

    /// Says what a request has come to. Nobody who listens is no reason to stop.
    pub(super) fn say(self, event: &Event) {
        let _ = match self.json {
            true => self.print(event),
            false => terminal::print_line(event),
        };
    }

    fn print(self, value: &impl Serialize) -> Result<()> {
        terminal::print_json_line(value)
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = match self.protocol {
            Protocol::Dhcp => "DHCP",
            Protocol::Tftp => "TFTP",
            Protocol::Http => "HTTP",
        };
        write!(f, "{} {protocol} {}: {}", self.client, self.request, self.answer)?;
        self.bytes.map_or(Ok(()), |bytes| write!(f, ", {bytes} bytes"))
    }
}
