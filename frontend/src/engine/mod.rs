//! The container engine: how it builds, and how what it built reaches this host.

pub(crate) mod buildah;
pub(crate) mod buildx;
mod choice;
pub(crate) mod destination;
pub(crate) mod dockerfile;
pub(crate) mod frontend;
pub(crate) mod handover;
pub(crate) mod receive;

pub(crate) use choice::{Choice, Engine};
