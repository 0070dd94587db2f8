//! An image in a registry, whose one layer is a tar of an update's folder
//! (<https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pull>).
//!
//! The layer is not packed: where each file lies in it is told by a few headers, and ranges of files are ranges of the
//! layer. So blocks are fetched one by one, as from a folder.

mod authorize;
mod challenge;
mod login;
mod manifest;
mod reference;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;

use ureq::http::StatusCode;

use super::Source;
use super::http::{
    Address, Answer, Client, Download, Failure, Headers, Limits, Remote, Trust, insist, shown,
};
use super::members;
use crate::update::config::Config;
use manifest::{Layer, Manifest};
use reference::Reference;

/// How far indexes may lead.
const INDEXES: usize = 3;
/// How much of a layer is fetched for headers at once: all small files lie at its beginning.
const WINDOW: u64 = 16 << 10;

/// The files in one layer of one repository.
pub(super) struct Registry {
    client: Client,
    reference: Reference,
    repository: Address,
    architecture: &'static str,
    logins: Vec<PathBuf>,
    /// What the registry was told last of who asks.
    authorization: Option<String>,
    /// The layer and its files, once it is known.
    files: Option<(Address, BTreeMap<String, Range<u64>>)>,
}

impl Registry {
    /// What `from` names, with `docker://` in front of it or not. Nothing is asked yet.
    pub(super) fn new(from: &str, config: &Config) -> Result<Self, String> {
        let architecture = if config.architecture == "aarch64" { "arm64" } else { "amd64" };
        Self::with(from, Client::new(Trust::of(config), Limits::USUAL), architecture, login::files())
    }

    /// The same for this machine, with whom to trust.
    pub(super) fn of(from: &str, trust: Trust) -> Result<Self, String> {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Self::with(from, Client::new(trust, Limits::USUAL), architecture, login::files())
    }

    fn with(
        from: &str,
        client: Client,
        architecture: &'static str,
        logins: Vec<PathBuf>,
    ) -> Result<Self, String> {
        let invalid = |reason: String| {
            format!(
                "{from:?}: {reason}\nhint: an update comes from https://HOST/FOLDER/, HOST/NAME:TAG, or a path that exists"
            )
        };
        let reference: Reference = from.parse().map_err(invalid)?;
        let repository = Address::parse(&reference.repository());
        let repository =
            repository.ok_or_else(|| invalid(format!("{} is no name of a host", reference.host)))?;
        Ok(Self { client, reference, repository, architecture, logins, authorization: None, files: None })
    }

    /// The file of that name: the layer, and where it lies in there.
    fn place(&mut self, name: &str) -> Result<(Address, Option<Range<u64>>), String> {
        let (layer, files) = match &self.files {
            Some(known) => known,
            None => {
                let found = self.find().map_err(|reason| format!("{}: {reason}", self.reference))?;
                self.files.insert(found)
            }
        };
        Ok((layer.clone(), files.get(name).cloned()))
    }

    fn find(&mut self) -> Result<(Address, BTreeMap<String, Range<u64>>), String> {
        let Layer { digest, size } = self.layer()?;
        let address = self.address(&format!("blobs/{digest}"))?;
        let mut window =
            Window { registry: self, address: address.clone(), size, start: 0, bytes: Vec::new() };
        let files = members::files(size, |range| window.read(range))?;
        Ok((address, files))
    }

    /// The one layer for this machine, by way of an index or not.
    fn layer(&mut self) -> Result<Layer, String> {
        let mut version = self.reference.version().to_owned();
        let mut digest = self.reference.digest.clone();
        for _ in 0..INDEXES {
            let json = self.manifest(&version)?;
            match Manifest::parse(&json, digest.as_deref(), self.architecture)? {
                Manifest::Layer(layer) => return Ok(layer),
                Manifest::Elsewhere(next) => {
                    digest = Some(next.clone());
                    version = next;
                }
            }
        }
        Err("an index leads to indexes only".to_owned())
    }

    fn manifest(&mut self, version: &str) -> Result<Vec<u8>, String> {
        let address = self.address(&format!("manifests/{version}"))?;
        let read = insist(self, |registry| {
            let answer = registry.get(&address, &[("accept", manifest::TYPES)])?;
            registry.client.read(answer, manifest::LONGEST)
        });
        read?.ok_or_else(|| "the registry has nothing of that name".to_owned())
    }

    fn address(&self, path: &str) -> Result<Address, String> {
        let address = Address::parse(&format!("{}{path}", self.repository.as_str()));
        address.ok_or_else(|| format!("{} is no name of a host", self.reference.host))
    }
}

/// A part of a layer that is here already.
struct Window<'a> {
    registry: &'a mut Registry,
    address: Address,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The bytes of a range that lies within the layer.
    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, String> {
        if let Some(bytes) = self.get(&range) {
            return Ok(bytes);
        }
        let end = self.size.min(range.start.saturating_add(WINDOW)).max(range.end);
        self.start = range.start;
        self.bytes.clear();
        let mut download = Download::open(&mut *self.registry, self.address.clone(), range.start..end)?;
        download.read_to_end(&mut self.bytes).map_err(|error| error.to_string())?;
        self.get(&range).ok_or_else(|| "the layer ends early".to_owned())
    }

    fn get(&self, range: &Range<u64>) -> Option<Vec<u8>> {
        let within = |at: u64| usize::try_from(at.checked_sub(self.start)?).ok();
        self.bytes.get(within(range.start)?..within(range.end)?).map(<[u8]>::to_vec)
    }
}

impl Source for Registry {
    fn small(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        let (layer, Some(range)) = self.place(name)? else { return Ok(None) };
        if range.end - range.start > max {
            return Err(format!(
                "{}: {name} has more than the {max} bytes that such a file may have",
                self.reference
            ));
        }
        let mut bytes = Vec::new();
        Download::open(self, layer, range)?.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(Some(bytes))
    }

    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        let (layer, place) = self.place(name)?;
        let place = place.ok_or_else(|| format!("{}: has no {name}", self.reference))?;
        let end =
            place.start.checked_add(range.end).filter(|end| *end <= place.end && range.start <= range.end);
        let end = end.ok_or_else(|| {
            format!("{}: {name} has not the {} bytes that the update says", self.reference, range.end)
        })?;
        Ok(Box::new(Download::open(self, layer, place.start + range.start..end)?))
    }

    fn has_ranges(&self) -> bool {
        self.client.has_ranges()
    }

    fn moved(&self) -> u64 {
        self.client.moved()
    }
}

impl Remote for Registry {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The answer, once the registry knows who asks.
    fn get(&mut self, address: &Address, headers: Headers<'_>) -> Result<Answer, Failure> {
        let answer = self.client.get(address, headers, self.authorization.as_deref())?;
        if answer.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        if !answer.is_from(address) {
            return Err(Failure::Final("the registry sends on to a server that wants a login".to_owned()));
        }
        self.authorize(&answer)?;
        answer.spend();
        let answer = self.client.get(address, headers, self.authorization.as_deref())?;
        match answer.response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refused()),
            _ => Ok(answer),
        }
    }
}
