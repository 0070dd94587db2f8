//! What a certificate lets its owner sign, as far as RAUC asks.

use cms::cert::x509::der::asn1::ObjectIdentifier;
use cms::cert::x509::ext::pkix::{ExtendedKeyUsage, KeyUsage};

use crate::pki::Certificates;

/// `id-kp-codeSigning` and `id-kp-emailProtection` (RFC 5280, section 4.2.1.12).
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const EMAIL_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4");

/// What OpenSSL has to be asked for so that it takes a signer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing: it takes signed mail by default.
    Default,
    /// `check-purpose=codesign`.
    CodeSigning,
}

impl Purpose {
    /// What the signer's certificate has to be checked for, `None` if RAUC would take no bundle that it has signed.
    pub fn of(certificates: &Certificates) -> Option<Self> {
        let certificate = &certificates.signer().tbs_certificate;
        let usage = certificate.get::<KeyUsage>().ok()?;
        if usage.is_some_and(|(_, usage)| !usage.digital_signature()) {
            return None;
        }
        match certificate.get::<ExtendedKeyUsage>().ok()? {
            None => Some(Self::Default),
            Some((_, ExtendedKeyUsage(usages))) if usages.contains(&EMAIL_PROTECTION) => Some(Self::Default),
            Some((_, ExtendedKeyUsage(usages))) => {
                usages.contains(&CODE_SIGNING).then_some(Self::CodeSigning)
            }
        }
    }
}
