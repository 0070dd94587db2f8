//! Certificates, keys of RSA, and what they sign: the parts that bundles of RAUC, programs for UEFI and its variables share;
//! and [keys of OpenPGP](openpgp).
//!
//! ```text
//! Certificates ─┐
//!               ├─ Signer ─ SignedData (RFC 5652) ─▶ rauc: all of a manifest, in the message
//! Key, or ──────┘                                   authenticode: the digest of a program, in the message
//! whoever signs                                     secure_boot: a variable, beside the message
//! ```
//!
//! RSA with PKCS #1 v1.5 and SHA-256 alone: it signs the same text with the same bytes, which ring's ECDSA does not, and
//! it is what firmware has to know.

mod certificates;
mod key;
mod message;
pub(crate) mod openpgp;
mod self_signed;
mod signer;

pub use certificates::Certificates;
pub(crate) use key::{Key, is_signature};
pub(crate) use message::{Attributes, Signed, oid, to_der};
pub(crate) use self_signed::self_signed;
pub use signer::{Sign, Signer};
