//! States made ops: inputs first, each op once.

use std::collections::HashMap;

use prost::Message;

use crate::digest::OpDigest;
use crate::error::Result;
use crate::graph::Graph;
use crate::metadata::Metadata;
use crate::node::{Node, Output, Port};
use crate::proto::{Mount, Op, OpKind, Platform, WorkerConstraints};
use crate::state::State;
use crate::vertex::{Edge, Vertex};

/// The ops of a state, and which of them it is; there is no terminal.
pub(crate) fn ops(state: &State) -> Result<(Graph, Option<Edge>)> {
    let mut marshaller = Marshaller::default();
    let edge = state.output.as_ref().map(|output| marshaller.edge(output)).transpose()?;
    Ok((marshaller.graph, edge))
}

/// The graph of a state.
pub(crate) fn graph(state: &State) -> Result<Graph> {
    let (mut graph, edge) = ops(state)?;
    if let Some(edge) = edge {
        let op = Op { inputs: vec![edge.to_input()], ..Op::default() };
        let terminal = Vertex::read(op.encode_to_vec())?;
        graph.describe(terminal.digest(), Metadata::default().encode());
        graph.end(terminal);
    }
    Ok(graph)
}

#[derive(Default)]
struct Marshaller {
    graph: Graph,
    /// Nodes are shared; without this, each would be visited once for each way to it.
    done: HashMap<*const Node, OpDigest>,
}

impl Marshaller {
    fn edge(&mut self, output: &Output) -> Result<Edge> {
        let index = match (&output.port, &*output.node) {
            (Port::Index(index), _) => *index,
            (Port::Mount(dest), Node::Exec(process)) => process.output(dest)?,
            (Port::Mount(_), _) => unreachable!("only a process has mounts"),
        };
        let key: *const Node = &*output.node;
        if let Some(&digest) = self.done.get(&key) {
            return Ok(Edge { digest, index });
        }
        let digest = self.node(&output.node)?;
        self.done.insert(key, digest);
        Ok(Edge { digest, index })
    }

    fn node(&mut self, node: &Node) -> Result<OpDigest> {
        let mut inputs = Inputs { marshaller: self, edges: Vec::new() };
        let (op, platform, metadata) = match node {
            Node::Encoded { graph, digest } => {
                self.graph.absorb(graph, *digest)?;
                return Ok(*digest);
            }
            Node::Image(image) => (image.op()?, image.platform.clone(), &image.metadata),
            Node::Source(source) => (source.op()?, None, &source.metadata),
            Node::Exec(process) => (process.op(&mut inputs)?, process.platform.clone(), process.metadata()),
            Node::File { base, actions } => (actions.op(base, &mut inputs)?, None, &actions.metadata),
        };
        let edges = inputs.edges;
        self.add(edges, op, platform, metadata)
    }

    fn add(
        &mut self,
        edges: Vec<Edge>,
        op: OpKind,
        platform: Option<Platform>,
        metadata: &Metadata,
    ) -> Result<OpDigest> {
        let op = Op {
            inputs: edges.into_iter().map(Edge::to_input).collect(),
            op: Some(op),
            platform,
            constraints: Some(WorkerConstraints::default()),
        };
        let vertex = Vertex::read(op.encode_to_vec())?;
        let digest = vertex.digest();
        self.graph.push(vertex);
        self.graph.describe(digest, metadata.encode());
        Ok(digest)
    }
}

/// The inputs of an op while it is put together.
pub(crate) struct Inputs<'a> {
    marshaller: &'a mut Marshaller,
    edges: Vec<Edge>,
}

impl Inputs<'_> {
    /// The number of the input that `state` is: an edge is one input however often it is used.
    pub(crate) fn add(&mut self, state: &State) -> Result<i64> {
        let Some(output) = &state.output else { return Ok(Mount::EMPTY) };
        let edge = self.marshaller.edge(output)?;
        let place = self.edges.iter().position(|other| *other == edge).unwrap_or_else(|| {
            self.edges.push(edge);
            self.edges.len() - 1
        });
        Ok(place as i64)
    }

    /// How many inputs there are.
    pub(crate) fn len(&self) -> i64 {
        self.edges.len() as i64
    }
}
