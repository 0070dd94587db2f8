//! The ways a graph can be wrong.

use std::fmt;

use crate::digest::OpDigest;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A way a graph can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are no protobuf message of the kind expected.
    Malformed {
        /// What was being read: `op sha256:...`, `definition`.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A definition with ops, whose last one has no input and so names no result.
    NoTerminal,
    /// An edge from an op that is not there.
    Dangling {
        /// The op whose input it is.
        op: OpDigest,
        /// The op that is missing.
        input: OpDigest,
    },
    /// An op that was asked for and is not there.
    UnknownOp(OpDigest),
    /// An op refers to an input, output or action it does not have.
    BadIndex {
        /// The op.
        op: OpDigest,
        /// What it refers to: `output 3`, `input 1 of a mount`.
        what: String,
    },
    /// A step that cannot be marshalled as it was asked for.
    Invalid {
        /// What was asked for: `run apt-get update`, `copy /vmlinuz`.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A graft whose head is not built on the base it goes above.
    HeadWithoutBase {
        /// The base.
        base: OpDigest,
    },
    /// A graft that would join an output other than 0: edges name the output by number, and only the
    /// digest of an edge is replaced.
    GraftOutput {
        /// The op with the other output: a consumer of the base, or the head.
        op: OpDigest,
        /// The output it has or wants.
        output: u32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, reason } | Self::Invalid { what, reason } => {
                write!(f, "{what}: {reason}")
            }
            Self::NoTerminal => f.write_str("definition: the last op has no input, so there is no result"),
            Self::Dangling { op, input } => write!(f, "op {op}: input {input} is not in the definition"),
            Self::UnknownOp(op) => write!(f, "op {op}: not in the graph"),
            Self::BadIndex { op, what } => write!(f, "op {op}: there is no {what}"),
            Self::HeadWithoutBase { base } => {
                write!(f, "graft above op {base}: the ops to insert are not built on it")
            }
            Self::GraftOutput { op, output } => {
                write!(f, "op {op}: output {output} cannot be grafted, only output 0 can")
            }
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn malformed(what: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Malformed { what: what.to_string(), reason: reason.to_string() }
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }
}
