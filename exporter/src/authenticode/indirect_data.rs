//! What a signature of a program is of: its digest, and that it is one of a program.

use cms::cert::x509::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use cms::cert::x509::der::{self, Decode, Reader, SliceReader, Tag, Tagged};
use cms::cert::x509::spki::AlgorithmIdentifierRef;

use crate::pki::oid;

/// `SPC_INDIRECT_DATA_OBJID`
pub(super) const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");

/// `SpcIndirectDataContent` up to the digest, without the outer tag and length, which no digest of it has.
const BEFORE_DIGEST: [u8; 44] = [
    // data: SpcAttributeTypeAndOptionalValue, of the type SPC_PE_IMAGE_DATAOBJ
    0x30, 0x17, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f, //
    // SpcPeImageData: no flags; file: an empty text, in the place of the obsolete one
    0x30, 0x09, 0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00, //
    // messageDigest: DigestInfo of SHA-256
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    // the digest
    0x04, 0x20,
];

/// What is in the SEQUENCE of an `SpcIndirectDataContent` for this digest.
pub(super) fn encode(sha256: &[u8; 32]) -> Vec<u8> {
    [&BEFORE_DIGEST[..], sha256].concat()
}

/// The algorithm and the digest in such a SEQUENCE, whatever else it says.
pub(super) fn decode(value: &[u8]) -> der::Result<(ObjectIdentifier, &[u8])> {
    let mut reader = SliceReader::new(value)?;
    AnyRef::decode(&mut reader)?;
    reader.sequence(|reader| {
        let algorithm = AlgorithmIdentifierRef::decode(reader)?;
        Ok((algorithm.oid, OctetStringRef::decode(reader)?.as_bytes()))
    })
}

/// The digest, if it is one of SHA-256.
pub(super) fn sha256(content: AnyRef<'_>) -> Option<[u8; 32]> {
    let (algorithm, digest) = decode(content.value()).ok().filter(|_| content.tag() == Tag::Sequence)?;
    digest.try_into().ok().filter(|_| algorithm == oid::SHA256)
}
