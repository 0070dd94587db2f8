//! Which lines of the Dockerfile an op comes from, as its frontend has noted them.

use llb::{Definition, OpDigest};
use prost::Message;

use crate::base;

/// The place of the op, if the definition knows it.
pub(super) fn place(definition: &Definition, op: OpDigest) -> Option<base::Place> {
    let source = definition.source.as_ref()?;
    let locations = Locations::decode(source.locations.get(&op.to_string())?.as_slice()).ok()?;
    let location = locations.locations.into_iter().next()?;
    let info = source.infos.get(usize::try_from(location.source_index).ok()?)?;
    let Info { filename, data, language } = Info::decode(info.as_slice()).ok()?;
    let ranges = location.ranges.into_iter().filter_map(|range| Some([range.start?, range.end?]));
    let ranges = ranges.map(|ends| ends.map(base::Position::from)).collect();
    Some(base::Place { file: filename, text: data, language, ranges })
}

/// The part of `pb.SourceInfo` that is shown.
#[derive(Message)]
struct Info {
    #[prost(string, tag = "1")]
    filename: String,
    #[prost(bytes = "vec", tag = "2")]
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

/// `pb.Range`.
#[derive(Message)]
struct Range {
    #[prost(message, optional, tag = "1")]
    start: Option<Position>,
    #[prost(message, optional, tag = "2")]
    end: Option<Position>,
}

/// `pb.Position`: lines from 1 on.
#[derive(Message)]
struct Position {
    #[prost(int32, tag = "1")]
    line: i32,
    #[prost(int32, tag = "2")]
    character: i32,
}

impl From<Position> for base::Position {
    fn from(Position { line, character }: Position) -> Self {
        Self { line, character }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_place_is_what_the_definition_notes_of_the_op() {
        let op = OpDigest::of(b"op");
        let position = |line| Some(Position { line, character: 0 });
        let range = Range { start: position(2), end: position(3) };
        let locations = Locations { locations: vec![Location { source_index: 0, ranges: vec![range] }] };
        let info =
            Info { filename: "Dockerfile".into(), data: b"FROM x\n".into(), language: "Dockerfile".into() };
        let source = llb::proto::Source {
            locations: BTreeMap::from([(op.to_string(), locations.encode_to_vec())]),
            infos: vec![info.encode_to_vec()],
        };
        let definition = Definition { source: Some(source), ..Definition::default() };
        let expected = base::Place {
            file: "Dockerfile".into(),
            text: b"FROM x\n".into(),
            language: "Dockerfile".into(),
            ranges: vec![[2, 3].map(|line| base::Position { line, character: 0 })],
        };
        assert_eq!(place(&definition, op), Some(expected));
        assert_eq!(place(&definition, OpDigest::of(b"other")), None);
    }
}
