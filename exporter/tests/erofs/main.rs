//! The EROFS writer, judged by fsck.erofs, dump.erofs and the kernel.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod compressed;
mod fsck;
mod kernel;
mod random;
mod refused;
mod size;
mod support;
#[path = "../trees/mod.rs"]
mod trees;
