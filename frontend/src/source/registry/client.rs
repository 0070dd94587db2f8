//! Requests to one registry for one repository.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exporter::error::{Error, Kind, Result};
use http::{Response, StatusCode, header};
use oci_spec::image::{Descriptor, DescriptorBuilder, Digest, MediaType};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use ureq::config::RedirectAuthHeaders;
use ureq::{Agent, Body};

use super::challenge::Challenge;
use super::credentials::{self, Login};
use super::{Mirror, proxy, tls};
use crate::source::reference::Reference;
use crate::source::{Access, loopback};

/// Manifests and indexes, of OCI and of docker: what can be read.
pub(super) const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// The largest manifest: registries refuse larger ones.
const MANIFEST_MAX: u64 = 4 << 20;
/// The largest other answer that is read: tokens, errors, lists of tags.
const ANSWER_MAX: u64 = 1 << 20;
/// Silence after which a registry is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pauses before further attempts.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];
/// How many tags a hint lists.
const TAGS_SHOWN: usize = 10;

/// Why a request has not got its answer.
pub(super) enum Failure {
    /// What is wrong may pass: a broken connection, a registry that is too busy.
    Passing(String),
    /// It is as it is.
    Final(Error),
}

/// One registry, or a mirror of it, and one repository in it.
pub(super) struct Client {
    agent: Agent,
    /// What messages call the image.
    place: String,
    /// `https` or `http`.
    scheme: String,
    /// With the port, if one was given.
    host: String,
    /// What logins are looked for by, which the user knows the registry by.
    login_host: String,
    path: String,
    auth_file: Option<PathBuf>,
    authorization: Mutex<Option<Authorization>>,
    /// Once it has answered it is there, and worth waiting for.
    has_answered: AtomicBool,
}

/// What proves who asks. It has no `Debug`: nothing may print it.
#[derive(Clone, PartialEq, Eq)]
struct Authorization {
    /// The value of the header of that name.
    header: String,
    /// Whether it comes from a login, or is what everybody gets.
    is_of_login: bool,
}

