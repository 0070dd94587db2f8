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

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

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

/// Runs a process; every mount with an output index yields a result.
#[derive(Clone, PartialEq, Message)]
pub struct ExecOp {
    /// The process.
    #[prost(message, optional, tag = "1")]
    pub meta: Option<Meta>,
    /// Its file systems; exactly one has the destination `/`.
    #[prost(message, repeated, tag = "2")]
    pub mounts: Vec<Mount>,
    /// Its network.
    #[prost(enumeration = "NetMode", tag = "3")]
    pub network: i32,
    /// Its privileges.
    #[prost(enumeration = "SecurityMode", tag = "4")]
    pub security: i32,
    /// Environment variables whose value is a secret.
    #[prost(message, repeated, tag = "5")]
    pub secretenv: Vec<SecretEnv>,
}

/// The process of an [`ExecOp`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Meta {
    /// Program and arguments; not empty.
    #[prost(string, repeated, tag = "1")]
    pub args: Vec<String>,
    /// `NAME=value`.
    #[prost(string, repeated, tag = "2")]
    pub env: Vec<String>,
    /// Working directory; not empty.
    #[prost(string, tag = "3")]
    pub cwd: String,
    /// `user[:group]`, by name or number; empty is root.
    #[prost(string, tag = "4")]
    pub user: String,
    /// Proxies, which are not part of the cache key.
    #[prost(message, optional, tag = "5")]
    pub proxy_env: Option<ProxyEnv>,
    /// Additional lines of `/etc/hosts`.
    #[prost(message, repeated, tag = "6")]
    pub extra_hosts: Vec<HostIp>,
    /// Host name.
    #[prost(string, tag = "7")]
    pub hostname: String,
    /// Resource limits.
    #[prost(message, repeated, tag = "9")]
    pub ulimit: Vec<Ulimit>,
    /// Parent control group.
    #[prost(string, tag = "10")]
    pub cgroup_parent: String,
    /// Remove the directories made for mount points afterwards, parents included.
    #[prost(bool, tag = "11")]
    pub remove_mount_stubs_recursive: bool,
    /// Exit codes that count as success, if not only 0.
    #[prost(int32, repeated, tag = "12")]
    pub valid_exit_codes: Vec<i32>,
}

/// A line of `/etc/hosts`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct HostIp {
    /// Host name.
    #[prost(string, tag = "1")]
    pub host: String,
    /// Its address.
    #[prost(string, tag = "2")]
    pub ip: String,
}

/// A resource limit, see setrlimit(2).
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Ulimit {
    /// `nofile`, `core`, ...
    #[prost(string, tag = "1")]
    pub name: String,
    /// Soft limit.
    #[prost(int64, tag = "2")]
    pub soft: i64,
    /// Hard limit.
    #[prost(int64, tag = "3")]
    pub hard: i64,
}

/// Proxy variables of a process.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ProxyEnv {
    /// `HTTP_PROXY`.
    #[prost(string, tag = "1")]
    pub http_proxy: String,
    /// `HTTPS_PROXY`.
    #[prost(string, tag = "2")]
    pub https_proxy: String,
    /// `FTP_PROXY`.
    #[prost(string, tag = "3")]
    pub ftp_proxy: String,
    /// `NO_PROXY`.
    #[prost(string, tag = "4")]
    pub no_proxy: String,
    /// `ALL_PROXY`.
    #[prost(string, tag = "5")]
    pub all_proxy: String,
}

/// The network of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum NetMode {
    /// A network of its own with a way out.
    Unset = 0,
    /// The host's; needs an entitlement.
    Host = 1,
    /// None.
    None = 2,
}

/// The privileges of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum SecurityMode {
    /// Those of an ordinary container.
    Sandbox = 0,
    /// All; needs an entitlement.
    Insecure = 1,
}

/// An environment variable whose value is a secret.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SecretEnv {
    /// Id of the secret.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Name of the variable.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Whether the build goes on without the secret.
    #[prost(bool, tag = "3")]
    pub optional: bool,
}

