//! Requests that fail: what may pass, what does not, and what is said of it.

use std::sync::atomic::Ordering;

use exporter::error::{Error, Kind};
use http::Response;
use serde_json::Value;
use ureq::Body;

use super::client::{ANSWER_MAX, Client, PATIENCE, read};

/// Why a request has not got its answer.
pub(super) enum Failure {
    /// What is wrong may pass: a broken connection, a registry that is too busy.
    Passing(String),
    /// It is as it is.
    Final(Error),
}

impl Client {
    /// Why there is no answer.
    pub(super) fn unreachable(&self, error: &ureq::Error) -> Failure {
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
pub(super) fn reason(response: Response<Body>) -> Option<String> {
    let json: Value = serde_json::from_slice(&read(response, ANSWER_MAX).ok()?).ok()?;
    json["errors"][0]["message"].as_str().map(plain)
}

/// Text of somebody else, fit for a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}
