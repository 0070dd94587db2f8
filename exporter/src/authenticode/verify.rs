//! Who has signed a program, and whether it is what was signed.

use cms::cert::CertificateChoices;
use cms::cert::x509::Certificate;
use cms::cert::x509::der::asn1::{AnyRef, OctetString};
use cms::cert::x509::der::{Decode, Encode};
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use sha2::{Digest, Sha256};

use super::digest::{Read, read, refused};
use super::indirect_data::{self, INDIRECT_DATA};
use super::table;
use crate::error::Result;
use crate::fs::Contents;
use crate::pki::{Certificates, is_signature, oid};

/// A signature of a program.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who is said to have signed: the name in a certificate, or else what there is of one.
    pub signer: String,
    /// What it is worth.
    pub state: State,
    /// The certificate by whose key it is.
    certificate: Option<Certificate>,
}

/// What a signature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is by the key of that certificate, and of this program.
    Good,
    /// It is of something else, or of nobody.
    Bad,
    /// It is of a kind that is not checked here.
    Unknown,
}

impl Found {
    /// Whether it is right, and by the key of the first of these certificates.
    pub fn is_good_by(&self, certificates: &Certificates) -> bool {
        self.state == State::Good && self.certificate.as_ref() == Some(certificates.signer())
    }
}

/// The signatures of the program in `file`, which `place` names in messages, in their order.
///
/// That one is good says nothing of whether its certificate is to be trusted.
///
/// # Errors
/// [`Kind::Input`](crate::Kind::Input) if it is no program for UEFI, or has a broken table of signatures.
pub fn signatures(place: &str, file: &Contents) -> Result<Vec<Found>> {
    found(&read(place, file)?).map_err(|why| refused(place, why))
}

pub(super) fn found(read: &Read) -> Result<Vec<Found>, &'static str> {
    let messages = table::messages(&read.table)?;
    Ok(messages.into_iter().map(|message| check(message, &read.sha256)).collect())
}

fn check(message: Option<&[u8]>, sha256: &[u8; 32]) -> Found {
    let unknown =
        |signer: &str| Found { signer: signer.to_owned(), state: State::Unknown, certificate: None };
    let Some(message) = message else { return unknown("no message of CMS") };
    let Some(signed) = signed_data(message) else { return unknown("a message that cannot be read") };
    let [signer] = signed.signer_infos.0.as_slice() else { return unknown("several at once, or nobody") };
    let Some(certificate) = certificate(&signed, signer) else { return unknown("without a certificate") };
    let name = certificate.tbs_certificate.subject.to_string();
    let state = state(&signed, signer, certificate, sha256);
    Found { signer: name, state, certificate: Some(certificate.clone()) }
}

/// The message that an entry begins with: some have zeroes behind it in their length.
fn signed_data(message: &[u8]) -> Option<SignedData> {
    let (first, _) = cut(message)?;
    let info = ContentInfo::from_der(first).ok().filter(|info| info.content_type == oid::SIGNED_DATA)?;
    info.content.decode_as().ok()
}

/// The first value of DER in some bytes, and what is behind it.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    use cms::cert::x509::der::{Header, Reader, SliceReader};
    let mut reader = SliceReader::new(bytes).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    let len = usize::try_from(reader.position()).ok()?.checked_add(usize::try_from(header.length).ok()?)?;
    bytes.split_at_checked(len)
}

/// The certificate that the signer names.
fn certificate<'a>(signed: &'a SignedData, signer: &SignerInfo) -> Option<&'a Certificate> {
    let SignerIdentifier::IssuerAndSerialNumber(wanted) = &signer.sid else { return None };
    let all = signed.certificates.iter().flat_map(|set| set.0.iter());
    let mut all = all.filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    });
    all.find(|certificate| {
        let found = &certificate.tbs_certificate;
        found.issuer == wanted.issuer && found.serial_number == wanted.serial_number
    })
}

fn state(signed: &SignedData, signer: &SignerInfo, certificate: &Certificate, sha256: &[u8; 32]) -> State {
    let is_known = signer.digest_alg.oid == oid::SHA256
        && [oid::RSA, oid::SHA256_WITH_RSA].contains(&signer.signature_algorithm.oid)
        && certificate.tbs_certificate.subject_public_key_info.algorithm.oid == oid::RSA;
    if !is_known {
        return State::Unknown;
    }
    match is_good(signed, signer, certificate, sha256) {
        Some(true) => State::Good,
        _ => State::Bad,
    }
}

/// Whether each is of the next: the signature of the attributes, these of the content, that of the program.
fn is_good(
    signed: &SignedData,
    signer: &SignerInfo,
    certificate: &Certificate,
    sha256: &[u8; 32],
) -> Option<bool> {
    let info = &signed.encap_content_info;
    let content = info.econtent.as_ref().filter(|_| info.econtent_type == INDIRECT_DATA)?;
    let attributes = signer.signed_attrs.as_ref()?;
    let value = |wanted| {
        let mut values = attributes.iter().filter(|attribute| attribute.oid == wanted);
        let value = values.next()?.values.get(0).cloned();
        value.filter(|_| values.next().is_none())
    };
    let digest: OctetString = value(oid::MESSAGE_DIGEST)?.decode_as().ok()?;
    let content_type = value(oid::CONTENT_TYPE)?.decode_as().ok()?;
    let is_of_content =
        INDIRECT_DATA == content_type && digest.as_bytes() == Sha256::digest(content.value()).as_slice();
    let is_of_program = indirect_data::sha256(AnyRef::from(content)) == Some(*sha256);
    let text = attributes.to_der().ok()?;
    Some(is_of_content && is_of_program && is_signature(certificate, &text, signer.signature.as_bytes()))
}
