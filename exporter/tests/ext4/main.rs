//! The ext4 writer, judged by e2fsck, debugfs, the kernel and another reader.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod clone;
mod debugfs;
mod directories;
mod dump;
mod export;
mod foreign;
mod fsck;
mod growth;
mod hostile;
mod kernel;
#[path = "../trees/order.rs"]
mod order;
mod random;
mod reader;
mod refused;
#[path = "../trees/refused_by_all.rs"]
mod refused_by_all;
mod size;
mod stable;
mod support;
mod sweep;
mod tree_digest;
#[path = "../trees/mod.rs"]
mod trees;
mod view;
