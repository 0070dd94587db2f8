//! Who asks: what a registry wants to know before it gives something away.

use serde_json::Value;
use ureq::http::header;

use super::Registry;
use super::challenge::Challenge;
use super::login::{self, Login};
use crate::update::source::http::{Address, Answer, Failure};

/// The longest answer with a token.
const LONGEST: u64 = 1 << 20;

impl Registry {
    /// Finds out what to tell the registry from now on, by the answer that wants to know it.
    pub(super) fn authorize(&mut self, answer: &Answer) -> Result<(), Failure> {
        let headers = answer.response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = Challenge::choose(headers.iter().filter_map(|value| value.to_str().ok()));
        let repository = format!("{}/{}", self.reference.host, self.reference.path);
        let login = login::find(&self.logins, &repository).map_err(Failure::Final)?;
        self.authorization = Some(match (challenge, login) {
            (Some(Challenge::Basic), Some(Login(login))) if self.repository.origin().may_know_login() => {
                login
            }
            (Some(Challenge::Basic), Some(_)) => return Err(everybody_reads()),
            (Some(Challenge::Basic), None) => return Err(self.refused()),
            (Some(Challenge::Bearer { realm, service, scope }), login) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.reference.path));
                let server = self.token_server(&realm, login.is_some())?;
                let server =
                    service.iter().fold(server, |server, service| server.with_query("service", service));
                let token = self.token(&server.with_query("scope", &scope), login)?;
                format!("Bearer {token}")
            }
            (None, _) => {
                let message = "the registry wants a login of a kind that is not known";
                return Err(Failure::Final(message.to_owned()));
            }
        });
        Ok(())
    }

    /// Where tokens come from, if what is sent there may be: a login over TLS, and nothing in a way that others can change
    /// where the registry itself is asked in one that they cannot.
    fn token_server(&self, realm: &str, has_login: bool) -> Result<Address, Failure> {
        let own = self.repository.origin();
        let realm = Address::parse(realm);
        let realm = realm
            .ok_or_else(|| Failure::Final("the registry names no server that gives tokens".to_owned()))?;
        match has_login {
            true if !realm.origin().may_know_login() => Err(everybody_reads()),
            _ if own.gives_up_tls_at(realm.origin()) => Err(Failure::Final(
                "the registry wants a token fetched where everybody can change it".to_owned(),
            )),
            _ => Ok(realm),
        }
    }

    /// See <https://distribution.github.io/distribution/spec/auth/token/>.
    fn token(&mut self, address: &Address, login: Option<Login>) -> Result<String, Failure> {
        let login = login.map(|Login(login)| login);
        let answer = self.client.get(address, &[], login.as_deref())?;
        let json = match answer.response.status().as_u16() {
            401 | 403 => return Err(self.refused()),
            _ => self.client.read(answer, LONGEST)?.unwrap_or_default(),
        };
        let json: Value = serde_json::from_slice(&json).unwrap_or_default();
        let token = json["token"].as_str().or_else(|| json["access_token"].as_str());
        // It becomes a header.
        let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        token.map(str::to_owned).ok_or_else(|| Failure::Final("the server of tokens gives none".to_owned()))
    }

    pub(super) fn refused(&self) -> Failure {
        let host = &self.reference.host;
        Failure::Final(format!(
            "the registry does not let this machine have it\nhint: a login for {host} may lie in \
             /etc/vmimage/registry.json, as docker login writes it"
        ))
    }
}

fn everybody_reads() -> Failure {
    Failure::Final("the registry wants the login sent where everybody can read it".to_owned())
}
