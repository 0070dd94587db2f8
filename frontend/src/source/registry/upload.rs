//! Into a registry: blobs that it does not have, and the manifests that refer to them.
//!
//! Protocol: <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push>. A blob is one POST
//! and one PUT, straight from its file; nothing is kept in memory or written a second time.

use std::io::{self, Read};
use std::time::Duration;

use exporter::container::image::Blob;
use exporter::engine::Progress;
use exporter::error::{Error, Kind, Result};
use http::{Response, header};
use ureq::{Body, SendBody};

use super::address::Address;
use super::authorize::{Authorization, authorized};
use super::client::Client;
use super::failure::Failure;
use crate::base::reference::Reference;
use crate::source::Access;

/// How long a registry may take to put a large blob away.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Bytes that can be read from their start as often as they have to be sent.
pub(crate) trait Content {
    /// From the start.
    fn open(&self) -> Box<dyn Read + '_>;
}

impl Content for &[u8] {
    fn open(&self) -> Box<dyn Read + '_> {
        Box::new(*self)
    }
}

/// A repository to put images in.
pub(crate) struct Repository<'a> {
    client: Client<'a>,
    access: &'a Access<'a>,
}

impl<'a> Repository<'a> {
    /// The one that `reference` names.
    ///
    /// # Errors
    /// As for reading an image: certificates that cannot be read.
    pub(crate) fn open(reference: &Reference, access: &'a Access<'a>) -> Result<Self> {
        Ok(Self { client: Client::new(&format!("docker://{reference}"), reference, None, access)?, access })
    }

    /// Put a blob there, unless it is there already.
    ///
    /// # Errors
    /// `Input` where the registry wants another login, `Io` where it cannot be reached or does not take it.
    pub(crate) fn put_blob(&self, blob: &Blob, content: &dyn Content) -> Result<()> {
        self.client.insist(|| {
            if self.has(blob)? {
                (self.access.progress)(Progress { done: blob.size, total: blob.size });
                return Ok(());
            }
            self.upload(blob, content)
        })
    }

    /// Put a manifest or an index there, under a tag or its own digest.
    ///
    /// # Errors
    /// As for a blob.
    pub(crate) fn put_manifest(&self, version: &str, media_type: &str, manifest: &[u8]) -> Result<()> {
        let put = |address: &Address, authorization: Option<&Authorization>| {
            let request = self.client.agent.put(address.as_str()).content_type(media_type);
            self.client.answer(address.origin(), authorized(request, authorization).send(manifest))
        };
        self.client.insist(|| {
            let address = self.client.address(&format!("manifests/{version}"))?;
            self.client.authorized(|authorization| put(&address, authorization)).map(drop)
        })
    }

    fn has(&self, blob: &Blob) -> Result<bool, Failure> {
        let address = self.client.address(&format!("blobs/{}", blob.digest))?;
        let head = |authorization: Option<&Authorization>| {
            self.client.follow(address.clone(), authorization, |url, authorization| {
                authorized(self.client.agent.head(url), authorization).call()
            })
        };
        match self.client.authorized(head) {
            Ok(_) => Ok(true),
            Err(Failure::Final(error)) if *error.kind() == Kind::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    fn upload(&self, blob: &Blob, content: &dyn Content) -> Result<(), Failure> {
        let own = self.client.address("blobs/uploads/")?;
        let post = |authorization: Option<&Authorization>| {
            let request = authorized(self.client.agent.post(own.as_str()), authorization);
            self.client.answer(own.origin(), request.send_empty())
        };
        let there = self.place(&own, &self.client.authorized(post)?)?.with_query("digest", &blob.digest);
        // A store of somebody else's has no business with the login.
        let is_own = there.origin() == own.origin();
        let put = |authorization: Option<&Authorization>| {
            self.send(&there, blob, content, authorization.filter(|_| is_own))
        };
        self.client.authorized(put).map(drop)
    }

    /// Where the registry wants the blob, from its answer to the wish.
    fn place(&self, asked: &Address, response: &Response<Body>) -> Result<Address, Failure> {
        if !response.headers().contains_key(header::LOCATION) {
            let message = "the registry does not say where a blob is to be sent";
            return Err(Failure::Final(Error::new(Kind::Io, self.client.place(), message)));
        }
        self.client.location(asked, response)
    }

    fn send(
        &self,
        there: &Address,
        blob: &Blob,
        content: &dyn Content,
        authorization: Option<&Authorization>,
    ) -> Result<Response<Body>, Failure> {
        let mut sending =
            Sending { reader: content.open(), done: 0, blob, access: self.access, failed: None };
        let request = self.client.agent.put(there.as_str()).content_type("application/octet-stream");
        let request = authorized(request, authorization).header(header::CONTENT_LENGTH, blob.size);
        let request = request.config().timeout_recv_response(Some(PATIENCE)).build();
        let outcome = request.send(SendBody::from_reader(&mut sending));
        match sending.failed {
            Some(error) => {
                let message = "cannot read what is sent a second time";
                Err(Failure::Final(Error::io(self.client.place(), message, error)))
            }
            None => self.client.answer(there.origin(), outcome),
        }
    }
}

/// A body on its way, which tells how far it is and remembers if it could not be read.
struct Sending<'a> {
    reader: Box<dyn Read + 'a>,
    done: u64,
    blob: &'a Blob,
    access: &'a Access<'a>,
    failed: Option<io::Error>,
}

impl Read for Sending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = match self.reader.read(buffer) {
            Ok(0) if self.done < self.blob.size => Err(io::ErrorKind::UnexpectedEof.into()),
            outcome => outcome,
        };
        let len = len.map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            io::Error::from(kind)
        })?;
        self.done += len as u64;
        (self.access.progress)(Progress { done: self.done.min(self.blob.size), total: self.blob.size });
        Ok(len)
    }
}
