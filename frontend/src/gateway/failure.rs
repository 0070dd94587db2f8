//! Why a build failed, in the form the daemon hands to the user.

use std::error::Error;
use std::fmt;

use exporter::terminal::line;
use prost::Message;
use tonic::Code;

use super::proto::{Any, Status};

/// A `google.rpc.Status` with all its details.
///
/// An error of a nested build is kept verbatim: its details hold the Dockerfile lines, the exit code and
/// the ids that `docker build` prints from, and most of them are of types only the daemon knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    status: Status,
}

impl Failure {
    /// A failure of this frontend, worded for the user: lower case, no full stop.
    ///
    /// The code is "unknown" because clients print every other code in front of the message. They print it as it
    /// comes, so it is escaped here.
    pub(crate) fn new(message: impl AsRef<str>) -> Self {
        Self::with_code(Code::Unknown, line(message.as_ref()))
    }

    /// A failure for several reasons, a line each.
    pub(crate) fn of_lines(reasons: &[impl AsRef<str>]) -> Self {
        let reasons: Vec<_> = reasons.iter().map(|reason| line(reason.as_ref())).collect();
        Self::with_code(Code::Unknown, reasons.join("\n"))
    }

    fn with_code(code: Code, message: impl Into<String>) -> Self {
        Self { status: Status { code: code.into(), message: message.into(), details: Vec::new() } }
    }

    /// The same failure with the thing to type next.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.status.message.push_str("\nhint: ");
        self.status.message.push_str(&line(hint));
        self
    }

    /// The same failure in other words.
    #[must_use]
    pub(crate) fn reworded(mut self, message: impl AsRef<str>) -> Self {
        self.status.message = line(message.as_ref()).into_owned();
        self
    }

    /// The exit code of a step, if it is one whose command line has this word that failed.
    ///
    /// Daemons pass it on as text: `process "…" did not complete successfully: exit code: 1`, and before 0.10
    /// `executor failed running […]: exit code: 1`.
    pub(crate) fn exit_code_of(&self, word: &str) -> Option<i32> {
        let (process, code) = self.status.message.rsplit_once("exit code: ")?;
        process.contains(word).then(|| code.trim().parse().ok())?
    }

    /// The same failure with a typed detail. BuildKit's own are JSON, under a name that ends in `+json`.
    #[must_use]
    pub(crate) fn with_detail(mut self, type_url: &str, value: &impl serde::Serialize) -> Self {
        let value = serde_json::to_vec(value).expect("details have no maps with keys that are no text");
        self.status.details.push(Any { type_url: type_url.to_owned(), value });
        self
    }

    /// The message, with its hint.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.status.message
    }

    /// The typed details.
    #[cfg(test)]
    pub(crate) fn details(&self) -> &[Any] {
        &self.status.details
    }

    /// Whether a path that was asked for is not there.
    ///
    /// Daemons pass the operating system's error on as text. The question is only safe about a ref that was
    /// evaluated before: otherwise a step that lacks a file may answer instead.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status.code == Code::NotFound as i32
            || self.status.code == Code::Unknown as i32
                && self.status.message.ends_with(": no such file or directory")
    }

    /// Whether the daemon took the request for too large.
    pub(super) fn is_too_large(&self) -> bool {
        self.status.code == Code::ResourceExhausted as i32
            && self.status.message.contains("received message larger than max")
    }

    /// The failure as it goes on the wire.
    pub(super) fn into_status(self) -> Status {
        self.status
    }
}

impl From<tonic::Status> for Failure {
    /// Takes the details out of the `grpc-status-details-bin` trailer.
    fn from(status: tonic::Status) -> Self {
        match Status::decode(status.details()) {
            Ok(detailed) if detailed.code != Code::Ok as i32 => Self { status: detailed },
            _ => Self::with_code(status.code(), with_causes(&status)),
        }
    }
}

impl From<crate::base::Error> for Failure {
    fn from(error: crate::base::Error) -> Self {
        let failure = Self::of_lines(&error.lines());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<exporter::Error> for Failure {
    fn from(error: exporter::Error) -> Self {
        crate::base::Error::from(error).into()
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status.message)
    }
}

impl Error for Failure {}

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
            let failure = Failure::from(tonic::Status::new(code, message));
            assert_eq!(failure.is_not_found(), expected, "{message}");
        }
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
            assert_eq!(Failure::new(message).exit_code_of("SCRIPT"), expected, "{message}");
        }
    }

    #[test]
    fn what_clients_print_is_escaped_but_for_line_breaks_of_ours() {
        let failure = Failure::new("image a\u{1b}]0;b\u{7}\nhint: rm").with_hint("c\u{202e}\nd");
        assert_eq!(failure.message(), "image a\\u{1b}]0;b\\u{7}\\nhint: rm\nhint: c\\u{202e}\\nd");
        assert_eq!(failure.reworded("e\r\u{9b}2J").message(), "e\\r\\u{9b}2J");
        assert_eq!(
            Failure::of_lines(&["one\nhint: two", "gr\u{fc}n"]).message(),
            "one\\nhint: two\ngr\u{fc}n"
        );
        // A daemon's own words are passed on as it says them: they would come without this frontend, too.
        let daemon = tonic::Status::new(Code::Unknown, "process failed\nwith two lines");
        assert_eq!(Failure::from(daemon).message(), "process failed\nwith two lines");
    }

    #[test]
    fn other_words_keep_the_details() {
        let failure = Failure::new("process failed")
            .with_detail("x", &1)
            .reworded("no network")
            .with_hint("give it one");
        assert_eq!((failure.message(), failure.details().len()), ("no network\nhint: give it one", 1));
    }

    #[test]
    fn details_win_over_the_plain_status() {
        let status = Status {
            code: Code::Unknown.into(),
            message: "inner".into(),
            details: vec![Any { type_url: "x".into(), value: vec![0, 0xff] }],
        };
        let wire = tonic::Status::with_details(Code::Aborted, "outer", status.encode_to_vec().into());
        assert_eq!(Failure::from(wire).into_status(), status);
    }

    #[test]
    fn details_of_another_format_are_not_taken_for_a_status() {
        let wire = tonic::Status::with_details(Code::Aborted, "outer", vec![0xff, 0xff].into());
        assert_eq!(Failure::from(wire).message(), "outer");
    }
}
