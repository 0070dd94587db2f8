//! The signature of a bundle: CMS (RFC 5652) around what is signed, as `openssl cms -sign -nodetach` makes it.
//!
//! RSA with PKCS #1 v1.5 and SHA-256 alone: it signs the same text with the same bytes, which ring's ECDSA does not.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cms::cert::x509::attr::Attribute;
use cms::cert::x509::der::asn1::{
    Any, GeneralizedTime, Null, ObjectIdentifier, OctetString, SetOfVec, UtcTime,
};
use cms::cert::x509::der::{self, Encode, Tag};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::certificates::Certificates;
use crate::error::{Error, Kind, Result};

/// `id-data` and `id-signedData` (RFC 5652, sections 4 and 5.1).
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `id-contentType`, `id-messageDigest` and `id-signingTime` (section 11).
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
/// `id-sha256` (RFC 5754, section 2.2) and `rsaEncryption` (RFC 3370, section 3.2).
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Who signs bundles: a certificate with those that lead to the trusted one, and the key of the first.
#[derive(Clone)]
pub struct Signer {
    certificates: Certificates,
    key: Arc<RsaKeyPair>,
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
        let key = Arc::new(read_key(place, pem)?);
        let public = &certificates.signer().tbs_certificate.subject_public_key_info.subject_public_key;
        if public.raw_bytes() != key.public().as_ref() {
            let message = "is not the key of the certificate in rauc.certificate";
            return Err(Error::new(Kind::Input, place, message).with_hint(
                "give that key, or name its certificate; of several in the file it is the first",
            ));
        }
        Ok(Self { certificates, key })
    }

    /// The signed `content`, in DER; `time` is that of the signature, in seconds since 1970.
    ///
    /// # Errors
    /// What cannot be said in DER, such as a certificate that comes twice.
    pub(super) fn sign(&self, content: &[u8], time: i64) -> Result<Vec<u8>> {
        let failed =
            |what: String| Error::new(Kind::Unsupported, "rauc", format!("cannot sign the bundle: {what}"));
        let attributes = attributes(content, time).map_err(|error| failed(error.to_string()))?;
        let signature = self.signature(&attributes).ok_or_else(|| failed("the key refuses".to_owned()))?;
        self.message(content, attributes, signature).map_err(|error| failed(error.to_string()))
    }

    /// Over the DER of the attributes as a SET (section 5.4).
    fn signature(&self, attributes: &SetOfVec<Attribute>) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        let text = attributes.to_der().ok()?;
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &text, &mut signature).ok()?;
        Some(signature)
    }

    fn message(
        &self,
        content: &[u8],
        attributes: SetOfVec<Attribute>,
        signature: Vec<u8>,
    ) -> der::Result<Vec<u8>> {
        let certificate = &self.certificates.signer().tbs_certificate;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: certificate.issuer.clone(),
                serial_number: certificate.serial_number.clone(),
            }),
            digest_alg: sha256(),
            signed_attrs: Some(attributes),
            signature_algorithm: AlgorithmIdentifierOwned { oid: RSA, parameters: Some(Null.into()) },
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let certificates = self.certificates.0.iter().cloned().map(CertificateChoices::Certificate);
        let signed = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: set([sha256()])?,
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: DATA,
                econtent: Some(Any::new(Tag::OctetString, content)?),
            },
            certificates: Some(CertificateSet(set(certificates)?)),
            crls: None,
            signer_infos: SignerInfos(set([signer])?),
        };
        ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&signed)? }.to_der()
    }
}

/// What is signed: the digest of the content, beside what it is and when. RAUC's `use-bundle-signing-time` takes it for
/// granted that there is a time.
fn attributes(content: &[u8], time: i64) -> der::Result<SetOfVec<Attribute>> {
    let since = Duration::from_secs(u64::try_from(time).unwrap_or(0));
    let time = match UtcTime::from_unix_duration(since) {
        Ok(time) => Any::encode_from(&time)?,
        // From 2050 on (section 11.3).
        Err(_) => Any::encode_from(&GeneralizedTime::from_unix_duration(since)?)?,
    };
    let digest = OctetString::new(Sha256::digest(content).to_vec())?;
    let values = [
        (CONTENT_TYPE, Any::encode_from(&DATA)?),
        (MESSAGE_DIGEST, Any::encode_from(&digest)?),
        (SIGNING_TIME, time),
    ];
    let attribute = |(oid, value)| Ok(Attribute { oid, values: set([value])? });
    set(values.into_iter().map(attribute).collect::<der::Result<Vec<_>>>()?)
}

fn set<T: der::DerOrd>(values: impl IntoIterator<Item = T>) -> der::Result<SetOfVec<T>> {
    let mut set = SetOfVec::new();
    values.into_iter().try_for_each(|value| set.insert(value))?;
    Ok(set)
}

fn sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: SHA256, parameters: None }
}

fn read_key(place: &str, pem: &[u8]) -> Result<RsaKeyPair> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| no_key(place, pem))?;
    let read = match &key {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err(not_rsa(place)),
    };
    read.map_err(|_| not_rsa(place))
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
