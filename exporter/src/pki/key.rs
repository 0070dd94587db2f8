//! A private key of RSA, and whether what somebody has signed is signed by the other half of one.

use cms::cert::x509::Certificate;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::Sign;
use crate::error::{Error, Kind, Result};

/// A key that is in memory.
pub(crate) struct Key(RsaKeyPair);

impl Key {
    /// The key in a PEM of PKCS #8 or PKCS #1, called `place` in messages, which say nothing of it.
    ///
    /// # Errors
    /// [`Kind::Input`] for a key that is encrypted or none; [`Kind::Unsupported`] for one that is not of RSA, or of another
    /// length.
    pub(crate) fn read(place: &str, pem: &[u8]) -> Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| no_key(place, pem))?;
        let read = match &key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(not_rsa(place)),
        };
        read.map(Self).map_err(|_| not_rsa(place))
    }

    /// Its public half, DER of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
    pub(crate) fn public(&self) -> &[u8] {
        self.0.public().as_ref()
    }
}

impl Sign for Key {
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
        signed.map_err(|_| Error::new(Kind::Unsupported, "", "the key refuses to sign"))?;
        Ok(signature)
    }
}

/// Whether `signature` of `text` is by the key of `certificate`.
pub(crate) fn is_signature(certificate: &Certificate, text: &[u8], signature: &[u8]) -> bool {
    let public = certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(text, signature).is_ok()
}

fn no_key(place: &str, pem: &[u8]) -> Error {
    let is_encrypted = pem.windows(9).any(|word| word == b"ENCRYPTED");
    let (message, hint) = match is_encrypted {
        true => (
            "is encrypted, and a build has nobody to ask for the passphrase",
            "openssl pkey -in KEY -out PLAIN",
        ),
        false => ("is no private key in PEM", "openssl pkey -in KEY makes one of other forms"),
    };
    Error::new(Kind::Input, place, message).with_hint(hint)
}

fn not_rsa(place: &str) -> Error {
    Error::new(Kind::Unsupported, place, "is no RSA key of 2048 to 4096 bits")
        .with_hint("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 makes one")
}
