//! A graph of encoded ops.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use crate::digest::OpDigest;
use crate::error::{Error, Result};
use crate::proto;
use crate::sources::{self, Renumbering};
use crate::vertex::{Edge, Vertex};

/// The ops of a [`proto::Definition`], inputs before their consumers, and the edge that is its result.
///
/// Ops, metadata and source locations stay as they were encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    vertices: Vec<Vertex>,
    places: HashMap<OpDigest, usize>,
    terminal: Option<Vertex>,
    metadata: BTreeMap<String, Vec<u8>>,
    source: proto::Source,
}

impl Graph {
    /// The graph of a definition. One without ops has no result: an empty file system.
    pub fn read(definition: &proto::Definition) -> Result<Self> {
        let mut graph = Self {
            metadata: definition.metadata.clone(),
            source: definition.source.clone().unwrap_or_default(),
            ..Self::default()
        };
        let Some((last, ops)) = definition.def.split_last() else { return Ok(graph) };
        for vertex in sort(read_ops(ops)?)? {
            graph.push(vertex);
        }
        graph.terminal = Some(read_terminal(&graph, last)?);
        Ok(graph)
    }

    /// The definition of the graph.
    pub fn to_definition(&self) -> proto::Definition {
        let vertices = self.vertices.iter().chain(&self.terminal);
        let empty = self.source.infos.is_empty() && self.source.locations.is_empty();
        proto::Definition {
            def: vertices.map(|vertex| vertex.bytes().to_vec()).collect(),
            metadata: self.metadata.clone(),
            source: (!empty).then(|| self.source.clone()),
        }
    }

    /// The edge that is the result; `None` is an empty file system.
    pub fn result(&self) -> Option<Edge> {
        self.terminal.as_ref().and_then(|terminal| terminal.inputs().next())
    }

    /// The ops but for the terminal, inputs before their consumers.
    pub fn vertices(&self) -> &[Vertex] {
        &self.vertices
    }

    /// An op that is not the terminal.
    pub fn vertex(&self, digest: OpDigest) -> Option<&Vertex> {
        self.places.get(&digest).map(|place| &self.vertices[*place])
    }

    /// The encoded [`proto::OpMetadata`] of an op.
    pub fn metadata(&self, digest: OpDigest) -> Option<&[u8]> {
        self.metadata.get(&digest.to_string()).map(Vec::as_slice)
    }

    /// The op that only names the result.
    pub(crate) fn terminal(&self) -> Option<&Vertex> {
        self.terminal.as_ref()
    }

    /// Appends an op whose inputs are there already; one that is there itself is left as it is.
    pub(crate) fn push(&mut self, vertex: Vertex) {
        debug_assert!(vertex.inputs().all(|edge| self.places.contains_key(&edge.digest)));
        self.places.entry(vertex.digest()).or_insert_with(|| {
            self.vertices.push(vertex);
            self.vertices.len() - 1
        });
    }

    /// Makes `terminal` the op that names the result.
    pub(crate) fn end(&mut self, terminal: Vertex) {
        self.terminal = Some(terminal);
    }

    /// Notes the metadata of an op, unless there are some.
    pub(crate) fn describe(&mut self, digest: OpDigest, metadata: Vec<u8>) {
        self.metadata.entry(digest.to_string()).or_insert(metadata);
    }

    /// Takes over the metadata and source locations of `other` under the keys that `rename` gives
    /// them, but those with none or with a key that is taken.
    pub(crate) fn annotate(&mut self, other: &Self, rename: impl Fn(&str) -> Option<String>) -> Result<()> {
        for (key, metadata) in &other.metadata {
            if let Some(key) = rename(key) {
                self.metadata.entry(key).or_insert_with(|| metadata.clone());
            }
        }
        let mut renumbering: Option<Renumbering> = None;
        for (key, locations) in &other.source.locations {
            let Some(key) = rename(key).filter(|key| !self.source.locations.contains_key(key)) else {
                continue;
            };
            let renumbering =
                renumbering.get_or_insert_with(|| sources::add_infos(&mut self.source, &other.source.infos));
            self.source.locations.insert(key, renumbering.apply(locations)?);
        }
        Ok(())
    }