/// A file system of a process.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Mount {
    /// Which input of the op, or [`Mount::EMPTY`].
    #[prost(int64, tag = "1")]
    pub input: i64,
    /// Path inside the input.
    #[prost(string, tag = "2")]
    pub selector: String,
    /// Mount point.
    #[prost(string, tag = "3")]
    pub dest: String,
    /// Which output of the op it becomes, or [`Mount::SKIP_OUTPUT`].
    #[prost(int64, tag = "4")]
    pub output: i64,
    /// Whether the process may not write to it.
    #[prost(bool, tag = "5")]
    pub readonly: bool,
    /// What is mounted.
    #[prost(enumeration = "MountType", tag = "6")]
    pub mount_type: i32,
    /// Of a tmpfs.
    #[prost(message, optional, tag = "19")]
    pub tmpfs_opt: Option<TmpfsOpt>,
    /// Of a cache.
    #[prost(message, optional, tag = "20")]
    pub cache_opt: Option<CacheOpt>,
    /// Of a secret.
    #[prost(message, optional, tag = "21")]
    pub secret_opt: Option<SecretOpt>,
    /// Of an SSH agent.
    #[prost(message, optional, tag = "22")]
    pub ssh_opt: Option<SshOpt>,
    /// Result to mount in a gateway container.
    #[prost(string, tag = "23")]
    pub result_id: String,
    /// Whether the cache key takes the content of the input or the ops that made it.
    #[prost(enumeration = "MountContentCache", tag = "24")]
    pub content_cache: i32,
}

impl Mount {
    /// `input` of a mount of nothing.
    pub const EMPTY: i64 = -1;
    /// `output` of a mount that is no result.
    pub const SKIP_OUTPUT: i64 = -1;
}

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum MountType {
    /// An input, or an empty directory.
    Bind = 0,
    /// A file with a secret.
    Secret = 1,
    /// The socket of an SSH agent.
    Ssh = 2,
    /// A directory that stays from build to build.
    Cache = 3,
    /// Memory.
    Tmpfs = 4,
}

/// What the cache key of a mount is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum MountContentCache {
    /// Content if the mount is read-only and not the root, otherwise the ops.
    Default = 0,
    /// The content: every file is read and hashed.
    On = 1,
    /// The ops that made the input.
    Off = 2,
}

/// Options of a tmpfs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct TmpfsOpt {
    /// Upper limit in bytes; 0 is the kernel's default.
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// Options of a cache mount.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct CacheOpt {
    /// Which cache.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What happens if two processes want it.
    #[prost(enumeration = "CacheSharingOpt", tag = "2")]
    pub sharing: i32,
}

/// What happens if two processes want one cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum CacheSharingOpt {
    /// Both write to it.
    Shared = 0,
    /// The second gets one of its own.
    Private = 1,
    /// The second waits.
    Locked = 2,
}

/// Options of a secret mount.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SecretOpt {
    /// Id of the secret.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Owner of the file.
    #[prost(uint32, tag = "2")]
    pub uid: u32,
    /// Group of the file.
    #[prost(uint32, tag = "3")]
    pub gid: u32,
    /// Permission bits of the file.
    #[prost(uint32, tag = "4")]
    pub mode: u32,
    /// Whether the build goes on without the secret.
    #[prost(bool, tag = "5")]
    pub optional: bool,
}

/// Options of an SSH agent mount.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SshOpt {
    /// Id of the agent.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Owner of the socket.
    #[prost(uint32, tag = "2")]
    pub uid: u32,
    /// Group of the socket.
    #[prost(uint32, tag = "3")]
    pub gid: u32,
    /// Permission bits of the socket.
    #[prost(uint32, tag = "4")]
    pub mode: u32,
    /// Whether the build goes on without the agent.
    #[prost(bool, tag = "5")]
    pub optional: bool,
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

/// Changes files without a process, in steps.
#[derive(Clone, PartialEq, Message)]
pub struct FileOp {
    /// The steps.
    #[prost(message, repeated, tag = "2")]
    pub actions: Vec<FileAction>,
}

/// A step of a [`FileOp`].
///
/// `input` and `secondary_input` count the op's inputs first and then the results of earlier
/// actions; -1 is an empty directory.
#[derive(Clone, PartialEq, Message)]
pub struct FileAction {
    /// What is changed.
    #[prost(int64, tag = "1")]
    pub input: i64,
    /// Where a copy takes files from.
    #[prost(int64, tag = "2")]
    pub secondary_input: i64,
    /// Which output of the op the result is, or -1.
    #[prost(int64, tag = "3")]
    pub output: i64,
    /// The change.
    #[prost(oneof = "FileActionKind", tags = "4, 5, 6, 7, 8")]
    pub action: Option<FileActionKind>,
}

/// The change a [`FileAction`] makes.
#[derive(Clone, PartialEq, Oneof)]
pub enum FileActionKind {
    /// Copy files.
    #[prost(message, tag = "4")]
    Copy(FileActionCopy),
    /// Write a file.
    #[prost(message, tag = "5")]
    Mkfile(FileActionMkFile),
    /// Make a directory.
    #[prost(message, tag = "6")]
    Mkdir(FileActionMkDir),
    /// Remove files.
    #[prost(message, tag = "7")]
    Rm(FileActionRm),
    /// Make a symbolic link.
    #[prost(message, tag = "8")]
    Symlink(FileActionSymlink),
}

