//! Requests to one registry for one repository.

use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exporter::error::{Error, Kind, Result};
use exporter::limits;
use http::{Response, StatusCode, header};
use oci_spec::image::{Descriptor, DescriptorBuilder, Digest, MediaType};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, ResponseExt};

use super::address::{Address, Origin};
use super::authorize::{Authorization, authorized};
use super::failure::{Failure, may_pass, shown};
use super::{Mirror, pace, proxy, tls};
use crate::base::reference::Reference;
use crate::source::{Access, loopback};

/// Manifests and indexes, of OCI and of docker: what can be read.
pub(super) const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Silence after which a registry is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Pauses before further attempts.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];
/// How many tags a hint lists.
const TAGS_SHOWN: usize = 10;

/// One registry, or a mirror of it, and one repository in it.
pub(super) struct Client<'a> {
    pub(super) agent: Agent,
    pub(super) access: &'a Access<'a>,
    /// What messages call the image.
    pub(super) place: String,
    /// `https` or `http`.
    pub(super) scheme: String,
    /// With the port, if one was given.
    pub(super) host: String,
    /// What logins are looked for by, which the user knows the registry by.
    pub(super) login_host: String,
    pub(super) path: String,
    pub(super) authorization: Mutex<Option<Authorization>>,
    /// Who has been asked for tokens.
    pub(super) token_servers: Mutex<Vec<Origin>>,
    /// Once it has answered it is there, and worth waiting for.
    pub(super) has_answered: AtomicBool,
}

impl<'a> Client<'a> {
    /// A client for what `reference` names, by way of a mirror if one is given.
    ///
    /// # Errors
    /// `Io` or `Input` for certificates that cannot be read.
    pub(super) fn new(
        place: &str,
        reference: &Reference,
        mirror: Option<&Mirror>,
        access: &'a Access<'a>,
    ) -> Result<Self> {
        let (scheme, login_host, prefix) = match mirror {
            Some(mirror) => (mirror.scheme.clone(), mirror.host.clone(), &*mirror.prefix),
            None if access.plain_http => ("http".to_owned(), reference.host.clone(), ""),
            None => ("https".to_owned(), reference.host.clone(), ""),
        };
        // The name of the registry and that of the machine differ there for historical reasons.
        let host = if login_host == "docker.io" { "registry-1.docker.io".into() } else { login_host.clone() };
        let client = Self {
            agent: agent(&scheme, &host)?,
            access,
            place: place.to_owned(),
            path: format!("{prefix}{}", reference.path),
            scheme,
            host,
            login_host,
            authorization: Mutex::new(None),
            token_servers: Mutex::new(Vec::new()),
            has_answered: AtomicBool::new(false),
        };
        let may_be_plain =
            mirror.is_none() && client.scheme == "https" && loopback::is_loopback(&client.host);
        match may_be_plain && !client.speaks_tls() {
            true => Ok(Self { scheme: "http".to_owned(), ..client }),
            false => Ok(client),
        }
    }

    /// What messages call the image.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Whether TLS is what the registry answers with. Nothing secret is sent to find out.
    fn speaks_tls(&self) -> bool {
        match self.agent.get(format!("{}://{}/v2/", self.scheme, self.host)).call() {
            Err(ureq::Error::Io(error)) => {
                let reason = error.get_ref().and_then(|reason| reason.downcast_ref());
                let is_cut_off =
                    [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&error.kind());
                !is_cut_off && !matches!(reason, Some(rustls::Error::InvalidMessage(_)))
            }
            Err(ureq::Error::Rustls(rustls::Error::InvalidMessage(_))) => false,
            _ => true,
        }
    }

    /// The manifest or index of a tag or digest, and its description.
    ///
    /// # Errors
    /// `NotFound` if there is none, with what there is; `Unsupported` if it is something else.
    pub(super) fn manifest(&self, version: &str) -> Result<(Descriptor, Vec<u8>)> {
        let path = format!("manifests/{version}");
        let (media_type, bytes) = self
            .insist(|| {
                let response = self.get(&path, &[("Accept", &MANIFESTS.join(","))])?;
                let media_type = content_type(&response);
                Ok((media_type, self.read(response, limits::MANIFEST)?))
            })
            .map_err(|error| match error.kind() {
                Kind::NotFound => self.no_image(),
                _ => error,
            })?;
        let media_type = self.manifest_type(media_type, &bytes)?;
        let digest = match version.starts_with("sha256:") {
            true => version.to_owned(),
            false => format!("sha256:{:x}", Sha256::digest(&bytes)),
        };
        let digest = digest.parse::<Digest>().expect("it was just made, or is part of a reference");
        let descriptor = DescriptorBuilder::default()
            .media_type(MediaType::from(&*media_type))
            .size(bytes.len() as u64)
            .digest(digest)
            .build()
            .expect("all that is required is there");
        Ok((descriptor, bytes))
    }

    /// What a manifest is: the header says so, or else the manifest itself.
    pub(super) fn manifest_type(&self, header: String, bytes: &[u8]) -> Result<String> {
        if MANIFESTS.contains(&&*header) {
            return Ok(header);
        }
        let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
        match json["mediaType"].as_str() {
            Some(own) if MANIFESTS.contains(&own) => Ok(own.to_owned()),
            _ => {
                let shown = shown(&header);
                let message = format!("the registry has something of the type {shown:?} there, not an image");
                Err(Error::new(Kind::Unsupported, &self.place, message))
            }
        }
    }

