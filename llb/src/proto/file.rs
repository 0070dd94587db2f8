//! Changes to files: `FileOp` and its actions.

use prost::{Message, Oneof};

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