impl Client {
    /// A client for what `reference` names, by way of a mirror if one is given.
    ///
    /// # Errors
    /// `Io` or `Input` for certificates that can't be read; `Io` if this machine itself has no registry.
    pub(super) fn new(
        place: &str,
        reference: &Reference,
        mirror: Option<&Mirror>,
        access: &Access<'_>,
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
            place: place.to_owned(),
            path: format!("{prefix}{}", reference.path),
            scheme,
            host,
            login_host,
            auth_file: access.auth_file.map(PathBuf::from),
            authorization: Mutex::new(None),
            has_answered: AtomicBool::new(false),
        };
        match client.scheme == "https" && loopback::is_loopback(&client.host) && !client.speaks_tls() {
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
                !matches!(reason, Some(rustls::Error::InvalidMessage(_)))
            }
            Err(ureq::Error::Rustls(rustls::Error::InvalidMessage(_))) => false,
            _ => true,
        }
    }

    /// The manifest or index of a tag or digest, and its description.
    ///
    /// # Errors
    /// `NotFound` if there is none, with what there is; `Unsupported` if it is something else.
    pub(super) fn manifest(&self, version: &str, stop: &AtomicBool) -> Result<(Descriptor, Vec<u8>)> {
        let path = format!("manifests/{version}");
        let (media_type, bytes) = self
            .insist(stop, || {
                let response = self.get(&path, &[("Accept", &MANIFESTS.join(","))])?;
                let media_type = content_type(&response);
                Ok((media_type, read(response, MANIFEST_MAX)?))
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
    fn manifest_type(&self, header: String, bytes: &[u8]) -> Result<String> {
        if MANIFESTS.contains(&&*header) {
            return Ok(header);
        }
        let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
        match json["mediaType"].as_str() {
            Some(own) if MANIFESTS.contains(&own) => Ok(own.to_owned()),
            _ => {
                let message =
                    format!("the registry has something of the type {header:?} there, not an image");
                Err(Error::new(Kind::Unsupported, &self.place, message))
            }
        }
    }

    /// Attempt something until it is done, or can't be.
    pub(super) fn insist<T>(
        &self,
        stop: &AtomicBool,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T> {
        let mut pauses = PAUSES.iter();
        loop {
            let reason = match attempt() {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(reason)) => reason,
            };
            if stop.load(Ordering::Relaxed) {
                return Err(Error::new(Kind::Interrupted, "", "interrupted"));
            }
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
        let url = format!("{}://{}/v2/{}/{path}", self.scheme, self.host, self.path);
        let sent = self.authorization().clone();
        let response = self.send(&url, headers, sent.as_ref())?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.check(response);
        }
        let authorization = self.authorize(&response, sent)?;
        match self.send(&url, headers, Some(&authorization))? {
            response if response.status() == StatusCode::UNAUTHORIZED => {
                Err(self.refused(authorization.is_of_login))
            }
            response => self.check(response),
        }
    }

    fn send(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        authorization: Option<&Authorization>,
    ) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(Authorization { header: value, .. }) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        self.has_answered.store(true, Ordering::Relaxed);
        Ok(response)
    }

    fn authorization(&self) -> MutexGuard<'_, Option<Authorization>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new authorization, as the registry wants it; `sent` is the one that it does not take.
    fn authorize(
        &self,
        response: &Response<Body>,
        sent: Option<Authorization>,
    ) -> Result<Authorization, Failure> {
        let mut authorization = self.authorization();
        if let Some(newer) = authorization.clone().filter(|_| *authorization != sent) {
            return Ok(newer);
        }
        let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = Challenge::choose(headers.iter().filter_map(|value| value.to_str().ok()));
        let repository = format!("{}/{}", self.login_host, self.path);
        let login = credentials::find(&repository, self.auth_file.as_deref()).map_err(Failure::Final)?;
        let is_of_login = login.is_some();
        let header = match (challenge, login) {
            (Some(Challenge::Basic), Some(Login::Password { user, password })) => basic(&user, &password),
            (Some(Challenge::Bearer { realm, service, scope }), login) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.path));
                format!("Bearer {}", self.token(&realm, service.as_deref(), &scope, login)?)
            }
            (Some(Challenge::Basic), _) => return Err(self.refused(false)),
            (None, _) => {
                let message = "the registry wants a login of a kind that is not known";
                return Err(Failure::Final(Error::new(Kind::Unsupported, &self.place, message)));
            }
        };
        let made = Authorization { header, is_of_login };
        *authorization = Some(made.clone());
        Ok(made)
    }

    /// A token for the login, or for nobody in particular.
    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        login: Option<Login>,
    ) -> Result<String, Failure> {
        let is_of_login = login.is_some();
        let is_safe = realm.starts_with("https://")
            || realm.strip_prefix("http://").is_some_and(|rest| {
                self.scheme == "http" || loopback::is_loopback(rest.split('/').next().unwrap_or_default())
            });
        if is_of_login && !is_safe {
            let message = "the registry wants the login sent where everybody can read it";
            return Err(Failure::Final(Error::new(Kind::Input, &self.place, message)));
        }
        let service = service.map(|service| ("service", service));
        let sent = match &login {
            // <https://distribution.github.io/distribution/spec/auth/oauth/>
            Some(Login::Identity(token)) => {
                let grant = [("grant_type", "refresh_token"), ("client_id", "vmimage"), ("scope", scope)];
                let form = grant.into_iter().chain(service).chain([("refresh_token", token.as_str())]);
                self.agent.post(realm).send_form(form)
            }
            Some(Login::Password { user, password }) => {
                let request = self.agent.get(realm).query("scope", scope).query_pairs(service);
                request.header(header::AUTHORIZATION, basic(user, password)).call()
            }
            None => self.agent.get(realm).query("scope", scope).query_pairs(service).call(),
        };
        let response = sent.map_err(|error| self.unreachable(&error))?;
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&response.status()) {
            return Err(self.refused(is_of_login));
        }
        let response = self.check(response)?;
        let json: Value = serde_json::from_slice(&read(response, ANSWER_MAX)?).unwrap_or_default();
        let token = [&json["token"], &json["access_token"]].into_iter().find_map(Value::as_str);
        token.filter(|token| !token.is_empty()).map(str::to_owned).ok_or_else(|| {
            let message = "the registry's token server gives no token";
            Failure::Final(Error::new(Kind::Io, &self.place, message))
        })
    }

    /// An answer with a good status.
    fn check(&self, response: Response<Body>) -> Result<Response<Body>, Failure> {
        let status = response.status();
        let is_found = status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE;
        if is_found {
            return Ok(response);
        }
        let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
        if busy || status.is_server_error() {
            return Err(Failure::Passing(format!("the registry answers {status}")));
        }
        if status == StatusCode::FORBIDDEN {
            let is_of_login = self.authorization().as_ref().is_some_and(|sent| sent.is_of_login);
            return Err(self.refused(is_of_login));
        }
        let reason = reason(response).map(|reason| format!(": {reason}")).unwrap_or_default();
        let kind = if status == StatusCode::NOT_FOUND { Kind::NotFound } else { Kind::Io };
        let message = format!("the registry answers {status}{reason}");
        Err(Failure::Final(Error::new(kind, &self.place, message)))
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
        let url = format!("{}://{}/v2/{}/tags/list", self.scheme, self.host, self.path);
        let response = self.send(&url, &[], self.authorization().clone().as_ref()).ok()?;
        if !response.status().is_success() {
            return Some(format!("it has nothing called {}", self.path));
        }
        let json: Value = serde_json::from_slice(&read(response, ANSWER_MAX).ok()?).ok()?;
        let mut tags: Vec<_> = json["tags"].as_array()?.iter().filter_map(Value::as_str).map(plain).collect();
        let more = tags.len().saturating_sub(TAGS_SHOWN);
        tags.truncate(TAGS_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!tags.is_empty()).then(|| format!("its tags are {}{more}", tags.join(", ")))
    }

    fn refused(&self, is_of_login: bool) -> Failure {
        let host = &self.login_host;
        let (message, again) = match is_of_login {
            true => ("the registry refuses the login", " again"),
            false => ("the registry wants a login", ""),
        };
        let hint = format!("log in{again}: docker login {host}, or podman login {host}");
        Failure::Final(Error::new(Kind::Input, &self.place, message).with_hint(hint))
    }

    /// Why there is no answer.
    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let host = &self.host;
        let certificate = |reason: &rustls::Error| matches!(reason, rustls::Error::InvalidCertificate(_));
        let reason = match error {
            ureq::Error::Io(error) => {
                error.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>())
            }
            ureq::Error::Rustls(reason) => Some(reason),
            _ => None,
        };
        if reason.is_some_and(certificate) {
            let message = format!("{host} can't be trusted: {}", explain(error));
            let hint =
                format!("put the certificate of its authority into /etc/containers/certs.d/{host}/ca.crt");
            return Failure::Final(Error::new(Kind::Input, &self.place, message).with_hint(hint));
        }
        if matches!(reason, Some(rustls::Error::InvalidMessage(_))) {
            let error = Error::new(Kind::Input, &self.place, format!("{host} does not speak TLS"));
            return Failure::Final(error.with_hint("if it is meant to: --plain-http"));
        }
        let message = format!("{host} can't be reached: {}", explain(error));
        match self.has_answered.load(Ordering::Relaxed) {
            true => Failure::Passing(message),
            false => Failure::Final(Error::new(Kind::Io, &self.place, message)),
        }
    }
}