    /// Attempt something until it is done, or cannot be.
    pub(super) fn insist<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        let mut pauses = PAUSES.iter();
        loop {
            let reason = match attempt() {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(reason)) => reason,
            };
            match pauses.next() {
                Some(pause) => std::thread::sleep(*pause),
                None => {
                    let message = format!("{reason}, {} times in a row", PAUSES.len() + 1);
                    return Err(Error::new(Kind::Io, &self.place, message));
                }
            }
        }
    }

    /// What is at `path` of the repository, once the registry knows who asks.
    pub(super) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response<Body>, Failure> {
        let address = self.address(path)?;
        self.authorized(|authorization| self.send(address.clone(), headers, authorization))
    }

    /// The address of `path` of the repository.
    pub(super) fn address(&self, path: &str) -> Result<Address, Failure> {
        let text = format!("{}://{}/v2/{}/{path}", self.scheme, self.host, self.path);
        Address::parse(&text).ok_or_else(|| {
            let message = format!("{} is no name of a registry", self.host);
            Failure::Final(Error::new(Kind::Input, &self.place, message))
        })
    }

    /// Whether it is the registry itself that is there, which alone is told of a login.
    pub(super) fn is_own(&self, origin: &Origin) -> bool {
        self.address("").is_ok_and(|own| own.origin() == origin)
    }

    /// The good answer to what `ask` sends: again if the registry wants to know who asks.
    pub(super) fn authorized(
        &self,
        ask: impl Fn(Option<&Authorization>) -> Result<Response<Body>, Failure>,
    ) -> Result<Response<Body>, Failure> {
        let sent = self.authorization().clone();
        let response = ask(sent.as_ref())?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.check(response);
        }
        let asks = Address::parse(&response.get_uri().to_string());
        if !asks.is_some_and(|asks| self.is_own(asks.origin())) {
            let message = "the registry sends on to a server that wants a login";
            return Err(Failure::Final(Error::new(Kind::Input, &self.place, message)));
        }
        let authorization = self.authorize(&response, sent)?;
        match ask(Some(&authorization))? {
            response if response.status() == StatusCode::UNAUTHORIZED => {
                Err(self.refused(authorization.is_of_login))
            }
            response => self.check(response),
        }
    }

    fn send(
        &self,
        address: Address,
        headers: &[(&str, &str)],
        authorization: Option<&Authorization>,
    ) -> Result<Response<Body>, Failure> {
        self.follow(address, authorization, |url, authorization| {
            let request = authorized(self.agent.get(url), authorization);
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).call()
        })
    }

    /// What a request there came to.
    pub(super) fn answer(
        &self,
        from: &Origin,
        outcome: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let response = outcome.map_err(|error| self.unreachable(from, &error))?;
        self.has_answered.store(true, Ordering::Relaxed);
        Ok(response)
    }

    /// An answer with a good status.
    pub(super) fn check(&self, response: Response<Body>) -> Result<Response<Body>, Failure> {
        let status = response.status();
        // A range beyond the end says how long a file is.
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        if may_pass(status) {
            return Err(Failure::Passing(format!("the registry answers {status}")));
        }
        if status == StatusCode::FORBIDDEN {
            let is_of_login = self.authorization().as_ref().is_some_and(|sent| sent.is_of_login);
            return Err(self.refused(is_of_login));
        }
        let reason = self.reason(response).map(|reason| format!(": {reason}")).unwrap_or_default();
        let kind = if status == StatusCode::NOT_FOUND { Kind::NotFound } else { Kind::Io };
        let message = format!("the registry answers {status}{reason}");
        Err(Failure::Final(Error::new(kind, &self.place, message)))
    }

    /// All of an answer.
    pub(super) fn read(&self, response: Response<Body>, limit: u64) -> Result<Vec<u8>, Failure> {
        let host = response.get_uri().host().unwrap_or_default().to_owned();
        let read = response.into_body().into_with_config().limit(limit).read_to_vec();
        read.map_err(|error| self.incomplete(&host, &error))
    }

    fn no_image(&self) -> Error {
        let error = Error::new(Kind::NotFound, &self.place, "the registry has no such image");
        match self.tags() {
            Some(tags) => error.with_hint(tags),
            None => error,
        }
    }

    /// What there is under the name, for somebody who asked for something else.
    fn tags(&self) -> Option<String> {
        let address = self.address("tags/list").ok()?;
        let response = self.send(address, &[], self.authorization().clone().as_ref()).ok()?;
        if !response.status().is_success() {
            return Some(format!("it has nothing called {}", self.path));
        }
        let json: Value = serde_json::from_slice(&self.read(response, limits::ANSWER).ok()?).ok()?;
        let mut tags: Vec<_> = json["tags"].as_array()?.iter().filter_map(Value::as_str).map(shown).collect();
        let more = tags.len().saturating_sub(TAGS_SHOWN);
        tags.truncate(TAGS_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!tags.is_empty()).then(|| format!("its tags are {}{more}", tags.join(", ")))
    }
}

fn agent(scheme: &str, host: &str) -> Result<Agent> {
    let config = Agent::config_builder()
        .tls_config(tls::config(host)?)
        .proxy(proxy::from_environment(scheme, host))
        .http_status_as_error(false)
        // Where answers send on to is followed with an eye on logins.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(limits::ANSWER_HEAD)
        .user_agent(concat!("vmimage/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(PATIENCE))
        .timeout_connect(Some(PATIENCE))
        .timeout_send_request(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .timeout_per_write(Some(PATIENCE));
    Ok(Agent::with_parts(config.build(), pace::connector(), DefaultResolver::default()))
}

pub(super) fn content_type(response: &Response<Body>) -> String {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned()
}
