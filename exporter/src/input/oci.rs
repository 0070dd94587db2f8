//! OCI image layouts: `index.json`, and blobs by digest.
//!
//! ```text
//! index.json ─▶ index (for each platform) ─▶ manifest ─▶ configuration, layers
//! ```
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>. Docker's own
//! media types are read as their OCI twins.

use std::collections::BTreeSet;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use serde::de::DeserializeOwned;

use super::blobs::Blobs;
use super::choice::{Candidate, Form, choose};
use super::digest::Digest;
use super::image::{Configuration, Image, check_layers, platform_of};
use super::platform::Platform;
use crate::error::{Error, Kind, Result};
use crate::limits::{Budget, DESCRIPTORS, INDEX_DEPTH};
use crate::tree::Section;

/// The file that makes a directory a layout.
pub(super) const LAYOUT: &str = "oci-layout";
/// Where the images of a layout are listed.
pub(super) const INDEX: &str = "index.json";

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
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
/// What podman and the like note at an image that is listed in another compression too.
const ZSTD: &str = "io.github.containers.compression.zstd";

/// The image in a layout that is meant.
pub(super) fn find(blobs: &Blobs<'_>, reference: Option<&str>, platform: &Platform) -> Result<Image> {
    let index = parse_index(blobs, INDEX, &blobs.json(INDEX, None)?)?;
    find_below(blobs, index.manifests(), reference, platform)
}

/// The image that is meant of what `descriptors` lead to: manifests, and indexes of manifests.
pub(super) fn find_below(
    blobs: &Blobs<'_>,
    descriptors: &[Descriptor],
    reference: Option<&str>,
    platform: &Platform,
) -> Result<Image> {
    let listed = Budget::new("descriptors in its indexes", DESCRIPTORS);
    let mut list = List { blobs, candidates: Vec::new(), listed };
    list.collect(descriptors, &Above::default())?;
    let mut candidates = list.candidates;
    loop {
        let chosen = choose(&blobs.shown, &candidates, reference, platform)?;
        let manifest: ImageManifest = json(blobs, &candidates[chosen].image)?;
        if is_image_config(manifest.config().media_type()) {
            return read(blobs, &manifest);
        }
        // Not all that list an artifact for a platform say that it is one.
        candidates[chosen].form = Form::Artifact(artifact_type(&manifest));
    }
}

/// What is known of an index from those above it.
#[derive(Default)]
struct Above {
    names: BTreeSet<String>,
    /// The outermost index.
    index: Option<String>,
    depth: u32,
}

/// All that indexes list.
struct List<'a> {
    blobs: &'a Blobs<'a>,
    candidates: Vec<Candidate<Descriptor>>,
    /// Descriptors so far, however often one and the same.
    listed: Budget,
}

impl List<'_> {
    /// Add what `descriptors` lead to, in at most [`INDEX_DEPTH`] steps.
    fn collect(&mut self, descriptors: &[Descriptor], above: &Above) -> Result<()> {
        let spent = self.listed.spend(descriptors.len() as u64);
        spent.map_err(|exceeded| self.blobs.corrupt(exceeded.to_string()))?;
        for descriptor in
            descriptors.iter().filter(|descriptor| annotation(descriptor, ATTESTATION).is_none())
        {
            let own = NAMES.iter().filter_map(|&key| annotation(descriptor, key)).map(str::to_owned);
            let names = above.names.iter().cloned().chain(own).collect();
            match &*descriptor.media_type().to_string() {
                OCI_INDEX | DOCKER_INDEX if above.depth < INDEX_DEPTH => {
                    let (name, bytes) = json_bytes(self.blobs, descriptor)?;
                    let below = parse_index(self.blobs, &name, &bytes)?;
                    let index = above.index.clone().unwrap_or_else(|| descriptor.digest().to_string());
                    let above = Above { names, index: Some(index), depth: above.depth + 1 };
                    self.collect(below.manifests(), &above)?;
                }
                OCI_MANIFEST | DOCKER_MANIFEST => self.add(descriptor, names, above.index.clone())?,
                // Signatures and the like lie beside images.
                _ => {}
            }
        }
        Ok(())
    }

    /// Add one image, once for all its names.
    fn add(&mut self, descriptor: &Descriptor, names: BTreeSet<String>, index: Option<String>) -> Result<()> {
        let mut known = self.candidates.iter_mut();
        if let Some(known) = known.find(|candidate| candidate.image.digest() == descriptor.digest()) {
            known.names.extend(names);
            return Ok(());
        }
        let form = form(self.blobs, descriptor)?;
        let is_recompressed = annotation(descriptor, ZSTD) == Some("true");
        self.candidates.push(Candidate { image: descriptor.clone(), names, form, index, is_recompressed });
        Ok(())
    }
}

fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a str> {
    descriptor.annotations().as_ref()?.get(key).map(String::as_str)
}

/// What a manifest describes.
fn form(blobs: &Blobs<'_>, descriptor: &Descriptor) -> Result<Form> {
    // Of an image, its configuration is the type (OCI 1.1, "Descriptor").
    match descriptor.artifact_type() {
        Some(kind) if !is_image_config(kind) => return Ok(Form::Artifact(kind.to_string())),
        _ => {}
    }
    if let Some(platform) = descriptor.platform() {
        return Ok(Form::Image(Platform {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone().filter(|variant| !variant.is_empty()),
            features: platform.os_features().clone().unwrap_or_default(),
        }));
    }
    // Layouts of a single image often don't say.
    let manifest: ImageManifest = json(blobs, descriptor)?;
    Ok(match is_image_config(manifest.config().media_type()) {
        true => Form::Image(platform_of(&config(blobs, &manifest)?.image)),
        false => Form::Artifact(artifact_type(&manifest)),
    })
}

/// Whether it is the type of the configuration of an image.
fn is_image_config(media_type: &MediaType) -> bool {
    match media_type {
        MediaType::ImageConfig => true,
        MediaType::Other(other) => other == DOCKER_CONFIG,
        _ => false,
    }
}

/// What a manifest describes that is not one of an image (OCI 1.1, "Guidelines for Artifact Usage").
fn artifact_type(manifest: &ImageManifest) -> String {
    manifest.artifact_type().as_ref().unwrap_or(manifest.config().media_type()).to_string()
}

fn read(blobs: &Blobs<'_>, manifest: &ImageManifest) -> Result<Image> {
    let config = config(blobs, manifest)?;
    check_layers(blobs, manifest.layers().len())?;
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
    // Before anything is fetched.
    blobs.check_json_len(&name, descriptor.size())?;
    let sections = open(blobs, std::slice::from_ref(descriptor))?;
    let section = sections.first().ok_or_else(|| blobs.corrupt(format!("there is no {name}")))?;
    let bytes = blobs.read_json(section, &name, Some(digest))?;
    Ok((name, bytes))
}

/// An index. The crate looks for a platform's features under a name that no index has.
fn parse_index(blobs: &Blobs<'_>, name: &str, json: &[u8]) -> Result<ImageIndex> {
    let mut index: serde_json::Value = parse(blobs, name, json)?;
    for descriptor in index["manifests"].as_array_mut().into_iter().flatten() {
        let platform = descriptor.get_mut("platform").and_then(|platform| platform.as_object_mut());
        if let Some((features, platform)) = platform.and_then(|it| Some((it.remove("os.features")?, it))) {
            platform.insert("os_features".to_owned(), features);
        }
    }
    serde_json::from_value(index)
        .map_err(|error| blobs.corrupt(format!("{name} is not as specified: {error}")))
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
