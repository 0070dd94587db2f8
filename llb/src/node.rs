//! What a state is an output of.

use std::sync::Arc;

use crate::digest::OpDigest;
use crate::exec::Process;
use crate::file::FileActions;
use crate::graph::Graph;
use crate::image::Image;
use crate::source::Source;
use crate::state::State;

/// An op that is yet to be encoded, or one of a graph.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each step a caller writes, behind an Arc")]
pub(crate) enum Node {
    /// Fetch an image.
    Image(Image),
    /// Fetch something else.
    Source(Source),
    /// Run a process.
    Exec(Process),
    /// Change files.
    File {
        /// What they are in.
        base: State,
        /// The changes.
        actions: FileActions,
    },
    /// An op that is encoded already.
    Encoded {
        /// Where it is, with all it stands on.
        graph: Arc<Graph>,
        /// Which one it is.
        digest: OpDigest,
    },
}

/// An output of a node.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) node: Arc<Node>,
    pub(crate) port: Port,
}

/// Which output it is.
#[derive(Clone, Debug)]
pub(crate) enum Port {
    /// By number.
    Index(u32),
    /// By mount point; the number comes from the order of the mounts.
    Mount(String),
}
