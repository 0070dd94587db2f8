//! OCI image layouts: `index.json`, and blobs by digest.
//!
//! ```text
//! index.json ─▶ index (for each platform) ─▶ manifest ─▶ configuration, layers
//! ```
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>. Docker's own
//! media types are read as their OCI twins.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use serde::de::DeserializeOwned;

use super::blobs::Blobs;
use super::digest::Digest;
use super::image::{Candidate, Configuration, Image, choose, platform_of};
use super::platform::Platform;
use crate::error::{Error, Kind, Result};
use crate::tree::Section;

/// The file that makes a directory a layout.
pub(super) const LAYOUT: &str = "oci-layout";
/// Where the images of a layout are listed.
pub(super) const INDEX: &str = "index.json";

/// How deep indexes may lie in indexes.
const DEPTH_MAX: u32 = 4;

const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYERS: [&str; 6] = [
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd",
];

/// Names of an image: the layout's own, and the one containerd and docker add.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
/// What BuildKit notes at a manifest that describes a build and is no image.
const ATTESTATION: &str = "vnd.docker.reference.type";

/// The image in a layout that is meant.
pub(super) fn find(blobs: &Blobs<'_>, reference: Option<&str>, platform: &Platform) -> Result<Image> {
    let index: ImageIndex = parse(blobs, INDEX, &blobs.json(INDEX, None)?)?;
    find_below(blobs, index.manifests(), reference, platform)
}

/// The image that is meant of what `descriptors` lead to: manifests, and indexes of manifests.
pub(super) fn find_below(
    blobs: &Blobs<'_>,
    descriptors: &[Descriptor],
    reference: Option<&str>,
    platform: &Platform,
) -> Result<Image> {
    let mut candidates = Vec::new();
    collect(blobs, descriptors, &[], DEPTH_MAX, &mut candidates)?;
    let manifest = choose(&blobs.shown, candidates, reference, platform)?;
    read(blobs, &manifest)
}

/// All images of an index; `names` are those of the index itself.
fn collect(
    blobs: &Blobs<'_>,
    descriptors: &[Descriptor],
    names: &[String],
    depth: u32,
    candidates: &mut Vec<Candidate<Descriptor>>,
) -> Result<()> {
    for descriptor in descriptors {
        let annotations = descriptor.annotations().as_ref();
        let annotation = |key| annotations.and_then(|annotations| annotations.get(key));
        if annotation(ATTESTATION).is_some() {
            continue;
        }
        let own = NAMES.iter().filter_map(|&key| annotation(key)).cloned();
        let names: Vec<String> = names.iter().cloned().chain(own).collect();
        match descriptor.media_type() {
            MediaType::ImageIndex if depth > 0 => {
                let below: ImageIndex = json(blobs, descriptor)?;
                collect(blobs, below.manifests(), &names, depth - 1, candidates)?;
            }
            MediaType::Other(other) if other == DOCKER_INDEX && depth > 0 => {
                let below: ImageIndex = json(blobs, descriptor)?;
                collect(blobs, below.manifests(), &names, depth - 1, candidates)?;
            }
            MediaType::ImageManifest => add(blobs, descriptor, names, candidates)?,
            MediaType::Other(other) if other == DOCKER_MANIFEST => {
                add(blobs, descriptor, names, candidates)?;
            }
            // Signatures and the like lie beside images.
            _ => {}
        }
    }
    Ok(())
}

/// Add one image, once for all its names.
fn add(
    blobs: &Blobs<'_>,
    descriptor: &Descriptor,
    names: Vec<String>,
    candidates: &mut Vec<Candidate<Descriptor>>,
) -> Result<()> {
    let known = |candidate: &&mut Candidate<Descriptor>| candidate.image.digest() == descriptor.digest();
    if let Some(known) = candidates.iter_mut().find(known) {
        known.names.extend(names);
        return Ok(());
    }
    let platform = match descriptor.platform() {
        Some(platform) => Platform {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone(),
        },
        // Layouts of a single image often don't say.
        None => platform_of(&config(blobs, &json(blobs, descriptor)?)?.image),
    };
    candidates.push(Candidate { image: descriptor.clone(), names, platform });
    Ok(())
}

