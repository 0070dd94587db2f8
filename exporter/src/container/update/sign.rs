//! Who signs an update: the list of digests, and so all that is in it.
//!
//! ```text
//! signature ─▶ SHA256SUMS ─▶ manifest.json ─▶ index ─▶ each block
//! ```
//!
//! A signature follows from the key, the time of the build, and what is signed: no clock has a say in it, and two builds of one
//! input sign the same.

mod minisign;

use std::sync::Arc;

use sha2::{Digest, Sha512};

use super::SUMS;
use crate::error::{Error, Kind, Result};
use crate::pki::openpgp;

/// What a file of digests and the signature of it are called, for each kind of key.
pub(super) const MINISIG: &str = "SHA256SUMS.minisig";
pub(super) const GPG: &str = "SHA256SUMS.gpg";

/// A secret key that signs. Nothing that is printed of it is secret.
#[derive(Clone, Debug)]
pub enum Signer {
    /// One of minisign.
    Minisign(Arc<minisign::Key>),
    /// One of GPG.
    Gpg(Arc<openpgp::Key>),
}

impl Signer {
    /// The one with this secret key, whose kind is told by its text; `place` is what a person calls it.
    ///
    /// # Errors
    /// If it is no such key, or one with a password.
    pub fn new(place: &str, secret: &[u8]) -> Result<Self> {
        let wrong = |message: &str| Error::new(Kind::Input, place, message);
        let text = std::str::from_utf8(secret).map_err(|_| wrong("is no text, and no key to sign with"))?;
        if text.trim_start().starts_with(openpgp::BEGIN) {
            let key = openpgp::Key::parse(text);
            let key = key.map_err(|message| wrong(message).with_hint(openpgp::MAKE_ONE))?;
            return Ok(Self::Gpg(Arc::new(key)));
        }
        let key =
            minisign::Key::parse(text).map_err(|message| wrong(message).with_hint(minisign::MAKE_ONE))?;
        Ok(Self::Minisign(Arc::new(key)))
    }

    /// The file with its signature, beside the digests.
    pub fn file(&self) -> &'static str {
        match self {
            Self::Minisign(_) => MINISIG,
            Self::Gpg(_) => GPG,
        }
    }

    /// The public key that minisign, and so a machine, knows it by.
    pub fn minisign_public_key(&self) -> Option<String> {
        match self {
            Self::Minisign(key) => Some(key.public()),
            Self::Gpg(_) => None,
        }
    }

    /// The keyring that gpg, and so systemd-sysupdate in a machine, knows it by.
    pub fn gpg_keyring(&self) -> Option<Vec<u8>> {
        match self {
            Self::Minisign(_) => None,
            Self::Gpg(key) => Some(key.keyring()),
        }
    }

    /// Sign the digests of a version of a system that was built at `time`, in seconds since the epoch; `what` is one line that
    /// minisign signs with them.
    pub(super) fn sign(&self, sums: &str, what: &str, time: u32) -> Result<Vec<u8>> {
        match self {
            Self::Minisign(key) => Ok(key.sign(sums.as_bytes(), what).into_bytes()),
            Self::Gpg(key) => {
                let signed = key.sign(Sha512::new_with_prefix(sums), time);
                signed.map_err(|message| Error::new(Kind::Input, GPG, format!("what signs {message}")))
            }
        }
    }
}

/// That each signature has a file of its own.
///
/// # Errors
/// If two keys are of one kind.
pub(crate) fn require_one_each(signers: &[Signer]) -> Result<()> {
    let is_again = |(index, signer): &(usize, &Signer)| {
        signers[..*index].iter().any(|before| before.file() == signer.file())
    };
    let Some((_, again)) = signers.iter().enumerate().find(is_again) else { return Ok(()) };
    let message =
        format!("is signed once by minisign and once by GPG at most, and two keys are for {}", again.file());
    Err(Error::new(Kind::Input, SUMS, message).with_hint("name one of them in sign of [update]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_and_not_told() {
        let gpg = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxyz\n";
        for (secret, expected) in [
            (&b"\xff\xfe"[..], "secret release: is no text, and no key to sign with"),
            (gpg.as_bytes(), "secret release: is no secret key of GPG"),
            (b"hunter2", "secret release: is no secret key of minisign"),
        ] {
            let error = Signer::new("secret release", secret).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.hint().map(ToString::to_string).is_some(), secret[0] != 0xff);
        }
    }

    #[test]
    fn one_key_of_a_kind_signs() {
        let signer = Signer::new("key", include_bytes!("../../../../testdata/update/release.key")).unwrap();
        assert!(require_one_each(&[]).is_ok() && require_one_each(std::slice::from_ref(&signer)).is_ok());
        let gpg = Signer::new("key", include_bytes!("../../../../testdata/update/gpg-ed25519.asc")).unwrap();
        assert!(require_one_each(&[signer.clone(), gpg.clone()]).is_ok());
        assert!(gpg.gpg_keyring().is_some() && gpg.minisign_public_key().is_none());
        let error = require_one_each(&[signer.clone(), signer]).unwrap_err().to_string();
        assert!(error.ends_with("and two keys are for SHA256SUMS.minisig"), "{error}");
    }
}
