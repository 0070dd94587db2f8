//! `vmimage convert docker://…`: from Debian's `docker-registry`, and from a server that misbehaves on demand.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod failures;
mod image;
mod lab;
mod logins;
mod progress;
mod real;
mod server;
