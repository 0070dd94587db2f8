//! What was asked for, in whichever words: attributes, labels, `vmimage.toml`, and what of them the package manager and
//! the hooks are told.

mod asked;
mod attribute;
pub(crate) mod config;
mod flags;
mod hook;
mod install;
mod kernel;
pub(crate) mod request;
pub(crate) mod spelling;
mod table;
#[cfg(test)]
mod tests;
mod wish;

pub(crate) use asked::Asked;
pub(crate) use attribute::{Attribute, Form, Place, Topic, variable};
pub(crate) use flags::{Flags, help_of};
pub(crate) use hook::Hook;
pub(crate) use install::{Folder, Install, Repository, Sources, Taken, TextFile};
pub(crate) use kernel::{Kernel, KernelFile};
pub(crate) use spelling::Hints;
use table::PROFILE;
pub(crate) use table::{ATTRIBUTES, CONFIG, FORMAT};
pub(crate) use wish::Wish;
