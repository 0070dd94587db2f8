//! Signed data as CMS (RFC 5652) has it.

use std::time::Duration;

use cms::cert::x509::attr::Attribute;
use cms::cert::x509::der::asn1::{
    Any, GeneralizedTime, Null, ObjectIdentifier, OctetString, SetOfVec, UtcTime,
};
use cms::cert::x509::der::{self, Encode};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};

use super::Signer;
use crate::error::{Error, Kind, Result};

/// Object identifiers.
pub(crate) mod oid {
    use cms::cert::x509::der::asn1::ObjectIdentifier;

    /// `id-data` (RFC 5652, section 4).
    pub(crate) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
    /// `id-signedData` (section 5.1).
    pub(crate) const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
    /// `id-contentType` (section 11.1).
    pub(crate) const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
    /// `id-messageDigest` (section 11.2).
    pub(crate) const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
    /// `id-signingTime` (section 11.3).
    pub(super) const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
    /// `id-sha256` (RFC 5754, section 2.2).
    pub(crate) const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
    /// `rsaEncryption` (RFC 3370, section 3.2).
    pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    /// `sha256WithRSAEncryption` (RFC 4055, section 5).
    pub(crate) const SHA256_WITH_RSA: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
}

/// What is said of a content that is signed.
pub(crate) struct Attributes {
    /// What it is.
    pub(crate) content_type: ObjectIdentifier,
    /// Its SHA-256.
    pub(crate) digest: [u8; 32],
    /// When it is signed, in seconds since 1970; a message without a time is the same whenever it is made.
    pub(crate) time: Option<i64>,
}

/// What the key signs.
pub(crate) enum Signed<'a> {
    /// Attributes, which have the digest of the content.
    Attributes(Attributes),
    /// The content itself.
    Content(&'a [u8]),
}

impl Signer {
    /// The message that says that this signer has signed a content, which may be in it.
    ///
    /// # Errors
    /// If the signer refuses; what cannot be said in DER, such as a certificate that comes twice.
    pub(crate) fn signed_data(
        &self,
        content: EncapsulatedContentInfo,
        signed: &Signed<'_>,
    ) -> Result<SignedData> {
        let attributes = match signed {
            Signed::Attributes(attributes) => Some(attributes.encode().map_err(unsayable)?),
            Signed::Content(_) => None,
        };
        let signature = match (&attributes, signed) {
            // As a SET of its own (section 5.4).
            (Some(attributes), _) => self.sign(&attributes.to_der().map_err(unsayable)?)?,
            (None, Signed::Content(content)) => self.sign(content)?,
            (None, Signed::Attributes(_)) => return Err(unsayable("no attributes")),
        };
        self.message(content, attributes, signature).map_err(unsayable)
    }

    fn message(
        &self,
        content: EncapsulatedContentInfo,
        attributes: Option<SetOfVec<Attribute>>,
        signature: Vec<u8>,
    ) -> der::Result<SignedData> {
        let certificate = &self.certificates().signer().tbs_certificate;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: certificate.issuer.clone(),
                serial_number: certificate.serial_number.clone(),
            }),
            digest_alg: sha256(),
            signed_attrs: attributes,
            signature_algorithm: algorithm(oid::RSA),
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let certificates = self.certificates().all().iter().cloned().map(CertificateChoices::Certificate);
        Ok(SignedData {
            version: CmsVersion::V1,
            digest_algorithms: set([sha256()])?,
            encap_content_info: content,
            certificates: Some(CertificateSet(set(certificates)?)),
            crls: None,
            signer_infos: SignerInfos(set([signer])?),
        })
    }
}

impl Attributes {
    fn encode(&self) -> der::Result<SetOfVec<Attribute>> {
        let digest = OctetString::new(self.digest)?;
        let time = self.time.map(encode_time).transpose()?;
        let values = [
            Some((oid::CONTENT_TYPE, Any::encode_from(&self.content_type)?)),
            Some((oid::MESSAGE_DIGEST, Any::encode_from(&digest)?)),
            time.map(|time| (oid::SIGNING_TIME, time)),
        ];
        let attribute = |(oid, value)| Ok(Attribute { oid, values: set([value])? });
        set(values.into_iter().flatten().map(attribute).collect::<der::Result<Vec<_>>>()?)
    }
}

/// A message on its own, in DER.
///
/// # Errors
/// As [`Signer::signed_data`].
pub(crate) fn to_der(message: &SignedData) -> Result<Vec<u8>> {
    let content = Any::encode_from(message).map_err(unsayable)?;
    ContentInfo { content_type: oid::SIGNED_DATA, content }.to_der().map_err(unsayable)
}

fn encode_time(time: i64) -> der::Result<Any> {
    let since = Duration::from_secs(u64::try_from(time).unwrap_or(0));
    match UtcTime::from_unix_duration(since) {
        Ok(time) => Any::encode_from(&time),
        // From 2050 on (section 11.3).
        Err(_) => Any::encode_from(&GeneralizedTime::from_unix_duration(since)?),
    }
}

pub(super) fn set<T: der::DerOrd>(values: impl IntoIterator<Item = T>) -> der::Result<SetOfVec<T>> {
    let mut set = SetOfVec::new();
    values.into_iter().try_for_each(|value| set.insert(value))?;
    Ok(set)
}

/// An algorithm whose parameters are NULL.
pub(super) fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Some(Null.into()) }
}

fn sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: oid::SHA256, parameters: None }
}

fn unsayable(why: impl ToString) -> Error {
    Error::new(Kind::Unsupported, "signature", format!("cannot be said in DER: {}", why.to_string()))
}
