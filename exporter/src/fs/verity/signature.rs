//! Who has signed a root hash: the content of a signature partition, a JSON object with zeroes behind it.
//!
//! Source: Discoverable Partitions Specification, "Verity": `rootHash` in hexadecimal, `signature` as PKCS #7 in DER over that
//! text and beside it, in base64; `certificateFingerprint` is the SHA-256 of the signer's certificate. As systemd-repart makes
//! it, and as the kernel takes it for a device (`root_hash_sig_key_desc`), nothing but the text is signed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cms::cert::x509::der::Encode;
use cms::signed_data::EncapsulatedContentInfo;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{BLOCK, RootHash};
use crate::error::{Error, Kind, Result};
use crate::fs::Contents;
use crate::pki::{Signed, Signer, oid, to_der};

/// The most bytes of one: its certificates are from a text of at most 96 KiB.
pub const SIGNATURE_MAX: u64 = 256 << 10;

/// What is in the partition.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    root_hash: String,
    certificate_fingerprint: String,
    signature: String,
}

/// The signature partition of a root hash. The same signer makes the same bytes.
///
/// # Errors
/// If the signer refuses, or has more certificates than there is room for.
pub fn signature(root_hash: RootHash, signer: &Signer) -> Result<Contents> {
    let unsayable = |why: String| Error::new(Kind::Unsupported, "root-verity-sig", why);
    let text = root_hash.to_string();
    let beside = EncapsulatedContentInfo { econtent_type: oid::DATA, econtent: None };
    let message = to_der(&signer.signed_data(beside, &Signed::Content(text.as_bytes()))?)?;
    let certificate = signer.certificates().signer().to_der();
    let certificate =
        certificate.map_err(|error| unsayable(format!("the certificate cannot be said in DER: {error}")))?;
    let fingerprint = Sha256::digest(certificate);
    let said = Said {
        root_hash: text,
        certificate_fingerprint: fingerprint.iter().map(|byte| format!("{byte:02x}")).collect(),
        signature: STANDARD.encode(message),
    };
    let mut bytes = serde_json::to_vec(&said).map_err(|error| unsayable(error.to_string()))?;
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    match bytes.len() as u64 <= SIGNATURE_MAX {
        true => Ok(Contents::of_bytes(bytes)),
        false => Err(unsayable(format!("{} bytes of certificates and signature are too many", bytes.len()))
            .with_hint("leave certificates out of the file that the key's does not need")),
    }
}
