//! The container engine: how it builds, and how what it built reaches this host.

pub(crate) mod buildx;
pub(crate) mod child;
pub(crate) mod destination;
pub(crate) mod receive;
