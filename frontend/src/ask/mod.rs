//! What was asked for, in whichever words: attributes, labels, `vmimage.toml`, and what of them the package manager and
//! the hooks are told.

pub(crate) mod attributes;
pub(crate) mod config;
mod hook;
mod install;
mod kernel;
pub(crate) mod request;

pub(crate) use hook::Hook;
pub(crate) use install::{Folder, Install, Repository, Sources, TextFile};
pub(crate) use kernel::Kernel;
