//! Signatures of programs for UEFI: who has signed one, and signing it.
//!
//! ```text
//! ┌─────────────────────────────────────────┬──────────┬─────┬─────────────┬─────────────┬────┐
//! │ headers: CheckSum, data directory 4 ────│ sections │ pad │ signature 1 │ signature 2 │ …  │
//! └──────────────────────────────────┼──────┴──────────┴─────┴▲────────────┴─────────────┴────┘
//!                                    └────────────────────────┘  each begins at a multiple of 8
//! ```
//!
//! A signature is a message of CMS around the SHA-256 of all but the signatures and the two places in the headers that
//! change with them. Firmware takes a program if it takes one of its signatures, so a further one leaves the others as good
//! as they were. Nothing in a signature has a time or is random: the same key signs the same program with the same bytes.
//!
//! Refused: programs whose sections leave gaps or lie over each other, which some sign and others do not; digests and keys
//! other than SHA-256 and RSA are shown, and not checked.
//!
//! Source: Windows Authenticode Portable Executable Signature Format (Microsoft, 2008); PE Format, "The Attribute Certificate
//! Table"; UEFI specification 2.10, section 32.2.4.

mod digest;
mod file;
mod indirect_data;
mod program;
mod sign;
mod table;
#[cfg(test)]
mod tests;
mod verify;
mod volume;

pub use file::sign_file;
pub use program::is_program;
pub use sign::{Signature, sign};
pub use verify::{Found, State, signatures};
pub use volume::on_volume;

/// The largest table of signatures that is read: some certificates of RSA have 2 KiB, and no program has many.
const TABLE_MAX: u64 = 1 << 20;
