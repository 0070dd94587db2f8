//! What is said while it runs: where it listens and who comes and goes on stdout, what could not be read on stderr.

use std::fmt;

use exporter::error::show_size;
use exporter::nbd::{Address, CLIENTS_MAX, Event};
use serde::Serialize;

use crate::base::{Result, ShowArgs, terminal};

/// How it is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    json: bool,
    is_quiet: bool,
}

/// What a client did, and what came of it.
#[derive(Debug, Serialize)]
struct Told<'a> {
    protocol: &'a str,
    /// Its address, or its number where it has none.
    client: &'a str,
    request: &'a str,
    answer: String,
    /// Bytes of the disk that it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct Ready<'a> {
    serving: &'a str,
    size: u64,
    listening: String,
    uri: String,
}

impl Log {
    pub(super) fn new(show: ShowArgs) -> Self {
        Self { json: show.json, is_quiet: show.quiet }
    }

    /// Clients are let in.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub(super) fn ready(self, serving: &str, size: u64, address: &Address) -> Result<()> {
        let uri = address.uri();
        match (self.json, self.is_quiet) {
            (true, _) => {
                terminal::print_json_line(&Ready { serving, size, listening: address.to_string(), uri })
            }
            (false, true) => Ok(()),
            (false, false) => {
                terminal::print_line(format_args!("serving {serving}, {}, at {uri}", show_size(size)))
            }
        }
    }

    /// Says what has happened. Nobody who listens is no reason to stop.
    pub(super) fn say(self, client: &str, event: &Event<'_>) {
        let told = told(client, event);
        if let Event::Failed(error) = event {
            terminal::tell_line(format_args!("error: {error}"));
        }
        let _ = match (self.json, self.is_quiet) {
            (true, _) => terminal::print_json_line(&told),
            (false, true) => Ok(()),
            (false, false) => terminal::print_line(told),
        };
    }
}

fn told<'a>(client: &'a str, event: &Event<'_>) -> Told<'a> {
    let (request, answer, bytes) = match event {
        Event::Came => ("connect", "welcome".to_owned(), None),
        Event::Refused => ("connect", format!("refused, there are {CLIENTS_MAX} already"), None),
        Event::Failed(error) => ("read", error.to_string(), None),
        Event::Gone { sent, why: None } => ("disconnect", "bye".to_owned(), Some(*sent)),
        Event::Gone { sent, why: Some(why) } => ("disconnect", format!("cut off: {why}"), Some(*sent)),
    };
    Told { protocol: "nbd", client, request, answer, bytes }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, request, answer, bytes, .. } = self;
        write!(f, "{client} NBD {request}: {answer}")?;
        bytes.map_or(Ok(()), |bytes| write!(f, ", {bytes} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use exporter::nbd::Lost;

    use super::*;

    #[test]
    fn each_client_has_its_lines() {
        let lost = Lost::Protocol("sends what is no request");
        for (event, line) in [
            (Event::Came, "client 1 NBD connect: welcome"),
            (Event::Gone { sent: 5, why: None }, "client 1 NBD disconnect: bye, 5 bytes"),
            (
                Event::Gone { sent: 0, why: Some(&lost) },
                "client 1 NBD disconnect: cut off: sends what is no request, 0 bytes",
            ),
            (Event::Refused, "client 1 NBD connect: refused, there are 64 already"),
        ] {
            assert_eq!(told("client 1", &event).to_string(), line);
        }
        let json = serde_json::to_value(told("127.0.0.1:7", &Event::Came)).unwrap();
        assert_eq!(json["protocol"], "nbd");
        assert!(json.get("bytes").is_none());
    }
}