    /// Takes over an op of `other` with all it stands on, as they are.
    pub(crate) fn absorb(&mut self, other: &Self, digest: OpDigest) -> Result<()> {
        let top = *other.places.get(&digest).ok_or(Error::UnknownOp(digest))?;
        let mut taken = HashSet::from([digest]);
        for vertex in other.vertices[..=top].iter().rev() {
            if taken.contains(&vertex.digest()) {
                taken.extend(vertex.inputs().map(|edge| edge.digest));
            }
        }
        for vertex in other.vertices[..=top].iter().filter(|vertex| taken.contains(&vertex.digest())) {
            self.push(vertex.clone());
        }
        self.annotate(other, |key| {
            key.parse().is_ok_and(|digest| taken.contains(&digest)).then(|| key.to_owned())
        })
    }
}

/// Reads encoded ops; of equal ones only the first is kept.
fn read_ops(ops: &[Vec<u8>]) -> Result<Vec<Vertex>> {
    let mut seen = HashSet::new();
    let mut vertices = Vec::with_capacity(ops.len());
    for op in ops {
        let vertex = Vertex::read(op.clone())?;
        if seen.insert(vertex.digest()) {
            vertices.push(vertex);
        }
    }
    Ok(vertices)
}

fn read_terminal(graph: &Graph, op: &[u8]) -> Result<Vertex> {
    let terminal = Vertex::read(op.to_vec())?;
    if terminal.inputs().len() == 0 {
        return Err(Error::NoTerminal);
    }
    let missing = terminal.inputs().find(|edge| graph.vertex(edge.digest).is_none());
    match missing {
        Some(edge) => Err(Error::Dangling { op: terminal.digest(), input: edge.digest }),
        None => Ok(terminal),
    }
}

/// Puts inputs before their consumers; what is in such an order stays in it.
fn sort(vertices: Vec<Vertex>) -> Result<Vec<Vertex>> {
    let places: HashMap<_, _> = vertices.iter().enumerate().map(|(place, v)| (v.digest(), place)).collect();
    let mut consumers = vec![Vec::new(); vertices.len()];
    let mut missing = vec![0_usize; vertices.len()];
    for (place, vertex) in vertices.iter().enumerate() {
        for edge in vertex.inputs() {
            let dangling = Error::Dangling { op: vertex.digest(), input: edge.digest };
            let input: usize = *places.get(&edge.digest).ok_or(dangling)?;
            consumers[input].push(place);
            missing[place] += 1;
        }
    }
    let mut ready: BinaryHeap<_> =
        (0..vertices.len()).filter(|place| missing[*place] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(vertices.len());
    while let Some(Reverse(place)) = ready.pop() {
        order.push(place);
        for &consumer in &consumers[place] {
            missing[consumer] -= 1;
            if missing[consumer] == 0 {
                ready.push(Reverse(consumer));
            }
        }
    }
    // A digest covers those of the inputs: no op is under itself.
    assert_eq!(order.len(), vertices.len(), "SHA-256 digests in a circle");
    let mut vertices: Vec<_> = vertices.into_iter().map(Some).collect();
    Ok(order
        .into_iter()
        .map(|place| vertices[place].take().expect("each place is in the order once"))
        .collect())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::{Definition, Input, Op, OpKind, SourceOp};

    fn image() -> Vec<u8> {
        let source = SourceOp { identifier: "docker-image://one".to_owned(), ..SourceOp::default() };
        Op { op: Some(OpKind::Source(source)), ..Op::default() }.encode_to_vec()
    }

    fn on(input: &[u8]) -> Vec<u8> {
        let input = Input { digest: OpDigest::of(input).to_string(), index: 0 };
        Op { inputs: vec![input], ..Op::default() }.encode_to_vec()
    }

    fn read(def: &[Vec<u8>]) -> Result<Graph> {
        Graph::read(&Definition { def: def.to_vec(), ..Definition::default() })
    }

    #[test]
    fn an_op_that_is_there_twice_is_read_once() {
        let graph = read(&[image(), image(), on(&image())]).unwrap();
        assert_eq!(graph.vertices().len(), 1);
        assert_eq!(graph.result(), Some(Edge { digest: OpDigest::of(&image()), index: 0 }));
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        let lost = on(b"lost");
        let dangling = || Error::Dangling { op: OpDigest::of(&lost), input: OpDigest::of(b"lost") };
        assert_eq!(read(&[image()]), Err(Error::NoTerminal));
        assert_eq!(read(&[image(), on(&image()), image()]), Err(Error::NoTerminal));
        assert_eq!(read(&[image(), lost.clone()]), Err(dangling()));
        assert_eq!(read(&[image(), lost.clone(), on(&image())]), Err(dangling()));
        assert!(matches!(read(&[vec![0x0a], on(&image())]), Err(Error::Malformed { .. })));
    }
}
