//! What describes a container image of one layer: its configuration and its manifest.
//!
//! Source: OCI image specification 1.1, "Image Configuration" and "Image Manifest".

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::architecture::Architecture;
pub use crate::date::rfc3339;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of a list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of a configuration.
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a layer that is not compressed.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The annotation and label with an image's name for people.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The annotation and label with the version of what is in an image.
pub const VERSION: &str = "org.opencontainers.image.version";
/// The annotation with the time an image was made, as RFC 3339 writes it.
pub const CREATED: &str = "org.opencontainers.image.created";

/// A container image of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerImage {
    /// What is in the layer: `containerDisk`, `update`, `medium`.
    pub content: &'static str,
    /// The instruction set of the machine that it is for.
    pub architecture: Architecture,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
}

/// A blob by the digest of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

impl Blob {
    /// Of bytes that are here.
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: format!("sha256:{:x}", Sha256::digest(bytes)), size: bytes.len() as u64 }
    }

    /// As manifests and indexes refer to it.
    pub fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.size })
    }
}

impl LayerImage {
    /// The configuration of an image with these layers, by the digests of their tars.
    pub fn config(&self, diff_ids: &[&str]) -> Value {
        let created = rfc3339(self.created);
        json!({
            "architecture": self.architecture.oci_name(),
            "os": "linux",
            "created": created,
            "config": { "Labels": self.labels },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": [{ "created": created, "created_by": "vmimage", "comment": self.content }],
        })
    }

    /// What an index says of the machine it is for.
    pub fn platform(&self) -> Value {
        json!({ "architecture": self.architecture.oci_name(), "os": "linux" })
    }
}

/// The manifest of an image with this configuration and this layer.
pub fn manifest(config: &Blob, layer: &Blob, annotations: &BTreeMap<String, String>) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
        "annotations": annotations,
    })
}

/// The index of manifests that are described like this.
pub fn index(manifests: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
}
