//! The messages of BuildKit's `moby.buildkit.v1.frontend` gateway protocol that vmimage speaks.
//!
//! Field numbers are those of `frontend/gateway/pb/gateway.proto`, `util/apicaps/pb/caps.proto`,
//! `fsutil/types/stat.proto` and `google/rpc/status.proto`. What is only passed on stays bytes, so that
//! fields of a newer daemon survive: on the wire a message and the bytes it encodes to are the same. Of what
//! is only read, the fields that nothing here asks for are left out.

use std::collections::BTreeMap;

use llb::{Definition, Platform};

/// What a build came to: one ref, or one per platform, with metadata for the exporter.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Result {
    /// One ref or several; [`None`] is an empty file system.
    #[prost(oneof = "Refs", tags = "3, 4")]
    pub refs: Option<Refs>,
    /// `containerimage.config`, `refs.platforms`, …: see [`super::result`].
    #[prost(btree_map = "string, bytes", tag = "10")]
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// Encoded `Attestations` by platform id, passed on untouched.
    #[prost(btree_map = "string, bytes", tag = "12")]
    pub attestations: BTreeMap<String, Vec<u8>>,
}

/// The two shapes of a [`Result`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Refs {
    /// A build for one platform.
    #[prost(message, tag = "3")]
    Single(Ref),
    /// A build by platform id (`linux/amd64`).
    #[prost(message, tag = "4")]
    Map(RefMap),
}

/// A file system the daemon has, or can make when it is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ref {
    /// The daemon's name for it; empty is `scratch`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The graph that makes it (capability `reference.output`).
    #[prost(message, optional, tag = "2")]
    pub def: Option<Definition>,
}

/// Refs by platform id.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RefMap {
    /// The refs.
    #[prost(btree_map = "string, message", tag = "1")]
    pub refs: BTreeMap<String, Ref>,
}

/// How the frontend ends: a result or an error.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReturnRequest {
    /// The result, if it went well.
    #[prost(message, optional, tag = "1")]
    pub result: Option<Result>,
    /// The error, if it did not.
    #[prost(message, optional, tag = "2")]
    pub error: Option<Status>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Status {
    /// A gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What went wrong, for people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Typed details: BuildKit keeps the Dockerfile lines here.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`; BuildKit puts JSON, not protobuf, in the value.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    /// The type, such as `github.com/moby/buildkit/errdefs.Source+json`.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The detail in whatever encoding the type has.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// A request without fields (`Ping`, `Inputs`), or an answer without any that matter.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}

/// The answer to `Ping`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PongResponse {
    /// What the gateway API of this daemon can do.
    #[prost(message, repeated, tag = "1")]
    pub frontend_api_caps: Vec<ApiCap>,
    /// What its build graphs can hold.
    #[prost(message, repeated, tag = "2")]
    pub llb_caps: Vec<ApiCap>,
}

/// One capability of a daemon.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApiCap {
    /// Its name, such as `gateway.evaluate`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Known but switched off if not set.
    #[prost(bool, tag = "2")]
    pub enabled: bool,
}

/// The answer to `Inputs`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct InputsResponse {
    /// Graphs given to this frontend, by input name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub definitions: BTreeMap<String, Definition>,
}

/// A question for what an image reference stands for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResolveImageConfigRequest {
    /// The image reference.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// For which platform; the daemon's own if not set.
    #[prost(message, optional, tag = "2")]
    pub platform: Option<Platform>,
    /// `default`, `pull` or `local`.
    #[prost(string, tag = "3")]
    pub resolve_mode: String,
    /// The line the progress display shows.
    #[prost(string, tag = "4")]
    pub log_name: String,
}

/// What an image reference stands for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResolveImageConfigResponse {
    /// Digest of the manifest; empty for an image of the classic local store.
    #[prost(string, tag = "1")]
    pub digest: String,
}

/// A graph to build, or another frontend to run.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveRequest {
    /// The graph, if no frontend is named.
    #[prost(message, optional, tag = "1")]
    pub definition: Option<Definition>,
    /// The frontend to run: `dockerfile.v0` or `gateway.v0`.
    #[prost(string, tag = "2")]
    pub frontend: String,
    /// Its options.
    #[prost(btree_map = "string, string", tag = "3")]
    pub frontend_opt: BTreeMap<String, String>,
    /// Results may be maps; [`super::Bridge::solve`] sets it.
    #[prost(bool, tag = "5")]
    pub allow_result_return: bool,
    /// Refs may carry their graph; [`super::Bridge::solve`] sets it.
    #[prost(bool, tag = "6")]
    pub allow_result_array_ref: bool,
    /// Where to look for cached steps of this graph.
    #[prost(message, repeated, tag = "12")]
    pub cache_imports: Vec<CacheOptionsEntry>,
    /// Graphs handed to the frontend by input name.
    #[prost(btree_map = "string, message", tag = "13")]
    pub frontend_inputs: BTreeMap<String, Definition>,
}

/// One place to import cache from.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CacheOptionsEntry {
    /// `registry`, `local`, `gha`, …
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its settings.
    #[prost(btree_map = "string, string", tag = "2")]
    pub attrs: BTreeMap<String, String>,
}

/// The answer to `Solve`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveResponse {
    /// The result; always set as long as the request allows it.
    #[prost(message, optional, tag = "3")]
    pub result: Option<Result>,
}

/// A part of a file of a ref.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadFileRequest {
    /// The ref's id.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The path; the daemon follows symbolic links inside the ref.
    #[prost(string, tag = "2")]
    pub file_path: String,
    /// Which bytes; all if not set.
    #[prost(message, optional, tag = "3")]
    pub range: Option<FileRange>,
}

/// A byte range.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct FileRange {
    /// First byte.
    #[prost(int64, tag = "1")]
    pub offset: i64,
    /// Number of bytes; the file may end earlier.
    #[prost(int64, tag = "2")]
    pub length: i64,
}

/// The bytes asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadFileResponse {
    /// The bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}

/// A folder of a ref.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadDirRequest {
    /// The ref's id.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The folder.
    #[prost(string, tag = "2")]
    pub dir_path: String,
    /// A pattern names must match; all if empty.
    #[prost(string, tag = "3")]
    pub include_pattern: String,
}

/// What is in a folder.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadDirResponse {
    /// One entry per name, not recursive.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Stat>,
}

/// A path of a ref.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatFileRequest {
    /// The ref's id.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The path.
    #[prost(string, tag = "2")]
    pub path: String,
}

/// What is at a path.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatFileResponse {
    /// Its attributes.
    #[prost(message, optional, tag = "1")]
    pub stat: Option<Stat>,
}

/// What is known of a file; its attributes are of no interest here.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Stat {
    /// Its name within the folder that was listed.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Kind and permissions, as Go's `fs.FileMode` has them.
    #[prost(uint32, tag = "2")]
    pub mode: u32,
}

/// The ref to build now.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EvaluateRequest {
    /// The ref's id.
    #[prost(string, tag = "1")]
    pub reference: String,
}

/// Something for clients to show beside the progress.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WarnRequest {
    /// The op it is about.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// 1 is what anybody should see.
    #[prost(int64, tag = "2")]
    pub level: i64,
    /// The one line of it.
    #[prost(bytes = "vec", tag = "3")]
    pub short: Vec<u8>,
    /// More lines, for who asks.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub detail: Vec<Vec<u8>>,
}
