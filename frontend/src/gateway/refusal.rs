//! Why the daemon did not do what it was asked for, in its own words.

use std::error::Error as _;
use std::fmt;

use prost::Message;
use tonic::Code;

use super::proto::Status;
use crate::base::Error;

/// A `google.rpc.Status` with all its details, kept verbatim: these hold the Dockerfile lines, the exit code and the ids
/// that `docker build` prints from, and most of them are of types only the daemon knows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal(pub(super) Status);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Refusal {}

impl From<tonic::Status> for Error {
    /// Takes the details out of the `grpc-status-details-bin` trailer.
    fn from(status: tonic::Status) -> Self {
        Self::build("").because(Refusal(match Status::decode(status.details()) {
            Ok(detailed) if detailed.code != Code::Ok as i32 => detailed,
            _ => Status { code: status.code().into(), message: with_causes(&status), details: Vec::new() },
        }))
    }
}

/// The message with what the transport had to say, which the message alone may leave out.
fn with_causes(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// The daemon's answer behind an error, if there is one.
fn answer(error: &Error) -> Option<&Status> {
    error.source::<Refusal>().map(|refusal| &refusal.0)
}

/// Whether a path that was asked for is not there.
///
/// Daemons pass the operating system's error on as text. The question is only safe about a ref that was evaluated before:
/// otherwise a step that lacks a file may answer instead.
pub(crate) fn is_not_found(error: &Error) -> bool {
    answer(error).is_some_and(|status| {
        status.code == Code::NotFound as i32
            || status.code == Code::Unknown as i32 && status.message.ends_with(": no such file or directory")
    })
}

/// Whether the daemon took the request for too large.
pub(super) fn is_too_large(error: &Error) -> bool {
    answer(error).is_some_and(|status| {
        status.code == Code::ResourceExhausted as i32
            && status.message.contains("received message larger than max")
    })
}

/// The exit code of a step, if it is one whose command line has this word that failed.
///
/// Daemons pass it on as text: `process "…" did not complete successfully: exit code: 1`, and before 0.10
/// `executor failed running […]: exit code: 1`.
pub(crate) fn exit_code_of(error: &Error, word: &str) -> Option<i32> {
    let (process, code) = answer(error)?.message.rsplit_once("exit code: ")?;
    process.contains(word).then(|| code.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_told_from_a_failed_step() {
        let cases = [
            (Code::Unknown, "open /etc/os-release: no such file or directory", true),
            (Code::NotFound, "no such thing", true),
            (Code::Unknown, "process \"/bin/sh -c x\" did not complete successfully: exit code: 1", false),
            (Code::Internal, "lstat /x: no such file or directory", false),
        ];
        for (code, message, expected) in cases {
            let error = Error::from(tonic::Status::new(code, message));
            assert_eq!(is_not_found(&error), expected, "{message}");
        }
        assert!(!is_not_found(&Error::user("/x: no such file or directory")), "nobody was asked");
    }

    #[test]
    fn the_exit_code_is_that_of_the_step_with_the_word() {
        for (message, expected) in [
            (
                r#"process "/bin/sh -c eval \"$SCRIPT\" sh a" did not complete successfully: exit code: 202"#,
                Some(202),
            ),
            (r#"executor failed running [/bin/sh -c eval "$SCRIPT" sh a]: exit code: 1"#, Some(1)),
            (
                r#"failed to solve: process "/bin/sh -c eval \"$SCRIPT\"" did not complete: exit code: 9"#,
                Some(9),
            ),
            (r#"process "/bin/sh -c false" did not complete successfully: exit code: 202"#, None),
            (r#"process "/bin/sh -c eval \"$SCRIPT\"" did not complete successfully: signal: killed"#, None),
            ("SCRIPT", None),
        ] {
            let error = Error::from(tonic::Status::unknown(message));
            assert_eq!(exit_code_of(&error, "SCRIPT"), expected, "{message}");
        }
    }

    #[test]
    fn details_win_over_the_plain_status() {
        let status = Status {
            code: Code::Unknown.into(),
            message: "inner".into(),
            details: vec![super::super::proto::Any { type_url: "x".into(), value: vec![0, 0xff] }],
        };
        let wire = tonic::Status::with_details(Code::Aborted, "outer", status.encode_to_vec().into());
        assert_eq!(answer(&Error::from(wire)), Some(&status));
    }

    #[test]
    fn details_of_another_format_are_not_taken_for_a_status() {
        let wire = tonic::Status::with_details(Code::Aborted, "outer", vec![0xff, 0xff].into());
        assert_eq!(Error::from(wire).to_string(), "outer");
    }
}
