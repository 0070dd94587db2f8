//! Tars and images of containers as inputs, judged by docker, GNU tar, the kernel and a plain model.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod disk;
mod docker;
mod fetched;
mod images;
mod indexes;
mod legacy;
mod limits;
mod links;
mod random;
mod refused;
mod support;
mod tars;
