//! New ops between an op and all that stands on it.
//!
//! ```text
//!      base                 base ─▶ k1 ─▶ k2 (head)
//!     ╱    ╲        ⇒                    ╱    ╲
//!    a      b                           a'     b'
//!     ╲    ╱                             ╲    ╱
//!    terminal                           terminal'
//! ```
//!
//! `a'` is `a` with the digest of its input overwritten, which gives it another digest, and so on
//! down the graph. It is done to every consumer of the base, not only to those under the result:
//! a stage two others share would otherwise be built twice.

use std::collections::HashMap;

use crate::digest::OpDigest;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::marshal;
use crate::state::State;
use crate::vertex::{Edge, Vertex};

impl Graph {
    /// The graph with `head` in the place of output 0 of `base`, for all of its consumers.
    ///
    /// `head` must be built on that output, see [`State::from_edge`]. Ops under the base keep their
    /// bytes; in those above it only digests of inputs change, and their metadata and source
    /// locations follow them. What `head` stands on stays as it was built.
    pub fn graft(&self, base: OpDigest, head: &State) -> Result<Self> {
        self.vertex(base).ok_or(Error::UnknownOp(base))?;
        let (mut grafted, head) = marshal::ops(head)?;
        let head = head.filter(|_| grafted.vertex(base).is_some()).ok_or(Error::HeadWithoutBase { base })?;
        if head.index != 0 {
            return Err(Error::GraftOutput { op: head.digest, output: head.index });
        }

        let mut renamed = HashMap::new();
        for vertex in self.vertices() {
            let moved = redirect(vertex, base, head.digest, &renamed)?;
            renamed.insert(vertex.digest(), moved.digest());
            grafted.push(moved);
        }
        if let Some(terminal) = self.terminal() {
            let moved = redirect(terminal, base, head.digest, &renamed)?;
            renamed.insert(terminal.digest(), moved.digest());
            grafted.end(moved);
        }
        grafted.annotate(self, |key| {
            let new = key.parse().ok().and_then(|old: OpDigest| renamed.get(&old));
            Some(new.map_or_else(|| key.to_owned(), OpDigest::to_string))
        })?;
        Ok(grafted)
    }
}

fn redirect(
    vertex: &Vertex,
    base: OpDigest,
    head: OpDigest,
    renamed: &HashMap<OpDigest, OpDigest>,
) -> Result<Vertex> {
    if let Some(edge) = vertex.inputs().find(|edge| edge.digest == base && edge.index != 0) {
        return Err(Error::GraftOutput { op: vertex.digest(), output: edge.index });
    }
    Ok(vertex.redirected(
        |edge: Edge| if edge.digest == base { Some(head) } else { renamed.get(&edge.digest).copied() },
    ))
}
