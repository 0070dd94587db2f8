//! `vmimage convert docker://…` and `vmimage push`: from and to Debian's `docker-registry`, and from a server that misbehaves on demand.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod failures;
mod image;
mod lab;
mod limits;
mod logins;
mod names;
mod progress;
mod push;
mod real;
mod redirects;
mod registry;
mod served;
mod server;
