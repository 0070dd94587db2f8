//! Requests that fail: what may pass, what does not, and what is said of it.

use std::fmt::Display;
use std::sync::atomic::Ordering;

use exporter::error::{Error, Kind};
use exporter::limits;
use http::{Response, StatusCode};
use serde_json::Value;
use ureq::Body;

use super::address::Origin;
use super::client::{Client, PATIENCE};

/// Why a request has not got its answer.
pub(super) enum Failure {
    /// What is wrong may pass: a broken connection, a registry that is too busy.
    Passing(String),
    /// It is as it is.
    Final(Error),
}

impl Client<'_> {
    /// Why there is no answer from `host`.
    pub(super) fn unreachable(&self, host: &Origin, error: &ureq::Error) -> Failure {
        let certificate = |reason: &rustls::Error| matches!(reason, rustls::Error::InvalidCertificate(_));
        let reason = match error {
            ureq::Error::Io(error) => {
                error.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>())
            }
            ureq::Error::Rustls(reason) => Some(reason),
            _ => None,
        };
        if reason.is_some_and(certificate) {
            let message = format!("{host} cannot be trusted: {}", explain(error));
            let folder = format!("/etc/containers/certs.d/{}", self.host);
            let hint = format!("put the certificate of its authority into {folder}/ca.crt");
            return Failure::Final(Error::new(Kind::Input, &self.place, message).with_hint(hint));
        }
        if matches!(reason, Some(rustls::Error::InvalidMessage(_))) {
            let error = Error::new(Kind::Input, &self.place, format!("{host} does not speak TLS"));
            return Failure::Final(error.with_hint("if it is meant to: --plain-http"));
        }
        if let Some(refusal) = refusal(error) {
            return self.refuses(host, &refusal);
        }
        let message = format!("{host} cannot be reached: {}", explain(error));
        match self.has_answered.load(Ordering::Relaxed) {
            true => Failure::Passing(message),
            false => Failure::Final(Error::new(Kind::Io, &self.place, message)),
        }
    }

    /// Why an answer from `host` has not come whole.
    pub(super) fn incomplete(&self, host: &str, error: &ureq::Error) -> Failure {
        match refusal(error) {
            Some(refusal) => self.refuses(host, &refusal),
            None => Failure::Passing(format!("the answer does not come whole: {}", explain(error))),
        }
    }

    /// What `host` does that it will do again.
    pub(super) fn refuses(&self, host: impl Display, refusal: &str) -> Failure {
        Failure::Final(Error::new(Kind::Io, &self.place, format!("{host} {refusal}")))
    }

    /// What the registry says is wrong:
    /// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes>.
    pub(super) fn reason(&self, response: Response<Body>) -> Option<String> {
        let json: Value = serde_json::from_slice(&self.read(response, limits::ANSWER).ok()?).ok()?;
        json["errors"][0]["message"].as_str().map(shown)
    }
}

/// What the other side does that it will do again; `None` if the connection is at fault, which may pass.
fn refusal(error: &ureq::Error) -> Option<String> {
    Some(match error {
        ureq::Error::Io(error) => {
            format!("refuses TLS: {}", error.get_ref()?.downcast_ref::<rustls::Error>()?)
        }
        ureq::Error::Rustls(reason) => format!("refuses TLS: {reason}"),
        ureq::Error::Timeout(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => return None,
        // It would be quoted.
        ureq::Error::BadUri(_) => "is no address".to_owned(),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
            "answers in a way that HTTP does not have".to_owned()
        }
        ureq::Error::LargeResponseHeader(..) => "answers with more headers than are read".to_owned(),
        ureq::Error::BodyExceedsLimit(limit) => format!("answers with more than {limit} bytes"),
        ureq::Error::ConnectProxyFailed(_) => "is not what the proxy connects to".to_owned(),
        other => format!("cannot be asked: {}", explain(other)),
    })
}

/// Answers that may be another one soon: to who comes too often or too slowly, or while a part of it is missing.
pub(super) fn may_pass(status: StatusCode) -> bool {
    [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}

/// What is wrong, without what may be secret: URLs that are sent on to are signed.
pub(super) fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => format!("no answer in {} seconds", PATIENCE.as_secs()),
        ureq::Error::HostNotFound => "there is no host of that name".to_owned(),
        other => other.to_string(),
    }
}

/// The start of a text of somebody else, for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(limits::SHOWN).collect()
}
