//! The parts of a build graph that gateway messages carry.

use std::collections::BTreeMap;

/// `pb.Definition`, with its parts opaque.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Definition {
    /// Marshalled ops; the last one is the terminal.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub def: Vec<Vec<u8>>,
    /// Encoded `OpMetadata` by op digest.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// Encoded `Source`.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub source: Option<Vec<u8>>,
}

/// `pb.Platform`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Platform {
    /// CPU architecture as Go names it.
    #[prost(string, tag = "1")]
    pub architecture: String,
    /// Operating system as Go names it.
    #[prost(string, tag = "2")]
    pub os: String,
    /// CPU variant.
    #[prost(string, tag = "3")]
    pub variant: String,
}
