//! A folder on a web server.

mod address;
mod client;
mod download;
mod failure;
mod limits;
mod names;
mod pace;
mod proxy;
mod span;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

use std::io::Read;
use std::ops::Range;

use ureq::http::StatusCode;

use super::Source;
use crate::update::config::Config;

pub(super) use address::{Address, is_loopback};
pub(super) use client::{Answer, Client, Headers};
pub(super) use download::{Download, Remote, insist};
pub(super) use failure::{Failure, shown};
pub(super) use limits::Limits;
#[cfg(feature = "fuzz")]
pub(super) use names::fuzz_answer;
pub(super) use tls::Trust;

/// What asks for all of a file in a way that shows whether its server has ranges.
const ALL: &str = "bytes=0-";

/// The files below one address.
pub(crate) struct Http {
    client: Client,
    folder: Address,
}

impl Http {
    /// The folder at `url`, with or without a slash at its end. Nothing is asked yet.
    pub(super) fn new(url: &str, config: &Config) -> Result<Self, String> {
        Self::of(url, Trust::of(config))
    }

    /// The same, with whom to trust.
    pub(super) fn of(url: &str, trust: Trust) -> Result<Self, String> {
        let folder = Address::folder(url).ok_or_else(|| {
            format!("{url:?}: is no address of a folder\nhint: it is written as https://HOST/FOLDER/, without a login or a query")
        })?;
        Ok(Self::with(Client::new(trust, Limits::USUAL), folder))
    }

    pub(super) fn with(client: Client, folder: Address) -> Self {
        Self { client, folder }
    }

    fn small_once(&mut self, file: &Address, max: u64) -> Result<Option<Vec<u8>>, Failure> {
        let client = &mut self.client;
        let mut answer = client.get(file, &[("range", ALL)], None)?;
        match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => client.note_ranges(true),
            StatusCode::OK => client.note_ranges(false),
            // An empty file has no range.
            StatusCode::RANGE_NOT_SATISFIABLE => answer = client.get(file, &[], None)?,
            _ => {}
        }
        client.read(answer, max)
    }
}

impl Source for Http {
    fn small(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        let file = self.folder.file(name);
        let read = insist(self, |http| http.small_once(&file, max));
        read.map_err(|reason| format!("{}: {reason}", file.as_str()))
    }

    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        let file = self.folder.file(name);
        Ok(Box::new(Download::open(self, file, range)?))
    }

    fn has_ranges(&self) -> bool {
        self.client.has_ranges()
    }

    fn moved(&self) -> u64 {
        self.client.moved()
    }
}

impl Remote for Http {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn get(&mut self, address: &Address, headers: Headers<'_>) -> Result<Answer, Failure> {
        self.client.get(address, headers, None)
    }
}
