//! Certificates in PEM.

use cms::cert::x509::Certificate;
use cms::cert::x509::der::{Decode, Encode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::{Error, Kind, Result};

/// The certificates in a file, one at least; the first is the signer's, if it is a file of a signer.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// What the file is called in messages.
    place: String,
    all: Vec<Certificate>,
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
        let all: Option<Vec<_>> = sections.iter().map(read).collect();
        let all = all.ok_or_else(|| wrong("has a certificate that cannot be read".into()))?;
        match all.is_empty() {
            true => Err(wrong("has no certificate".into())),
            false => Ok(Self { place: place.to_owned(), all }),
        }
    }

    /// This one alone.
    pub(crate) fn of(place: &str, certificate: Certificate) -> Self {
        Self { place: place.to_owned(), all: vec![certificate] }
    }

    pub(crate) fn all(&self) -> &[Certificate] {
        &self.all
    }

    pub(crate) fn signer(&self) -> &Certificate {
        &self.all[0]
    }

    /// Whose the signer's certificate is, as RFC 4514 writes names: `CN=Acme db`.
    pub fn subject(&self) -> String {
        self.signer().tbs_certificate.subject.to_string()
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Whether the signer has signed its certificate itself, so that it can be trusted without any other.
    pub fn is_self_issued(&self) -> bool {
        let certificate = &self.signer().tbs_certificate;
        certificate.issuer == certificate.subject
    }
}
