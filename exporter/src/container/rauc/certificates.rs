//! Certificates in PEM, as far as a bundle and who checks it have to know them.

use cms::cert::x509::Certificate;
use cms::cert::x509::der::{Decode, Encode, asn1::ObjectIdentifier};
use cms::cert::x509::ext::pkix::{ExtendedKeyUsage, KeyUsage};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::{Error, Kind, Result};

/// `id-kp-codeSigning` and `id-kp-emailProtection` (RFC 5280, section 4.2.1.12).
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const EMAIL_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4");

/// The certificates in a file, one at least; the first is the signer's, if it is a file of a signer.
#[derive(Clone, Debug)]
pub struct Certificates(pub(super) Vec<Certificate>);

/// What OpenSSL has to be asked for so that it takes a signer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing: it takes signed mail by default.
    Default,
    /// `check-purpose=codesign`.
    CodeSigning,
}

impl Certificates {
    /// Those in a text; `place` is its name in messages.
    ///
    /// # Errors
    /// [`Kind::Input`] if there is none, or one of them is not of DER.
    pub fn read(place: &str, pem: &[u8]) -> Result<Self> {
        let wrong = |why: String| {
            Error::new(Kind::Input, place, why).with_hint("openssl x509 -in FILE makes PEM of other forms")
        };
        let sections = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let sections = sections.map_err(|error| wrong(format!("is no PEM: {error}")))?;
        let read = |section: &CertificateDer<'_>| {
            let certificate = Certificate::from_der(section).ok()?;
            // It is written anew into the signature: what would then have other bytes would not be the signer's.
            certificate.to_der().is_ok_and(|again| again == **section).then_some(certificate)
        };
        let certificates: Option<Vec<_>> = sections.iter().map(read).collect();
        let certificates =
            certificates.ok_or_else(|| wrong("has a certificate that cannot be read".into()))?;
        match certificates.is_empty() {
            true => Err(wrong("has no certificate".into())),
            false => Ok(Self(certificates)),
        }
    }

    pub(super) fn signer(&self) -> &Certificate {
        &self.0[0]
    }

    /// Whether the signer has signed its certificate itself, so that it can be trusted without any other.
    pub fn is_self_issued(&self) -> bool {
        let certificate = &self.signer().tbs_certificate;
        certificate.issuer == certificate.subject
    }

    /// What the signer's certificate has to be checked for, `None` if RAUC would take no bundle that it has signed.
    pub fn purpose(&self) -> Option<Purpose> {
        let certificate = &self.signer().tbs_certificate;
        let usage = certificate.get::<KeyUsage>().ok()?;
        if usage.is_some_and(|(_, usage)| !usage.digital_signature()) {
            return None;
        }
        match certificate.get::<ExtendedKeyUsage>().ok()? {
            None => Some(Purpose::Default),
            Some((_, ExtendedKeyUsage(usages))) if usages.contains(&EMAIL_PROTECTION) => {
                Some(Purpose::Default)
            }
            Some((_, ExtendedKeyUsage(usages))) => {
                usages.contains(&CODE_SIGNING).then_some(Purpose::CodeSigning)
            }
        }
    }
}
