//! Machines that stay, with a `qemu-system-x86_64` of the tests' own: its machine has a console, a status, an agent and a
//! power button, and no kernel. All else is real: keepers, locks, sockets, disks, signals.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod copies;
mod disks;
mod ends;
mod images;
mod lab;
mod lives;
