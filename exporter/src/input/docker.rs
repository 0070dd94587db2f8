//! What `docker save` writes: `manifest.json`, which names configurations and layers.
//!
//! Newer versions write an OCI layout into the same tar; both lead to the same blobs. Older ones wrote what
//! [`legacy`] reads. There is no specification but <https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md>.

use serde::Deserialize;

use super::blobs::Blobs;
use super::choice::{Candidate, Form, choose};
use super::digest::Digest;
use super::image::{Configuration, Image, check_layers, platform_of};
use super::legacy;
use super::oci::parse;
use super::platform::Platform;
use crate::error::Result;
use crate::limits::{Budget, DESCRIPTORS};

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
    let listed = Budget::new("images", DESCRIPTORS).spend(manifests.len() as u64);
    listed.map_err(|exceeded| blobs.corrupt(format!("{MANIFEST}: {exceeded}")))?;
    // Only one of the configurations is kept: all may be large, and the same one.
    let candidate = |manifest: Manifest| {
        let form = Form::Image(platform_of(&config(blobs, &manifest.config)?.image));
        let names = manifest.repo_tags.iter().flatten().cloned().collect();
        Ok(Candidate { image: manifest, names, form, index: None, is_recompressed: false })
    };
    let mut candidates = manifests.into_iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let chosen = choose(&blobs.shown, &candidates, reference, platform)?;
    let manifest = candidates.swap_remove(chosen).image;
    let config = config(blobs, &manifest.config)?;
    check_layers(blobs, manifest.layers.len())?;
    let layer = |name: &String| Ok((blobs.open(name)?, blob_digest(name), name.clone()));
    let layers = manifest.layers.iter().map(layer).collect::<Result<_>>()?;
    Image::new(blobs, config, layers)
}

fn config(blobs: &Blobs<'_>, name: &str) -> Result<Configuration> {
    Configuration::read(blobs, name, &blobs.json(name, named_digest(name))?)
}

/// A configuration is called by its digest, in one of two ways.
fn named_digest(name: &str) -> Option<Digest> {
    blob_digest(name).or_else(|| Digest::from_hex(name.strip_suffix(".json")?))
}

/// A layer is called by its digest, or by an id that is none (`ID/layer.tar`).
fn blob_digest(name: &str) -> Option<Digest> {
    Digest::from_hex(name.strip_prefix("blobs/sha256/")?)
}
