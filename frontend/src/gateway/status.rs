//! The edge of this role: an error becomes the status that the daemon hands to the user.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use exporter::hint::Spelling;
use exporter::terminal::line;
use serde::{Serialize, Serializer};
use tonic::Code;

use super::proto::{Any, Status};
use super::refusal::Refusal;
use crate::base::{Error, Place, Position};

/// What `docker build` prints an excerpt from, as JSON (BuildKit's `solver/errdefs/source.go`).
const SOURCE: &str = "github.com/moby/buildkit/errdefs.Source+json";

/// The error as it goes on the wire.
///
/// What the daemon itself has said is passed on as it was; words of ours take the place of its message alone. The code of
/// our own errors is "unknown" because clients print every other one in front of the message. They print that as it comes,
/// so it is escaped here.
pub(super) fn status(error: &Error, spelling: Spelling) -> Status {
    let mut status = match error.source::<Refusal>() {
        Some(Refusal(status)) if error.message().is_empty() => status.clone(),
        Some(Refusal(status)) => Status { message: line(error.message()).into_owned(), ..status.clone() },
        None => Status { code: Code::Unknown.into(), message: message(error), details: Vec::new() },
    };
    if let Some(hint) = error.hint() {
        status.message += &format!("\nhint: {}", line(&hint.spelled(spelling)));
    }
    status.details.extend(error.place().map(detail));
    status
}

fn message(error: &Error) -> String {
    error.lines().iter().map(|text| line(text)).collect::<Vec<_>>().join("\n")
}

fn detail(place: &Place) -> Any {
    let ranges = place.ranges.iter().map(|[start, end]| Range { start: start.into(), end: end.into() });
    let info = Info { filename: &place.file, data: &place.text, language: &place.language };
    let value = serde_json::to_vec(&SourceDetail { info, ranges: ranges.collect() });
    Any { type_url: SOURCE.to_owned(), value: value.expect("there are no maps with keys that are no text") }
}

/// `errdefs.Source`.
#[derive(Serialize)]
struct SourceDetail<'a> {
    info: Info<'a>,
    ranges: Vec<Range>,
}

/// The part of `pb.SourceInfo` that is printed.
#[derive(Serialize)]
struct Info<'a> {
    filename: &'a str,
    #[serde(serialize_with = "base64")]
    data: &'a [u8],
    language: &'a str,
}

/// `pb.Range`.
#[derive(Serialize)]
struct Range {
    start: Point,
    end: Point,
}

/// `pb.Position`.
#[derive(Serialize)]
struct Point {
    line: i32,
    character: i32,
}

impl From<&Position> for Point {
    fn from(&Position { line, character }: &Position) -> Self {
        Self { line, character }
    }
}

/// Bytes as Go's JSON has them.
fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use exporter::hint::{Hint, Setting};

    use super::*;
    use crate::ask::Hints;

    fn status(error: &Error) -> Status {
        super::status(error, Hints::default().spelling())
    }

    fn told(error: &Error) -> String {
        status(error).message
    }

    #[test]
    fn what_clients_print_is_escaped_but_for_line_breaks_of_ours() {
        let error = Error::user("image a\u{1b}]0;b\u{7}\nhint: rm").with_hint("c\u{202e}\nd");
        assert_eq!(told(&error), "image a\\u{1b}]0;b\\u{7}\\nhint: rm\nhint: c\\u{202e}\\nd");
        let error = Error::of_lines(["one\nhint: two", "gr\u{fc}n"]);
        assert_eq!(told(&error), "one\\nhint: two\ngr\u{fc}n");
        let reworded = Error::build("e\r\u{9b}2J").because(Refusal(Status::default()));
        assert_eq!(told(&reworded), "e\\r\\u{9b}2J");
        // A daemon's own words are passed on as it says them: they would come without this frontend, too.
        let daemon = tonic::Status::unknown("process failed\nwith two lines");
        assert_eq!(told(&daemon.into()), "process failed\nwith two lines");
    }

    #[test]
    fn other_words_keep_the_details() {
        let details = vec![Any { type_url: "x".into(), value: vec![1] }];
        let daemon = Status { code: 2, message: "process failed".into(), details };
        let error = Error::build("no network").with_hint("give it one").because(Refusal(daemon.clone()));
        assert_eq!(status(&error), Status { message: "no network\nhint: give it one".into(), ..daemon });
    }

    #[test]
    fn settings_are_what_the_client_takes() {
        let error = Error::user("no").with_hint(Hint::from("ask for ").set(Setting::Profile, "data"));
        assert_eq!(told(&error), "no\nhint: ask for --build-arg VMIMAGE_PROFILE=data");
        for (hints, typed) in [(Hints::Flags, "--profile data"), (Hints::Attributes, "profile=data")] {
            let told = super::status(&error, hints.spelling()).message;
            assert_eq!(told, format!("no\nhint: ask for {typed}"));
        }
    }

    #[test]
    fn the_detail_is_what_docker_prints_from() {
        let position = Position { line: 2, character: 0 };
        let place = Place {
            file: "Dockerfile".into(),
            text: b"FROM x\n".into(),
            language: "Dockerfile".into(),
            ranges: vec![[position; 2]],
        };
        let detail = status(&Error::user("no").at(Some(place))).details.remove(0);
        assert_eq!(detail.type_url, SOURCE);
        assert_eq!(
            String::from_utf8(detail.value).unwrap(),
            r#"{"info":{"filename":"Dockerfile","data":"RlJPTSB4Cg==","language":"Dockerfile"},"ranges":[{"start":{"line":2,"character":0},"end":{"line":2,"character":0}}]}"#
        );
        assert!(status(&Error::user("no").at(None)).details.is_empty());
    }
}
