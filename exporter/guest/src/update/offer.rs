//! What a source has: the chain from the signature over the digests to what the update is, and the index of its root.

use super::config::Config;
use super::index::Index;
use super::manifest::{MANIFEST, MANIFEST_MAX, Manifest};
use super::source::Source;
use super::{sums, trust};

const SUMS: &str = "SHA256SUMS";
const SUMS_MAX: u64 = 64 << 10;

/// What the update is, if it may be believed.
///
/// # Errors
/// If there is none, it is damaged, or not signed by whom this machine trusts.
pub(super) fn read(source: &mut dyn Source, config: &Config) -> Result<Manifest, String> {
    let missing = |name: &str| {
        format!(
            "{name}: is not there, so this is no update\nhint: name the folder that --format update has written"
        )
    };
    let digests = source.small(SUMS, SUMS_MAX)?.ok_or_else(|| missing(SUMS))?;
    let signature = match config.public_keys.is_empty() {
        true => None,
        false => source.small(trust::SIGNATURE, trust::SIGNATURE_MAX)?,
    };
    trust::require(&config.public_keys, &digests, signature.as_deref())?;
    let manifest = source.small(MANIFEST, MANIFEST_MAX)?.ok_or_else(|| missing(MANIFEST))?;
    sums::check(MANIFEST, &manifest, &sums::of(&digests, MANIFEST)?)?;
    Manifest::parse(&manifest)
}

/// What each block of its root is.
///
/// # Errors
/// If that is not there, or of another root.
pub(super) fn index(source: &mut dyn Source, manifest: &Manifest) -> Result<Index, String> {
    let Manifest { index: listed, root, .. } = manifest;
    let name = &listed.name;
    let bytes = source.small(name, listed.bytes)?.ok_or_else(|| format!("{name}: is not there"))?;
    if (bytes.len() as u64) < listed.bytes {
        return Err(format!("{name}: has {} bytes of {}, it is cut short", bytes.len(), listed.bytes));
    }
    sums::check(name, &bytes, &listed.sha256)?;
    Index::parse(&bytes, root.plain_bytes, root.file.bytes).map_err(|why| format!("{name}: {why}"))
}
