//! Programs inside the VM, each static and of one file.
//!
//! - `vmimage-grow` grows the root to the disk, on machines whose image brings an init.
//! - `vmimage-init` is the first process where the image brings none: it does what a container engine and
//!   a kernel's usual user space would do, and runs the image's entrypoint.
//!
//! What both use, and what the disk's builder has to know of them, is in this library.

pub mod grow;
pub mod service;

/// Where `vmimage-init` lies in a machine.
pub const INIT: &str = "/usr/lib/vmimage/init";
