//! Requests that fail: what may pass, what does not, and what is said of it.

use std::fmt::Display;
use std::io;

use rustls::{CertificateError, Error as Tls};
use ureq::http::StatusCode;

use super::limits::SHOWN;

/// Why a request has not got its answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What is wrong may pass: a connection that broke, a server that is too busy.
    Passing(String),
    /// It is as it is.
    Final(String),
}

/// Why there is no answer from `host`.
pub(super) fn unreachable(host: &impl Display, error: &ureq::Error) -> Failure {
    match tls(error) {
        Some(Tls::InvalidCertificate(reason)) => {
            let hint = match reason {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => {
                    "see whether the clock of this machine is right (date)"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "ask by the name that is in its certificate"
                }
                _ => "if its authority is your own: ca in [update] names the file with its certificate",
            };
            Failure::Final(format!("{host} cannot be trusted: {}\nhint: {hint}", explain(error)))
        }
        Some(Tls::InvalidMessage(_)) => Failure::Final(format!("{host} does not speak TLS")),
        Some(Tls::AlertReceived(_)) => Failure::Final(format!(
            "{host} ends TLS: {}\nhint: it may want a certificate of this machine: certificate and key in [update]",
            explain(error)
        )),
        Some(_) => Failure::Final(format!("{host} and this machine do not agree on TLS: {}", explain(error))),
        None => refusal(host, error)
            .unwrap_or_else(|| Failure::Passing(format!("{host} cannot be reached: {}", explain(error)))),
    }
}

/// What the other side does that it will do again; `None` if the connection is at fault, which may pass.
fn refusal(host: &impl Display, error: &ureq::Error) -> Option<Failure> {
    let does = match error {
        ureq::Error::BadUri(_) => "is no address".to_owned(),
        ureq::Error::LargeResponseHeader(..) => "answers with more headers than are read".to_owned(),
        ureq::Error::ConnectProxyFailed(_) => "is not what the proxy connects to".to_owned(),
        ureq::Error::Protocol(reason) => {
            format!("answers in a way that HTTP does not have: {}", shown(&reason.to_string()))
        }
        _ => return None,
    };
    Some(Failure::Final(format!("{host} {does}")))
}

fn tls(error: &ureq::Error) -> Option<&Tls> {
    match error {
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        ureq::Error::Rustls(reason) => Some(reason),
        _ => None,
    }
}

/// What is wrong, without what may be secret: addresses that are sent on to are signed.
pub(super) fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it ended early".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "nothing came for too long".to_owned(),
        ureq::Error::HostNotFound => "there is no host of that name".to_owned(),
        other => other.to_string(),
    }
}

/// Answers that may be another one soon: to who comes too often or too slowly, or while a part of a server is missing.
pub(super) fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The start of a text of somebody else, for a message on a terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(SHOWN).collect()
}
