//! States: file systems that a build will make.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::exec::{Exec, Run};
use crate::file::FileActions;
use crate::graph::Graph;
use crate::image::Image;
use crate::marshal;
use crate::node::{Node, Output, Port};
use crate::proto::{Definition, Platform};
use crate::source::Source;
use crate::vertex::Edge;

/// A file system that a build will make: an output of an op, or nothing.
///
/// States are immutable and cheap to clone; each step returns a new one. Steps never fail: what is
/// wrong with one is found by [`State::marshal`].
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) output: Option<Output>,
    pub(crate) platform: Option<Platform>,
}

impl State {
    /// An empty file system.
    pub fn scratch() -> Self {
        Self { output: None, platform: None }
    }

    /// The root file system of an image.
    pub fn image(image: Image) -> Self {
        let platform = image.platform.clone();
        Self::of(Node::Image(image), Port::Index(0), platform)
    }

    /// Files that are no image's.
    pub fn source(source: Source) -> Self {
        Self::of(Node::Source(source), Port::Index(0), None)
    }

    /// The result of a graph.
    pub fn from_graph(graph: impl Into<Arc<Graph>>) -> Self {
        let graph = graph.into();
        match graph.result() {
            Some(edge) => Self::from_edge(graph, edge),
            None => Self::scratch(),
        }
    }

    /// An output of an op of a graph.
    pub fn from_edge(graph: impl Into<Arc<Graph>>, edge: Edge) -> Self {
        let graph = graph.into();
        let op = graph.vertex(edge.digest).and_then(|vertex| vertex.decode().ok());
        let platform = op.and_then(|op| op.platform);
        Self::of(Node::Encoded { graph, digest: edge.digest }, Port::Index(edge.index), platform)
    }

    fn of(node: Node, port: Port, platform: Option<Platform>) -> Self {
        Self { output: Some(Output { node: Arc::new(node), port }), platform }
    }

    /// The same file system, with the platform that steps on it run for.
    ///
    /// [`State::image`] sets it, steps inherit it; a state from a graph has that of its op, if any.
    #[must_use]
    pub fn with_platform(&self, platform: Platform) -> Self {
        Self { platform: Some(platform), ..self.clone() }
    }

    /// What steps on the state run for; `None` is the worker's own platform.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Runs a process with this state as its root file system.
    pub fn run(&self, run: Run) -> Exec {
        Exec::new(self.clone(), run)
    }

    /// Changes files without a process.
    #[must_use]
    pub fn file(&self, actions: FileActions) -> Self {
        let base = self.clone();
        Self::of(Node::File { base, actions }, Port::Index(0), self.platform.clone())
    }

    /// The definition whose result is this state: each op once, inputs first.
    pub fn marshal(&self) -> Result<Definition> {
        self.to_graph().map(|graph| graph.to_definition())
    }

    /// The graph whose result is this state.
    pub fn to_graph(&self) -> Result<Graph> {
        marshal::graph(self)
    }
}

impl TryFrom<&Definition> for State {
    type Error = Error;

    fn try_from(definition: &Definition) -> Result<Self> {
        Graph::read(definition).map(Self::from_graph)
    }
}
