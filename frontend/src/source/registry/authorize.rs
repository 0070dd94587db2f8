//! Who asks: what a registry wants to know before it gives an image away.

use std::sync::{MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exporter::error::{Error, Kind};
use http::{Response, StatusCode, header};
use serde_json::Value;
use ureq::Body;

use super::challenge::Challenge;
use super::client::{ANSWER_MAX, Client};
use super::credentials::{self, Login};
use super::failure::Failure;
use crate::source::loopback;

/// What proves who asks. It has no `Debug`: nothing may print it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    /// The value of the header of that name.
    pub(super) header: String,
    /// Whether it comes from a login, or is what everybody gets.
    pub(super) is_of_login: bool,
}

impl Client {
    /// What was sent last.
    pub(super) fn authorization(&self) -> MutexGuard<'_, Option<Authorization>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new authorization, as the registry wants it; `sent` is the one that it does not take.
    pub(super) fn authorize(
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
        let json: Value = serde_json::from_slice(&self.read(response, ANSWER_MAX)?).unwrap_or_default();
        let token = [&json["token"], &json["access_token"]].into_iter().find_map(Value::as_str);
        token.filter(|token| !token.is_empty()).map(str::to_owned).ok_or_else(|| {
            let message = "the registry's token server gives no token";
            Failure::Final(Error::new(Kind::Io, &self.place, message))
        })
    }

    /// That this is not enough.
    pub(super) fn refused(&self, is_of_login: bool) -> Failure {
        let host = &self.login_host;
        let (message, again) = match is_of_login {
            true => ("the registry refuses the login", " again"),
            false => ("the registry wants a login", ""),
        };
        let hint = format!("log in{again}: docker login {host}, or podman login {host}");
        Failure::Final(Error::new(Kind::Input, &self.place, message).with_hint(hint))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
