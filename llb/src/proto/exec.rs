//! A process: `ExecOp` and its mounts.

use prost::{Enumeration, Message};

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
