//! The EROFS writer, judged by fsck.erofs, dump.erofs and the kernel.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod compressed;
mod fsck;
mod kernel;
#[path = "../trees/order.rs"]
mod order;
mod random;
mod refused;
#[path = "../trees/refused_by_all.rs"]
mod refused_by_all;
mod size;
mod support;
#[path = "../trees/mod.rs"]
mod trees;