fn agent(scheme: &str, host: &str) -> Result<Agent> {
    let config = Agent::config_builder()
        .tls_config(tls::config(host)?)
        .proxy(proxy::from_environment(scheme, host))
        .http_status_as_error(false)
        // Registries send on to stores of files, which have no business with the login.
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .user_agent(concat!("vmimage/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(PATIENCE))
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE));
    Ok(config.build().into())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn content_type(response: &Response<Body>) -> String {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned()
}

/// All of an answer.
fn read(response: Response<Body>, limit: u64) -> Result<Vec<u8>, Failure> {
    let read = response.into_body().into_with_config().limit(limit).read_to_vec();
    read.map_err(|error| Failure::Passing(format!("the answer does not come whole: {}", explain(&error))))
}

/// What is wrong, without what may be secret: URLs that are sent on to are signed.
pub(super) fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => format!("no answer in {} seconds", PATIENCE.as_secs()),
        ureq::Error::HostNotFound => "there is no host of that name".to_owned(),
        ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => "the address is wrong".to_owned(),
        ureq::Error::ConnectProxyFailed(_) => "the proxy does not connect".to_owned(),
        other => other.to_string(),
    }
}

/// What the registry says is wrong:
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes>.
fn reason(response: Response<Body>) -> Option<String> {
    let json: Value = serde_json::from_slice(&read(response, ANSWER_MAX).ok()?).ok()?;
    json["errors"][0]["message"].as_str().map(plain)
}

/// Text of somebody else, fit for a terminal.
fn plain(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}
