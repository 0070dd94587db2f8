//! Disk files of every format: what other people's readers find in them, and that they are always the
//! same bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod judges;
mod readers;
mod reflink;
mod reproducible;
mod support;
mod zstd_qcow2;
