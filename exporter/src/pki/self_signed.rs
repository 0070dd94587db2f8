//! A certificate that signs itself, as `openssl req -x509` makes it.
//!
//! Source: RFC 5280, sections 4.1 and 4.2.1.

use std::ops::Range;
use std::time::Duration;

use cms::cert::x509::attr::AttributeTypeAndValue;
use cms::cert::x509::der::asn1::{Any, BitString, ObjectIdentifier, OctetString, SetOfVec, Utf8StringRef};
use cms::cert::x509::der::oid::AssociatedOid;
use cms::cert::x509::der::{self, Encode};
use cms::cert::x509::ext::Extension;
use cms::cert::x509::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, SubjectKeyIdentifier};
use cms::cert::x509::name::{Name, RdnSequence, RelativeDistinguishedName};
use cms::cert::x509::serial_number::SerialNumber;
use cms::cert::x509::spki::SubjectPublicKeyInfoOwned;
use cms::cert::x509::time::{Time, Validity};
use cms::cert::x509::{Certificate, TbsCertificate, Version};
use sha2::{Digest, Sha256};

use super::message::{algorithm, oid};
use super::{Key, Sign};
use crate::error::{Error, Kind, Result};

/// `id-at-commonName` (RFC 5280, appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// Bytes of a serial number and of a name of a key.
const ID: usize = 20;
/// The longest common name (`ub-common-name`, appendix A.1).
const NAME_MAX: usize = 64;

/// The certificate of `key` for whoever is called `name`, for `validity` in seconds since 1970. It may sign others.
///
/// # Errors
/// [`Kind::Input`] for a name of no or more than 64 characters, and for a time that no certificate can say.
pub(crate) fn self_signed(name: &str, key: &Key, validity: Range<i64>) -> Result<Certificate> {
    if !(1..=NAME_MAX).contains(&name.chars().count()) {
        let message = format!("a certificate's name has 1 to {NAME_MAX} characters");
        return Err(Error::new(Kind::Input, name, message));
    }
    let unsayable =
        |error: der::Error| Error::new(Kind::Input, name, format!("no certificate can say this: {error}"));
    let unsigned = unsigned(name, key, validity).map_err(unsayable)?;
    let signature = key.sign(&unsigned.to_der().map_err(unsayable)?)?;
    let signature_algorithm = unsigned.signature.clone();
    let signature = BitString::from_bytes(&signature).map_err(unsayable)?;
    Ok(Certificate { tbs_certificate: unsigned, signature_algorithm, signature })
}

fn unsigned(name: &str, key: &Key, validity: Range<i64>) -> der::Result<TbsCertificate> {
    let name = common_name(name)?;
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial_number(key))?,
        signature: algorithm(oid::SHA256_WITH_RSA),
        issuer: name.clone(),
        validity: Validity { not_before: time(validity.start)?, not_after: time(validity.end)? },
        subject: name,
        subject_public_key_info: SubjectPublicKeyInfoOwned {
            algorithm: algorithm(oid::RSA),
            subject_public_key: BitString::from_bytes(key.public())?,
        },
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions(key)?),
    })
}

fn extensions(key: &Key) -> der::Result<Vec<Extension>> {
    // The leftmost 160 bits of the key's SHA-256 (RFC 7093, section 2).
    let key = OctetString::new(&Sha256::digest(key.public())[..ID])?;
    let issuer = AuthorityKeyIdentifier { key_identifier: Some(key.clone()), ..Default::default() };
    let constraints = BasicConstraints { ca: true, path_len_constraint: None };
    Ok(vec![
        extension(&SubjectKeyIdentifier(key), false)?,
        extension(&issuer, false)?,
        extension(&constraints, true)?,
    ])
}

fn extension<T: Encode + AssociatedOid>(value: &T, critical: bool) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// That of a key that was made for this certificate is as random as the key.
fn serial_number(key: &Key) -> [u8; ID] {
    let mut number = [0; ID];
    number.copy_from_slice(&Sha256::digest([b"serial number", key.public()].concat())[..ID]);
    // Positive, and of that many bytes (section 4.1.2.2).
    number[0] = number[0] & 0x3f | 0x40;
    number
}

fn common_name(name: &str) -> der::Result<Name> {
    let value = Any::encode_from(&Utf8StringRef::new(name)?)?;
    let mut names = SetOfVec::new();
    names.insert(AttributeTypeAndValue { oid: COMMON_NAME, value })?;
    Ok(RdnSequence(vec![RelativeDistinguishedName(names)]))
}

fn time(seconds: i64) -> der::Result<Time> {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Ok(match der::asn1::UtcTime::from_unix_duration(since) {
        Ok(time) => Time::UtcTime(time),
        // From 2050 on (section 4.1.2.5).
        Err(_) => Time::GeneralTime(der::asn1::GeneralizedTime::from_unix_duration(since)?),
    })
}
