//! What every form of an image comes down to: its configuration and its layers.

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;
use serde_json::Value;

use super::blobs::Blobs;
use super::digest::Digest;
use super::oci::parse;
use super::platform::Platform;
use crate::error::Result;
use crate::limits::LAYERS;
use crate::spec::ImageConfig;
use crate::tree::Section;

/// One image for one platform.
pub(super) struct Image {
    pub(super) config: Configuration,
    /// From the lowest to the highest.
    pub(super) layers: Vec<Layer>,
}

/// The JSON that describes an image.
pub(super) struct Configuration {
    pub(super) image: ImageConfiguration,
    /// Its part about containers, with what docker knows beyond the specification.
    pub(super) config: ImageConfig,
    /// All of it: members that OCI does not name are in use too.
    pub(super) json: Value,
}

impl Configuration {
    pub(super) fn read(blobs: &Blobs<'_>, name: &str, json: &[u8]) -> Result<Self> {
        let json: Value = parse(blobs, name, json)?;
        let odd = |error| blobs.corrupt(format!("{name} is not as specified: {error}"));
        let config = ImageConfig::read(&json).map_err(odd)?;
        Ok(Self { image: ImageConfiguration::deserialize(&json).map_err(odd)?, config, json })
    }
}

/// A tar that becomes part of the tree.
pub(super) struct Layer {
    /// For messages: the file, and which layer in it.
    pub(super) shown: String,
    pub(super) section: Section,
    /// Of what is stored.
    pub(super) digest: Option<Digest>,
    /// Of the tar in it.
    pub(super) diff_id: Option<Digest>,
    /// Whether names that begin with `.wh.` take away what lower layers have.
    pub(super) has_whiteouts: bool,
}

impl Image {
    /// `layers` are stored as (section, digest, name) and have the digests that `config` lists.
    pub(super) fn new(
        blobs: &Blobs<'_>,
        config: Configuration,
        layers: Vec<(Section, Option<Digest>, String)>,
    ) -> Result<Self> {
        let diff_ids = config.image.rootfs().diff_ids();
        if diff_ids.len() != layers.len() {
            let message =
                format!("the image has {} layers, its configuration {}", layers.len(), diff_ids.len());
            return Err(blobs.corrupt(message));
        }
        let count = layers.len();
        let layers = (1..).zip(layers).zip(diff_ids).map(|((number, (section, digest, name)), diff_id)| {
            let shown = show_layer(blobs, number, count, &name);
            let diff_id = Some(Digest::parse(diff_id).map_err(|fault| fault.at(&shown))?);
            Ok(Layer { shown, section, digest, diff_id, has_whiteouts: true })
        });
        Ok(Self { layers: layers.collect::<Result<_>>()?, config })
    }

    /// `layers` are stored as (section, name); no digests of them are known.
    pub(super) fn unverified(
        blobs: &Blobs<'_>,
        config: Configuration,
        layers: Vec<(Section, String)>,
    ) -> Self {
        let count = layers.len();
        let layers = (1..).zip(layers).map(|(number, (section, name))| {
            let shown = show_layer(blobs, number, count, &name);
            Layer { shown, section, digest: None, diff_id: None, has_whiteouts: true }
        });
        Self { layers: layers.collect(), config }
    }
}

/// That an image of so many layers may be read.
pub(super) fn check_layers(blobs: &Blobs<'_>, count: usize) -> Result<()> {
    match count {
        ..=LAYERS => Ok(()),
        _ => Err(blobs.corrupt(format!("the image has {count} layers, no engine takes more than {LAYERS}"))),
    }
}

fn show_layer(blobs: &Blobs<'_>, number: usize, count: usize, name: &str) -> String {
    format!("{}: layer {number} of {count} ({name})", blobs.shown)
}

/// For which platform a configuration is.
pub(super) fn platform_of(config: &ImageConfiguration) -> Platform {
    Platform {
        os: config.os().to_string(),
        architecture: config.architecture().to_string(),
        variant: config.variant().clone().filter(|variant| !variant.is_empty()),
        features: config.os_features().clone().unwrap_or_default(),
    }
}
