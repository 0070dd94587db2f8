//! Who has signed an update: minisign signatures over `SHA256SUMS`, by one of the keys that the machine has.
//!
//! Source: <https://jedisct1.github.io/minisign/#signature-format>.

use minisign_verify::{PublicKey, Signature};

/// The signature, beside what it is of.
pub(super) const SIGNATURE: &str = "SHA256SUMS.minisig";
/// Four lines, of which two are comments.
pub(super) const SIGNATURE_MAX: u64 = 8 << 10;

/// That one of `keys` has signed `sums`. A machine without keys takes what it is given.
///
/// # Errors
/// If none of them has, or what signed it is not there.
pub(super) fn require(keys: &[String], sums: &[u8], signature: Option<&[u8]>) -> Result<(), String> {
    if keys.is_empty() {
        return Ok(());
    }
    let signature = signature.ok_or_else(|| {
        format!(
            "{SIGNATURE}: is not there, and this machine takes only what was signed\nhint: build the update with [update] \
             sign = \"…\""
        )
    })?;
    let text = std::str::from_utf8(signature).ok().and_then(|text| Signature::decode(text).ok());
    let signature = text.ok_or_else(|| format!("{SIGNATURE}: is no signature of minisign"))?;
    let mut is_known = false;
    for key in keys {
        let key = PublicKey::from_base64(key.trim())
            .map_err(|error| format!("public key {key}: is none of minisign: {error}"))?;
        match key.verify(sums, &signature, false) {
            Ok(()) => return Ok(()),
            Err(minisign_verify::Error::UnexpectedKeyId) => {}
            Err(_) => is_known = true,
        }
    }
    Err(match is_known {
        true => "SHA256SUMS: is not what was signed, somebody has changed it or its signature".to_owned(),
        false => format!("{SIGNATURE}: was made by none of the keys that this machine trusts"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Signer;
    use super::*;

    #[test]
    fn only_what_a_known_key_has_signed_is_taken() {
        let (signer, other) = (Signer::new(), Signer::new());
        let sums = b"00  manifest.json\n";
        let signature = signer.sign(sums);
        let keys = [other.key(), signer.key()];
        assert_eq!(require(&keys, sums, Some(&signature)), Ok(()));
        assert_eq!(require(&[], sums, None), Ok(()));
        let said = |keys: &[String], sums: &[u8], signature: Option<&[u8]>| {
            require(keys, sums, signature).unwrap_err()
        };
        assert!(said(&keys, sums, None).starts_with("SHA256SUMS.minisig: is not there"));
        assert!(said(&keys[..1], sums, Some(&signature)).contains("none of the keys"));
        assert!(said(&keys, b"01  manifest.json\n", Some(&signature)).contains("is not what was signed"));
        assert!(said(&keys, sums, Some(b"")).contains("is no signature"));
        assert!(said(&["RWx".to_owned()], sums, Some(&signature)).contains("public key RWx"));
        // The comment is signed, too.
        let text =
            String::from_utf8(signature).unwrap().replace("trusted comment: kiosk", "trusted comment: other");
        assert!(said(&keys, sums, Some(text.as_bytes())).contains("is not what was signed"));
    }
}
