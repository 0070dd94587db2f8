//! What `docker save` writes: `manifest.json`, which names configurations and layers.
//!
//! Newer versions write an OCI layout into the same tar; both lead to the same blobs. Older ones wrote what
//! [`legacy`] reads. There is no specification but <https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md>.

use serde::Deserialize;

use super::blobs::Blobs;
use super::choice::{Candidate, Form, choose};
use super::digest::Digest;
use super::image::{Configuration, Image, platform_of};
use super::legacy;
use super::oci::parse;
use super::platform::Platform;
use crate::error::Result;

/// The file that makes a tar such an archive.
pub(super) const MANIFEST: &str = "manifest.json";

/// An image of the archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    /// The name of its configuration.
    config: String,
    /// `name:tag`; none for an image saved by its id.
    repo_tags: Option<Vec<String>>,
    /// The names of its layers, from the lowest to the highest.
    layers: Vec<String>,
}

/// The image in an archive that is meant.
pub(super) fn find(blobs: &Blobs<'_>, reference: Option<&str>, platform: &Platform) -> Result<Image> {
    if blobs.find(MANIFEST)?.is_none()
        && let Some(image) = legacy::find(blobs, reference, platform)?
    {
        return Ok(image);
    }
    let manifests: Vec<Manifest> = parse(blobs, MANIFEST, &blobs.json(MANIFEST, None)?)?;
    let candidate = |manifest: Manifest| {
        let json = blobs.json(&manifest.config, named_digest(&manifest.config))?;
        let config = Configuration::read(blobs, &manifest.config, &json)?;
        let names = manifest.repo_tags.iter().flatten().cloned().collect();
        let form = Form::Image(platform_of(&config.image));
        Ok(Candidate { image: (manifest, config), names, form, index: None, is_recompressed: false })
    };
    let mut candidates = manifests.into_iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let chosen = choose(&blobs.shown, &candidates, reference, platform)?;
    let (manifest, config) = candidates.swap_remove(chosen).image;
    let layer = |name: &String| Ok((blobs.open(name)?, blob_digest(name), name.clone()));
    let layers = manifest.layers.iter().map(layer).collect::<Result<_>>()?;
    Image::new(blobs, config, layers)
}

/// A configuration is called by its digest, in one of two ways.
fn named_digest(name: &str) -> Option<Digest> {
    blob_digest(name).or_else(|| Digest::from_hex(name.strip_suffix(".json")?))
}

/// A layer is called by its digest, or by an id that is none (`ID/layer.tar`).
fn blob_digest(name: &str) -> Option<Digest> {
    Digest::from_hex(name.strip_prefix("blobs/sha256/")?)
}
