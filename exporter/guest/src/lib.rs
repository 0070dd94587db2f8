//! Programs inside the VM, each static and of one file.
//!
//! - `vmimage-grow` grows the root to the disk, on machines whose image brings an init.
//! - `vmimage-init` is the first process where the image brings none: it does what a container engine and
//!   a distribution's user space would do, and runs the image's entrypoint.
//! - `vmimage-early` goes before either init where the root is only read: what is written is in memory, or kept on a
//!   partition.
//! - `vmimage-boot` is what somebody runs on a machine with two roots, to see and to say which of them is good.
//! - `vmimage-update` writes the next version of such a machine into the slot that is free.
//! - `vmimage-medium` is the first process of a medium: it runs the system that is on it, installs it, or rescues one.
//! - `vmimage-verity` makes, in the initramfs, the device of a root that is verified.
//!
//! What they do is in this library.

/// Commands of a person in the machine: programs with the words that come first behind each.
pub const COMMANDS: &[(&str, &[&str])] = &[
    ("vmimage", &[early::FACTORY_RESET]),
    ("vmimage-boot", choice::WORDS),
    ("vmimage-update", update::WORDS),
];

pub(crate) mod agent;
pub mod choice;
pub mod early;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod grow;
pub mod init;
pub mod medium;
pub mod update;
pub mod verity;
