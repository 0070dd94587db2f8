//! What RAUC is given: a signed bundle of the root, and the certificates by which a machine takes one.

use crate::container::Format;
use crate::container::rauc::{Bundle, Purpose};
use crate::error::{Error, Kind, Result};
use crate::machine::Materials;
use crate::machine::rauc::Keyring;
use crate::pki::{Certificates, Signer};
use crate::seed::Seed;
use crate::spec::Spec;
use crate::spec::rauc::problems;
use crate::tree::Time;

/// All that is wrong with what was asked of bundles.
pub(super) fn require_right(spec: &Spec) -> Result<()> {
    let problems = problems(spec).into_iter().map(|(key, message)| format!("{key} {message}"));
    let problems: Vec<_> = problems.collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::new(Kind::Input, "[rauc]", problems.join("; "))) }
}

/// What makes a bundle of the root, if one is asked for.
///
/// # Errors
/// If the certificate or the key is not there, or cannot sign.
pub(super) fn bundle(spec: &Spec, materials: &Materials, seed: &Seed, time: Time) -> Result<Option<Bundle>> {
    let (Some(path), Some(key)) = (&spec.rauc.certificate, &spec.rauc.key) else { return Ok(None) };
    if !spec.formats.contains(&Format::Rauc) {
        return Ok(None);
    }
    let (certificates, _) = signer(path, materials)?;
    let signer = Signer::new(certificates, &format!("secret {key}"), materials.secret(key)?)?;
    Ok(Some(Bundle { signer, salt: seed.derive("rauc bundle salt"), time: time.seconds }))
}

/// Whose bundles the machine takes, if anything is said of that.
///
/// # Errors
/// If a file is not in the build context, has no certificate, or one that signs no bundles.
pub(super) fn keyring(spec: &Spec, materials: &Materials) -> Result<Option<Keyring>> {
    let signer = spec.rauc.certificate.as_deref().map(|path| signer(path, materials)).transpose()?;
    let (pem, is_partial) = match (&spec.rauc.keyring, &spec.rauc.certificate, &signer) {
        (Some(path), ..) => {
            let pem = materials.text(path)?;
            Certificates::read(path, &pem)?;
            (pem, false)
        }
        (None, Some(path), Some((certificates, _))) => {
            (materials.text(path)?, !certificates.is_self_issued())
        }
        _ => return Ok(None),
    };
    let is_for_code = signer.is_some_and(|(_, purpose)| purpose == Purpose::CodeSigning);
    let words = [
        // By default OpenSSL wants one that signs mail.
        (is_for_code, "check-purpose=codesign\n"),
        // It is trusted itself, and not only what has signed it.
        (is_partial, "allow-partial-chain=true\n"),
    ];
    let words = words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, line)| line).collect();
    Ok(Some(Keyring { pem, words }))
}

/// The certificates of who signs, and what the first has to be checked for.
fn signer(path: &str, materials: &Materials) -> Result<(Certificates, Purpose)> {
    let certificates = Certificates::read(path, &materials.text(path)?)?;
    let purpose = Purpose::of(&certificates).ok_or_else(|| {
        let message = "has a certificate whose (extended) key usage lets it sign no bundles";
        Error::new(Kind::Input, path, message)
            .with_hint("RAUC takes keyUsage digitalSignature with extendedKeyUsage codeSigning or emailProtection, or neither")
    })?;
    Ok((certificates, purpose))
}
