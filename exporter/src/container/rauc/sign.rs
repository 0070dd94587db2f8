//! The signature of a bundle: CMS (RFC 5652) around what is signed, as `openssl cms -sign -nodetach` makes it.

use cms::cert::x509::der::Tag;
use cms::cert::x509::der::asn1::Any;
use cms::signed_data::EncapsulatedContentInfo;
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::pki::{Attributes, Signed, Signer, oid, to_der};

/// The signed `content`, in DER; `time` is that of the signature, in seconds since 1970. RAUC's `use-bundle-signing-time`
/// takes it for granted that there is one.
///
/// # Errors
/// If the signer refuses, or has certificates that cannot be said in DER.
pub(super) fn sign(signer: &Signer, content: &[u8], time: i64) -> Result<Vec<u8>> {
    let digest = Sha256::digest(content).into();
    let attributes = Attributes { content_type: oid::DATA, digest, time: Some(time) };
    let content = Any::new(Tag::OctetString, content)
        .map_err(|error| Error::new(Kind::Unsupported, "rauc", format!("cannot sign the bundle: {error}")))?;
    let content = EncapsulatedContentInfo { econtent_type: oid::DATA, econtent: Some(content) };
    to_der(&signer.signed_data(content, &Signed::Attributes(attributes))?)
}
