//! Keys of one's own for Secure Boot: making them, and telling firmware of them.
//!
//! ```text
//! PK ──signs──▶ KEK ──signs──▶ db ──signs──▶ programs        each a certificate and its key
//!
//! .esl   a list of certificates                               what a variable has
//! .auth  time │ signature │ a list                            what a running firmware takes: of db, signed by KEK
//! VARS   variable │ variable │ …                              what OVMF starts with, in a virtual machine
//! ```
//!
//! Source: UEFI specification 2.10, sections 8.2.2, 32.3 and 32.4.1; EDK II, `MdeModulePkg/Include/Guid/VariableFormat.h`.

mod auth;
mod keys;
mod signature_list;
mod store;
#[cfg(test)]
mod tests;
mod variable;

pub use auth::{Update, update};
pub use keys::{File, generate};
pub use signature_list::{certificate_list, check_list};
pub use store::enroll;
pub use variable::Variable;
