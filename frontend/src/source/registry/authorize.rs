//! Who asks: what a registry wants to know before it gives an image away.

use std::sync::{MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exporter::error::{Error, Kind};
use exporter::limits;
use http::{Response, StatusCode, header};
use serde_json::Value;
use ureq::Body;

use super::address::{Address, Origin};
use super::challenge::Challenge;
use super::client::Client;
use super::credentials::{self, Login};
use super::failure::Failure;

/// What proves who asks. It has no `Debug`: nothing may print it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    /// The value of the header of that name.
    pub(super) header: String,
    /// Whether it comes from a login, or is what everybody gets.
    pub(super) is_of_login: bool,
}

impl Client<'_> {
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
        let login = credentials::find(&repository, self.access.auth_file).map_err(Failure::Final)?;
        let is_of_login = login.is_some();
        let header = match (challenge, login) {
            (Some(Challenge::Basic), Some(Login::Password { user, password })) => basic(&user, &password),
            (Some(Challenge::Bearer { realm, service, scope }), login) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.path));
                let address = self.token_server(&realm, login.is_some())?;
                format!("Bearer {}", self.token(address, service.as_deref(), &scope, login)?)
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

    /// Where tokens come from, if what is sent there may be. Another server than the registry is allowed, and told
    /// when it is asked first.
    fn token_server(&self, realm: &str, is_of_login: bool) -> Result<Address, Failure> {
        let refused = |message: &str| Failure::Final(Error::new(Kind::Input, &self.place, message));
        let (own, realm) = (self.address("")?, Address::parse(realm));
        let may = |realm: &Address| match is_of_login {
            true => own.origin().may_send_login_to(realm.origin()),
            false => own.origin().may_ask(realm.origin()),
        };
        let realm = realm.filter(may).ok_or_else(|| match is_of_login {
            true => refused("the registry wants the login sent where everybody can read it"),
            false => refused("the registry wants a token fetched where everybody can change it"),
        })?;
        let mut known = self.token_servers.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(realm.origin()) {
            return Ok(realm);
        }
        if known.len() == limits::TOKEN_SERVERS {
            return Err(refused("the registry names one server of tokens after the other"));
        }
        known.push(realm.origin().clone());
        if own.origin() != realm.origin() {
            self.name_token_server(realm.origin(), is_of_login);
        }
        Ok(realm)
    }

    fn name_token_server(&self, server: &Origin, is_of_login: bool) {
        let registry = &self.login_host;
        (self.access.note)(&match is_of_login {
            true => format!("{registry}: the login is sent to {server}, which gives its tokens"),
            false => format!("{registry}: {server} gives its tokens"),
        });
    }

    /// A token for the login, or for nobody in particular.
    fn token(
        &self,
        realm: Address,
        service: Option<&str>,
        scope: &str,
        login: Option<Login>,
    ) -> Result<String, Failure> {
        let is_of_login = login.is_some();
        let response = match login {
            Some(Login::Identity(token)) => self.exchange(&realm, service, scope, &token)?,
            login => {
                let asked = realm.with_query("scope", scope);
                let asked = service.iter().fold(asked, |asked, service| asked.with_query("service", service));
                let login = match login {
                    Some(Login::Password { user, password }) => Some(basic(&user, &password)),
                    _ => None,
                };
                let login = login.map(|header| Authorization { header, is_of_login });
                self.follow(asked, login.as_ref(), |url, login| {
                    authorized(self.agent.get(url), login).call()
                })?
            }
        };
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&response.status()) {
            return Err(self.refused(is_of_login));
        }
        let response = self.check(response)?;
        let json: Value = serde_json::from_slice(&self.read(response, limits::ANSWER)?).unwrap_or_default();
        let token = [&json["token"], &json["access_token"]].into_iter().find_map(Value::as_str);
        let is_token = |token: &&str| !token.is_empty() && token.len() <= limits::TOKEN;
        token.filter(is_token).map(str::to_owned).ok_or_else(|| {
            let message = "the registry's token server gives no token";
            Failure::Final(Error::new(Kind::Io, &self.place, message))
        })
    }

    /// What is answered to a token that stands for name and password. It is sent to no further address.
    ///
    /// <https://distribution.github.io/distribution/spec/auth/oauth/>
    fn exchange(
        &self,
        realm: &Address,
        service: Option<&str>,
        scope: &str,
        token: &str,
    ) -> Result<Response<Body>, Failure> {
        let grant = [("grant_type", "refresh_token"), ("client_id", "vmimage"), ("scope", scope)];
        let service = service.map(|service| ("service", service));
        let form = grant.into_iter().chain(service).chain([("refresh_token", token)]);
        self.answer(realm.origin(), self.agent.post(realm.as_str()).send_form(form))
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

/// A request with what proves who asks.
pub(super) fn authorized<B>(
    request: ureq::RequestBuilder<B>,
    authorization: Option<&Authorization>,
) -> ureq::RequestBuilder<B> {
    match authorization {
        Some(sent) => request.header(header::AUTHORIZATION, &sent.header),
        None => request,
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::source::Access;

    /// What becomes of these realms, one after the other, and what is told meanwhile.
    fn asked(
        registry: &str,
        realms: &[&str],
        is_of_login: bool,
    ) -> (Vec<Result<String, String>>, Vec<String>) {
        let notes = Mutex::new(Vec::new());
        let note = |text: &str| notes.lock().unwrap().push(text.to_owned());
        let plain_http = registry.starts_with("http://");
        let access = Access {
            plain_http,
            mirrors: &[],
            auth_file: None,
            store_reader: None,
            progress: &|_| {},
            note: &note,
        };
        let name = registry.split("://").nth(1).unwrap();
        let reference = format!("{name}/app").parse().unwrap();
        let client = Client::new("image", &reference, None, &access).unwrap();
        let outcome = |realm: &&str| match client.token_server(realm, is_of_login) {
            Ok(address) => Ok(address.as_str().to_owned()),
            Err(Failure::Final(error)) => Err(error.to_string()),
            Err(Failure::Passing(reason)) => Err(reason),
        };
        let outcomes = realms.iter().map(outcome).collect();
        drop(client);
        (outcomes, notes.into_inner().unwrap())
    }

    #[test]
    fn another_server_of_tokens_is_named_at_first_use() {
        let realms =
            ["https://b.example/t", "https://b.example/u", "https://a.example/t", "https://a.example:444/"];
        let (outcomes, notes) = asked("https://a.example", &realms, true);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let sent = |server: &str| format!("a.example: the login is sent to {server}, which gives its tokens");
        assert_eq!(notes, [sent("b.example"), sent("a.example:444")]);
        let (_, notes) = asked("https://a.example", &["https://b.example:5000/t"], false);
        assert_eq!(notes, ["a.example: b.example:5000 gives its tokens"]);
    }

    #[test]
    fn servers_of_tokens_come_to_an_end() {
        let realms: Vec<_> = (0..6).map(|number| format!("https://{number}.example/")).collect();
        let realms: Vec<_> = realms.iter().map(String::as_str).collect();
        let (outcomes, notes) = asked("https://a.example", &realms, false);
        let refusals: Vec<_> = outcomes.iter().map(Result::is_err).collect();
        assert_eq!(refusals, [false, false, false, false, true, true]);
        assert_eq!(notes.len(), 4);
    }

    #[test]
    fn a_realm_is_asked_over_tls() {
        let https = "the registry wants the login sent where everybody can read it";
        for (registry, realm) in [
            ("https://a.example", "http://a.example/token"),
            ("https://a.example", "http://127.0.0.1/token"),
            ("http://a.example", "http://a.example/token"),
            ("https://a.example", "https://me:secret@b.example/token"),
            ("https://a.example", "ftp://a.example/token"),
            ("https://a.example", "token"),
        ] {
            let (outcomes, notes) = asked(registry, &[realm], true);
            assert_eq!(outcomes, [Err(format!("image: {https}"))], "{registry} {realm}");
            assert!(notes.is_empty());
        }
        // What everybody gets is no secret, but over TLS nobody changes it.
        let anonymous = |registry, realm| asked(registry, &[realm], false).0.remove(0).is_ok();
        assert!(!anonymous("https://a.example", "http://a.example/token"));
        assert!(anonymous("http://a.example", "http://a.example/token"));
    }
}
