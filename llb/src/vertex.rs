//! An op as a daemon or client encoded it, with its input edges read and all else left alone.

use std::ops::Range;

use prost::Message;

use crate::digest::OpDigest;
use crate::error::{Error, Result};
use crate::proto;
use crate::wire::{self, Field, Value, fields};

/// Field numbers of `pb.Op` and `pb.Input`.
const OP_INPUTS: u64 = 1;
const INPUT_DIGEST: u64 = 1;
const INPUT_INDEX: u64 = 2;

/// A result of the graph: an output of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edge {
    /// The op.
    pub digest: OpDigest,
    /// Which of its outputs.
    pub index: u32,
}

impl Edge {
    pub(crate) fn to_input(self) -> proto::Input {
        proto::Input { digest: self.digest.to_string(), index: self.index.into() }
    }
}

/// An op of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vertex {
    digest: OpDigest,
    bytes: Vec<u8>,
    inputs: Vec<InputAt>,
}

/// An input edge and where its digest text is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InputAt {
    edge: Edge,
    text: Range<usize>,
}

impl Vertex {
    /// The vertex of an encoded [`proto::Op`].
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self> {
        let digest = OpDigest::of(&bytes);
        let malformed = |reason| Error::malformed(format_args!("op {digest}"), reason);
        let mut inputs = Vec::new();
        for field in fields(&bytes, 0..bytes.len()) {
            if let Field { number: OP_INPUTS, value, .. } = field.map_err(malformed)? {
                let Value::Len(range) = value else { return Err(malformed("an input that is no message")) };
                inputs.push(read_input(&bytes, range).map_err(malformed)?);
            }
        }
        Ok(Self { digest, bytes, inputs })
    }

    /// What names the op.
    pub fn digest(&self) -> OpDigest {
        self.digest
    }

    /// The op as it was encoded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its input edges, in the order the op counts them.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Edge> + '_ {
        self.inputs.iter().map(|input| input.edge)
    }

    /// The op decoded, for looking at: what this crate does not know is missing from it.
    pub fn decode(&self) -> Result<proto::Op> {
        proto::Op::decode(self.bytes())
            .map_err(|error| Error::malformed(format_args!("op {}", self.digest), error))
    }

    /// The op with each input `moved` has a new digest for overwritten by it.
    pub(crate) fn redirected(&self, moved: impl Fn(Edge) -> Option<OpDigest>) -> Self {
        let mut vertex = self.clone();
        for input in &mut vertex.inputs {
            if let Some(digest) = moved(input.edge) {
                // Texts of digests are all of one length, so no length prefix changes.
                if let Some(text) = vertex.bytes.get_mut(input.text.clone()) {
                    text.copy_from_slice(digest.to_string().as_bytes());
                }
                input.edge.digest = digest;
            }
        }
        vertex.digest = OpDigest::of(&vertex.bytes);
        vertex
    }
}

fn read_input(bytes: &[u8], range: Range<usize>) -> Result<InputAt, &'static str> {
    let mut digest = None;
    let mut index = 0;
    for field in fields(bytes, range) {
        match field? {
            Field { number: INPUT_DIGEST, value: Value::Len(text), .. } => digest = Some(text),
            Field { number: INPUT_INDEX, value: Value::Varint(value), .. } => index = value,
            Field { number: INPUT_DIGEST | INPUT_INDEX, .. } => return Err("an input of another type"),
            _ => {}
        }
    }
    let index = u32::try_from(index).map_err(|_| "an input with a negative index")?;
    let text = digest.ok_or("an input without a digest")?;
    let digest =
        std::str::from_utf8(wire::bytes(bytes, text.clone())).ok().and_then(|text| text.parse().ok());
    let digest = digest.ok_or("an input whose digest is not sha256: and 64 lower-case hex digits")?;
    Ok(InputAt { edge: Edge { digest, index }, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(digest: &str, index: i64) -> Vec<u8> {
        proto::Op { inputs: vec![proto::Input { digest: digest.to_owned(), index }], ..proto::Op::default() }
            .encode_to_vec()
    }

    #[test]
    fn a_redirected_input_differs_in_its_digest_only() {
        let [from, to] = [b"from", b"to\0\0"].map(|op| OpDigest::of(op));
        let mut bytes = input(&from.to_string(), 3);
        // A field of a newer daemon, with a text that only looks like an input.
        bytes.extend([0xfa, 0x01, OpDigest::TEXT_LEN as u8]);
        bytes.extend(from.to_string().as_bytes());

        let vertex = Vertex::read(bytes.clone()).unwrap();
        let patched = vertex.redirected(|edge| (edge.digest == from).then_some(to));
        assert_eq!(patched.inputs().collect::<Vec<_>>(), [Edge { digest: to, index: 3 }]);
        assert_eq!(patched, Vertex::read(patched.bytes().to_vec()).unwrap());
        let end = bytes.len() - OpDigest::TEXT_LEN;
        assert_eq!(patched.bytes()[end..], bytes[end..]);
        assert_eq!(vertex.redirected(|_| None), vertex);
    }

    #[test]
    fn the_last_digest_of_an_input_counts() {
        let [first, last] = [b"1", b"2"].map(|op| OpDigest::of(op).to_string());
        let mut bytes = vec![0x0a, 2 * 73];
        for digest in [&first, &last] {
            bytes.extend([0x0a, 71]);
            bytes.extend(digest.as_bytes());
        }
        bytes.insert(2, 0x01);
        assert_eq!(Vertex::read(bytes).unwrap().inputs[0].edge.digest.to_string(), last);
    }

    #[test]
    fn broken_inputs_are_refused() {
        let good = OpDigest::of(b"").to_string();
        let cases = [
            input("sha256:abc", 0),
            input(&good.to_uppercase(), 0),
            input(&good, -1),
            vec![0x0a, 0x00],
            vec![0x08, 0x01],
            vec![0x0a, 0x02, 0x08, 0x01],
            vec![0x0a],
        ];
        for bytes in cases {
            assert!(matches!(Vertex::read(bytes), Err(Error::Malformed { .. })));
        }
    }
}
