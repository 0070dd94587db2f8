//! Who signs: certificates, and somebody who has the key of the first.

use std::fmt;
use std::sync::Arc;

use super::Certificates;
use super::key::{Key, is_signature};
use crate::error::{Error, Kind, Result};

/// Whoever has a private key and does not hand it out.
pub trait Sign: Send + Sync {
    /// The signature of `text` by RSA with PKCS #1 v1.5 and SHA-256, as long as the modulus.
    ///
    /// # Errors
    /// Why there is none.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>>;
}

/// Who signs: a certificate with those that lead to the trusted one, and the key of the first.
#[derive(Clone)]
pub struct Signer {
    certificates: Certificates,
    by: Arc<dyn Sign>,
}

impl fmt::Debug for Signer {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// The signer with these certificates and the key in a PEM, called `place` in messages.
    ///
    /// # Errors
    /// [`Kind::Input`] for a key that is encrypted or none, and one of another certificate; [`Kind::Unsupported`] for one that
    /// is not of RSA, or of another length. No message says anything of the key.
    pub fn new(certificates: Certificates, place: &str, pem: &[u8]) -> Result<Self> {
        let key = Key::read(place, pem)?;
        let public = &certificates.signer().tbs_certificate.subject_public_key_info.subject_public_key;
        if public.raw_bytes() != key.public() {
            let message = format!("is not the key of the certificate in {}", certificates.place());
            return Err(Error::new(Kind::Input, place, message).with_hint(
                "give that key, or name its certificate; of several in the file it is the first",
            ));
        }
        Ok(Self { certificates, by: Arc::new(key) })
    }

    /// The signer with these certificates whose key somebody else has.
    pub fn of(certificates: Certificates, by: Arc<dyn Sign>) -> Self {
        Self { certificates, by }
    }

    /// Its certificate, and those that lead to the trusted one.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The signature of `text`. Whoever made it, it is one by the key of the certificate.
    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let signature = self.by.sign(text)?;
        if is_signature(self.certificates.signer(), text, &signature) {
            return Ok(signature);
        }
        let message = format!(
            "no key of the certificate in {} has made this signature of {} bytes",
            self.certificates.place(),
            signature.len()
        );
        Err(Error::new(Kind::Input, "signature", message).with_hint(
            "a signature is RSA with PKCS #1 v1.5 over the SHA-256 of the text, of a key of 2048 to 8192 bits, and nothing else",
        ))
    }
}
