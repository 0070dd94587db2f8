//! Point an error at the line of the Dockerfile it is about.
//!
//! `docker build` prints the excerpt of an error that carries an `errdefs.Source` detail, as JSON
//! (BuildKit's `solver/errdefs/source.go`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use llb::{Definition, OpDigest};
use prost::Message;
use serde::Serialize;

use crate::gateway::Failure;

const SOURCE_DETAIL: &str = "github.com/moby/buildkit/errdefs.Source+json";

/// `failure` with the source location of the op, if the definition knows it.
pub(super) fn at(failure: Failure, definition: &Definition, op: OpDigest) -> Failure {
    match source_of(definition, op) {
        Some(source) => failure.with_detail(SOURCE_DETAIL, &source),
        None => failure,
    }
}

fn source_of(definition: &Definition, op: OpDigest) -> Option<Source> {
    let source = definition.source.as_ref()?;
    let locations = Locations::decode(source.locations.get(&op.to_string())?.as_slice()).ok()?;
    let location = locations.locations.into_iter().next()?;
    let info = source.infos.get(usize::try_from(location.source_index).ok()?)?;
    let info = Info::decode(info.as_slice()).ok()?;
    Some(Source { info, ranges: location.ranges })
}

/// `errdefs.Source`.
#[derive(Serialize)]
struct Source {
    info: Info,
    ranges: Vec<Range>,
}

/// The part of `pb.SourceInfo` that is printed.
#[derive(Message, Serialize)]
struct Info {
    #[prost(string, tag = "1")]
    filename: String,
    #[prost(bytes = "vec", tag = "2")]
    #[serde(serialize_with = "base64")]
    data: Vec<u8>,
    #[prost(string, tag = "4")]
    language: String,
}

/// `pb.Locations`.
#[derive(Message)]
struct Locations {
    #[prost(message, repeated, tag = "1")]
    locations: Vec<Location>,
}

/// `pb.Location`.
#[derive(Message)]
struct Location {
    #[prost(int32, tag = "1")]
    source_index: i32,
    #[prost(message, repeated, tag = "2")]
    ranges: Vec<Range>,
}

/// `pb.Range`: lines from 1 on.
#[derive(Message, Serialize)]
struct Range {
    #[prost(message, optional, tag = "1")]
    start: Option<Position>,
    #[prost(message, optional, tag = "2")]
    end: Option<Position>,
}

/// `pb.Position`.
#[derive(Message, Serialize)]
struct Position {
    #[prost(int32, tag = "1")]
    line: i32,
    #[prost(int32, tag = "2")]
    character: i32,
}

/// Bytes as Go's JSON has them.
fn base64<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_detail_is_what_docker_prints_from() {
        let op = OpDigest::of(b"op");
        let position = |line| Some(Position { line, character: 0 });
        let range = Range { start: position(2), end: position(2) };
        let locations = Locations { locations: vec![Location { source_index: 0, ranges: vec![range] }] };
        let info =
            Info { filename: "Dockerfile".into(), data: b"FROM x\n".into(), language: "Dockerfile".into() };
        let source = llb::proto::Source {
            locations: BTreeMap::from([(op.to_string(), locations.encode_to_vec())]),
            infos: vec![info.encode_to_vec()],
        };
        let definition = Definition { source: Some(source), ..Definition::default() };
        let failure = at(Failure::new("no"), &definition, op);
        assert_eq!(failure.details()[0].type_url, SOURCE_DETAIL);
        assert_eq!(
            String::from_utf8(failure.details()[0].value.clone()).unwrap(),
            r#"{"info":{"filename":"Dockerfile","data":"RlJPTSB4Cg==","language":"Dockerfile"},"ranges":[{"start":{"line":2,"character":0},"end":{"line":2,"character":0}}]}"#
        );
        assert!(at(Failure::new("no"), &definition, OpDigest::of(b"other")).details().is_empty());
    }
}
