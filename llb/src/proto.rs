//! The messages of BuildKit's `pb` package that vmimage speaks, field numbers and names as in
//! [ops.proto](https://github.com/moby/buildkit/blob/v0.32.2/solver/pb/ops.proto).
//!
//! Fields encode in ascending order and maps sorted by key, as Go's deterministic encoder does: the
//! daemon decodes and encodes every op again and takes *its* digest. (One difference is left: Go
//! writes an empty map value, prost leaves it out. It is harmless, as only the association of an op
//! with its source location would be lost.)
//!
//! A [`Definition`] is meant for reading what a daemon made, perhaps a newer one: its ops, their
//! metadata and their source locations stay opaque bytes, so that fields unknown here survive.
//! `map<string, bytes>` and `map<string, Message>` are the same on the wire.

mod exec;
mod file;

use std::collections::BTreeMap;

use prost::{Message, Oneof};

pub use exec::*;
pub use file::*;

/// A marshalled graph.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Definition {
    /// Encoded [`Op`]s, in any order but for the last: that one is the terminal, whose only content
    /// is `inputs[0]`, the edge that is the result. No ops at all means an empty file system.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub def: Vec<Vec<u8>>,
    /// Op digest text to encoded [`OpMetadata`].
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// Where in the user's files the ops come from.
    #[prost(message, optional, tag = "3")]
    pub source: Option<Source>,
}

/// Where in the user's files ops come from.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Source {
    /// Op digest text to encoded `Locations`, whose `sourceIndex` counts `infos`.
    #[prost(btree_map = "string, bytes", tag = "1")]
    pub locations: BTreeMap<String, Vec<u8>>,
    /// Encoded `SourceInfo`s: the files themselves.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub infos: Vec<Vec<u8>>,
}

/// A vertex of the graph.
#[derive(Clone, PartialEq, Message)]
pub struct Op {
    /// The input edges; the op counts them from 0.
    #[prost(message, repeated, tag = "1")]
    pub inputs: Vec<Input>,
    /// What the op does. `None` in a terminal, and for an op of a newer daemon.
    #[prost(oneof = "OpKind", tags = "2, 3, 4, 6, 7, 8")]
    pub op: Option<OpKind>,
    /// The platform an exec or image op is for; `None` is the worker's own.
    #[prost(message, optional, tag = "10")]
    pub platform: Option<Platform>,
    /// Always present in what clients emit, always empty.
    #[prost(message, optional, tag = "11")]
    pub constraints: Option<WorkerConstraints>,
}

/// What an [`Op`] does.
#[derive(Clone, PartialEq, Oneof)]
#[expect(clippy::large_enum_variant, reason = "ops are decoded one at a time")]
pub enum OpKind {
    /// Run a process.
    #[prost(message, tag = "2")]
    Exec(ExecOp),
    /// Fetch an image, a build context, a repository, a file.
    #[prost(message, tag = "3")]
    Source(SourceOp),
    /// Copy, make or remove files without a process.
    #[prost(message, tag = "4")]
    File(FileOp),
    /// Lay inputs over each other.
    #[prost(message, tag = "6")]
    Merge(MergeOp),
    /// What one input has on top of another.
    #[prost(message, tag = "7")]
    Diff(DiffOp),
    /// Hand inputs through under another vertex.
    #[prost(message, tag = "8")]
    Passthrough(PassthroughOp),
}

/// An input edge.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Input {
    /// Digest text of the encoded op the edge comes from.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// Which of that op's outputs; never negative.
    #[prost(int64, tag = "2")]
    pub index: i64,
}

/// A platform, as in the OCI image specification.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Platform {
    /// `GOARCH`: `amd64`, `arm64`, ...
    #[prost(string, tag = "1")]
    pub architecture: String,
    /// `GOOS`: `linux`.
    #[prost(string, tag = "2")]
    pub os: String,
    /// CPU variant: `v7` of `arm`, otherwise mostly empty.
    #[prost(string, tag = "3")]
    pub variant: String,
    /// Windows build number.
    #[prost(string, tag = "4")]
    pub os_version: String,
    /// Windows features.
    #[prost(string, repeated, tag = "5")]
    pub os_features: Vec<String>,
}

/// Which workers may run an op.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct WorkerConstraints {
    /// containerd filter expressions.
    #[prost(string, repeated, tag = "1")]
    pub filter: Vec<String>,
}

/// Fetches something.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SourceOp {
    /// `docker-image://`, `oci-layout://`, `local://`, `git://`, `https://`, ...
    #[prost(string, tag = "1")]
    pub identifier: String,
    /// Options, which depend on the scheme.
    #[prost(btree_map = "string, string", tag = "2")]
    pub attrs: BTreeMap<String, String>,
}

/// Lays inputs over each other.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MergeOp {
    /// Lowest first.
    #[prost(message, repeated, tag = "1")]
    pub inputs: Vec<InputIndex>,
}

/// What `upper` has on top of `lower`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct DiffOp {
    /// What is taken off.
    #[prost(message, optional, tag = "1")]
    pub lower: Option<InputIndex>,
    /// What it is taken off from.
    #[prost(message, optional, tag = "2")]
    pub upper: Option<InputIndex>,
}

/// Which input of an op, or -1 for an empty directory: `MergeInput`, `LowerDiffInput` and
/// `UpperDiffInput`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct InputIndex {
    /// The index.
    #[prost(int64, tag = "1")]
    pub input: i64,
}

/// Hands inputs through.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PassthroughOp {
    /// Makes the vertex distinct.
    #[prost(string, tag = "1")]
    pub id: String,
    /// For each output, the input it is.
    #[prost(int64, repeated, tag = "2")]
    pub outputs: Vec<i64>,
}

/// What the daemon is told about an op beside the op; not part of its digest.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OpMetadata {
    /// Run the op even if its result is cached.
    #[prost(bool, tag = "1")]
    pub ignore_cache: bool,
    /// Free text; `llb.customname` is the name shown as progress.
    #[prost(btree_map = "string, string", tag = "2")]
    pub description: BTreeMap<String, String>,
    /// Whether the result goes to an exported cache.
    #[prost(message, optional, tag = "4")]
    pub export_cache: Option<ExportCache>,
    /// Capabilities the daemon must have, or it refuses the graph.
    #[prost(btree_map = "string, bool", tag = "5")]
    pub caps: BTreeMap<String, bool>,
    /// Which ops are shown as one.
    #[prost(message, optional, tag = "6")]
    pub progress_group: Option<ProgressGroup>,
}

/// Whether a result goes to an exported cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct ExportCache {
    /// It does.
    #[prost(bool, tag = "1")]
    pub value: bool,
}

/// Ops that are shown as one.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ProgressGroup {
    /// Same id, same group.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What is shown.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Only if no other group claims the op.
    #[prost(bool, tag = "3")]
    pub weak: bool,
}