/// Copies files from the secondary input.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileActionCopy {
    /// Path in the secondary input.
    #[prost(string, tag = "1")]
    pub src: String,
    /// Path in the input.
    #[prost(string, tag = "2")]
    pub dest: String,
    /// New owner, if it changes.
    #[prost(message, optional, tag = "3")]
    pub owner: Option<ChownOpt>,
    /// New permission bits; -1 keeps those of the source.
    #[prost(int32, tag = "4")]
    pub mode: i32,
    /// Follow a symbolic link at `src`.
    #[prost(bool, tag = "5")]
    pub follow_symlink: bool,
    /// Copy what is in the directory `src`, not the directory.
    #[prost(bool, tag = "6")]
    pub dir_copy_contents: bool,
    /// Unpack `src` if it is an archive.
    #[prost(bool, tag = "7")]
    pub attempt_unpack_docker_compatibility: bool,
    /// Make the parents of `dest`.
    #[prost(bool, tag = "8")]
    pub create_dest_path: bool,
    /// `src` is a pattern.
    #[prost(bool, tag = "9")]
    pub allow_wildcard: bool,
    /// A pattern may match nothing.
    #[prost(bool, tag = "10")]
    pub allow_empty_wildcard: bool,
    /// New time stamp in nanoseconds since the epoch; -1 is none.
    #[prost(int64, tag = "11")]
    pub timestamp: i64,
    /// Take only what matches.
    #[prost(string, repeated, tag = "12")]
    pub include_patterns: Vec<String>,
    /// Leave out what matches.
    #[prost(string, repeated, tag = "13")]
    pub exclude_patterns: Vec<String>,
    /// Replace a file by a directory and the other way round.
    #[prost(bool, tag = "14")]
    pub always_replace_existing_dest_paths: bool,
    /// New permission bits as chmod(1) writes them.
    #[prost(string, tag = "15")]
    pub mode_str: String,
    /// Paths that `include_patterns` must have found.
    #[prost(string, repeated, tag = "16")]
    pub required_paths: Vec<String>,
}

/// Writes a file.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileActionMkFile {
    /// Path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Permission bits.
    #[prost(int32, tag = "2")]
    pub mode: i32,
    /// Content.
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
    /// Owner, if not root.
    #[prost(message, optional, tag = "4")]
    pub owner: Option<ChownOpt>,
    /// Time stamp in nanoseconds since the epoch; -1 is now.
    #[prost(int64, tag = "5")]
    pub timestamp: i64,
}

/// Makes a directory.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileActionMkDir {
    /// Path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Permission bits.
    #[prost(int32, tag = "2")]
    pub mode: i32,
    /// Make its parents too.
    #[prost(bool, tag = "3")]
    pub make_parents: bool,
    /// Owner, if not root.
    #[prost(message, optional, tag = "4")]
    pub owner: Option<ChownOpt>,
    /// Time stamp in nanoseconds since the epoch; -1 is now.
    #[prost(int64, tag = "5")]
    pub timestamp: i64,
}

/// Removes files.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileActionRm {
    /// Path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The path may be missing.
    #[prost(bool, tag = "2")]
    pub allow_not_found: bool,
    /// `path` is a pattern.
    #[prost(bool, tag = "3")]
    pub allow_wildcard: bool,
}

/// Makes a symbolic link.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileActionSymlink {
    /// What the link says.
    #[prost(string, tag = "1")]
    pub oldpath: String,
    /// Where the link is.
    #[prost(string, tag = "2")]
    pub newpath: String,
    /// Owner, if not root.
    #[prost(message, optional, tag = "3")]
    pub owner: Option<ChownOpt>,
    /// Time stamp in nanoseconds since the epoch; -1 is now.
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
}

/// Owner and group.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ChownOpt {
    /// Owner.
    #[prost(message, optional, tag = "1")]
    pub user: Option<UserOpt>,
    /// Group.
    #[prost(message, optional, tag = "2")]
    pub group: Option<UserOpt>,
}

/// A user or group.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct UserOpt {
    /// Name or number.
    #[prost(oneof = "UserOptKind", tags = "1, 2")]
    pub user: Option<UserOptKind>,
}

/// A user or group by name or number.
#[derive(Clone, PartialEq, Eq, Hash, Oneof)]
pub enum UserOptKind {
    /// By name.
    #[prost(message, tag = "1")]
    ByName(NamedUserOpt),
    /// By number.
    #[prost(uint32, tag = "2")]
    ById(u32),
}

/// A user or group by name.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct NamedUserOpt {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The input whose `/etc/passwd` or `/etc/group` knows it.
    #[prost(int64, tag = "2")]
    pub input: i64,
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