fn read(blobs: &Blobs<'_>, manifest: &Descriptor) -> Result<Image> {
    let manifest: ImageManifest = json(blobs, manifest)?;
    let config = config(blobs, &manifest)?;
    manifest.layers().iter().try_for_each(|descriptor| require_layer(blobs, descriptor))?;
    let layer = |(descriptor, section): (&Descriptor, Section)| {
        let digest = digest(blobs, descriptor)?;
        if section.len() != descriptor.size() {
            let (is, expected) = (section.len(), descriptor.size());
            return Err(blobs.corrupt(format!("layer {digest} has {is} bytes, {expected} are expected")));
        }
        Ok((section, Some(digest), digest.to_string()))
    };
    let sections = open(blobs, manifest.layers())?;
    let layers = manifest.layers().iter().zip(sections).map(layer).collect::<Result<_>>()?;
    Image::new(blobs, config, layers)
}

/// The files of these descriptors.
fn open(blobs: &Blobs<'_>, descriptors: &[Descriptor]) -> Result<Vec<Section>> {
    if let Some(fetched) = blobs.fetch(descriptors) {
        return fetched;
    }
    let open = |descriptor: &Descriptor| {
        blobs.open(&blob(digest(blobs, descriptor)?)).map_err(|error| match descriptor.urls() {
            Some(urls) if !urls.is_empty() => {
                error.with_hint(format!("this layer must be fetched from {}", urls.join(" or ")))
            }
            _ => error,
        })
    };
    descriptors.iter().map(open).collect()
}

fn config(blobs: &Blobs<'_>, manifest: &ImageManifest) -> Result<Configuration> {
    match manifest.config().media_type() {
        MediaType::ImageConfig => {}
        MediaType::Other(other) if other == DOCKER_CONFIG => {}
        other => {
            let message = format!("{other} is no configuration of an image");
            return Err(Error::new(Kind::Unsupported, &blobs.shown, message));
        }
    }
    let (name, bytes) = json_bytes(blobs, manifest.config())?;
    Configuration::read(blobs, &name, &bytes)
}

/// That a layer is a tar; how it is compressed, its first bytes say.
fn require_layer(blobs: &Blobs<'_>, descriptor: &Descriptor) -> Result<()> {
    match descriptor.media_type() {
        MediaType::ImageLayer
        | MediaType::ImageLayerGzip
        | MediaType::ImageLayerZstd
        | MediaType::ImageLayerNonDistributable
        | MediaType::ImageLayerNonDistributableGzip
        | MediaType::ImageLayerNonDistributableZstd => Ok(()),
        MediaType::Other(other) if DOCKER_LAYERS.contains(&other.as_str()) => Ok(()),
        other => {
            let message = format!("layer {} is of the type {other}, not a tar", descriptor.digest());
            Err(Error::new(Kind::Unsupported, &blobs.shown, message))
        }
    }
}

fn json<T: DeserializeOwned>(blobs: &Blobs<'_>, descriptor: &Descriptor) -> Result<T> {
    let (name, bytes) = json_bytes(blobs, descriptor)?;
    parse(blobs, &name, &bytes)
}

/// A file of JSON and its name for messages.
fn json_bytes(blobs: &Blobs<'_>, descriptor: &Descriptor) -> Result<(String, Vec<u8>)> {
    let digest = digest(blobs, descriptor)?;
    let name = blob(digest);
    let sections = open(blobs, std::slice::from_ref(descriptor))?;
    let section = sections.first().ok_or_else(|| blobs.corrupt(format!("there is no {name}")))?;
    let bytes = blobs.read_json(section, &name, Some(digest))?;
    Ok((name, bytes))
}

/// JSON that must be of this form.
pub(super) fn parse<T: DeserializeOwned>(blobs: &Blobs<'_>, name: &str, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json)
        .map_err(|error| blobs.corrupt(format!("{name} is not as specified: {error}")))
}

fn digest(blobs: &Blobs<'_>, descriptor: &Descriptor) -> Result<Digest> {
    Digest::parse(descriptor.digest().as_ref()).map_err(|fault| fault.at(&blobs.shown))
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
