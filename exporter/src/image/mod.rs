//! Tree → a container image of one layer, in a directory that every engine takes: an OCI layout, and packed
//! into a tar what `docker load` reads.
//!
//! ```text
//! oci-layout  index.json ─▶ manifest ─▶ configuration, layer   (blobs/sha256/…)
//!             manifest.json ──────────▶ configuration, layer   (docker's)
//! ```
//!
//! Sources: OCI image specification 1.1, "Image Layout"; Docker image specification 1.3, for `manifest.json`.

pub(crate) mod layer;
pub(crate) mod pax;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::architecture::Architecture;
use crate::container::image::{Blob, MANIFEST, index, manifest};
use crate::engine::Progress;
use crate::error::{Error, Kind, Result};
use crate::tree::Tree;

/// Where blobs lie.
const BLOBS: &str = "blobs/sha256";
/// The layer before its digest, and so its name, is known.
const UNNAMED: &str = "blobs/layer";
/// The annotation with an image's tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An image to be written.
#[derive(Clone, Copy, Debug)]
pub struct SingleLayerImage<'a> {
    /// Its files.
    pub tree: &'a Tree,
    /// The configuration it had so far (OCI image specification, "Image Configuration"); all of it is kept but
    /// the layers, and the instructions for whoever builds on it (`OnBuild`).
    pub config: Option<&'a Value>,
    /// For which machine it is.
    pub architecture: Architecture,
    /// What `docker load` calls it: `NAME:TAG`.
    pub name: &'a str,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Digest of the manifest: `sha256:` and 64 digits.
    pub manifest: String,
    /// Digest of the configuration, by which engines know the image.
    pub id: String,
}

/// Write an image into the empty directory `folder`. The same files and configuration have the same digests.
///
/// `stop` ends it before it is done; `progress` is told of the bytes of file contents.
///
/// # Errors
/// `Unsupported` for a file that means something else in a layer (`.wh.…`); `Interrupted`; `Io`.
pub fn write(
    folder: &Path,
    image: &SingleLayerImage<'_>,
    stop: &AtomicBool,
    progress: &dyn Fn(Progress),
) -> Result<Written> {
    let (mut done, total) = (0, layer::content_len(image.tree));
    let mut seen = |bytes| {
        done += bytes;
        progress(Progress { done, total });
        match stop.load(Ordering::Relaxed) {
            true => Err(Error::new(Kind::Interrupted, "", "interrupted")),
            false => Ok(()),
        }
    };
    let layer = write_layer(folder, &mut |mut out| layer::write(image.tree, &mut out, &mut seen))?;
    let config = config(image.config, image.architecture, &layer.0.digest, "vmimage convert");
    describe(folder, &layer, &config, image.name)
}

/// The layer of an image that is being written.
#[derive(Debug)]
pub struct Layer(Blob);

/// Write the layer of an image into the empty directory `folder`: the tar that `files` writes.
///
/// # Errors
/// Those of `files`; `Io`.
pub fn write_layer(folder: &Path, files: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<Layer> {
    let unnamed = folder.join(UNNAMED);
    let cannot = |error| {
        let failed = Error::io(folder.display().to_string(), "the image's layer cannot be written", error);
        failed.with_hint("it needs as much room as the files of the image")
    };
    fs::create_dir_all(folder.join(BLOBS)).map_err(cannot)?;
    let file = BufWriter::with_capacity(1 << 20, File::create(&unnamed).map_err(cannot)?);
    let mut out = Hashing { out: file, digest: Sha256::new(), size: 0 };
    files(&mut out)?;
    out.flush().map_err(cannot)?;
    let blob = Blob { digest: format!("sha256:{:x}", out.digest.finalize()), size: out.size };
    fs::rename(&unnamed, folder.join(place(&blob.digest))).map_err(cannot)?;
    Ok(Layer(blob))
}

/// Write what describes the image of the layer in `folder`, of files of a machine. `container` is the object `config` of
/// its configuration.
///
/// # Errors
/// `Io`.
pub fn write_machine(
    folder: &Path,
    layer: &Layer,
    container: Option<Value>,
    architecture: Architecture,
    name: &str,
) -> Result<Written> {
    let before = container.map(|container| json!({ "config": container }));
    let config = config(before.as_ref(), architecture, &layer.0.digest, "vmimage export");
    describe(folder, layer, &config, name)
}

/// Write all of an image but its layer.
fn describe(folder: &Path, Layer(layer): &Layer, config: &Value, name: &str) -> Result<Written> {
    let cannot = |error| Error::io(folder.display().to_string(), "the image cannot be written", error);
    let save = |name: &str, json: &Value| fs::write(folder.join(name), json.to_string()).map_err(cannot);
    let save_blob = |json: &Value| {
        let blob = Blob::of(json.to_string().as_bytes());
        save(&place(&blob.digest), json).map(|()| blob)
    };
    let config = save_blob(config)?;
    let manifest = save_blob(&manifest(&config, layer, &BTreeMap::new()))?;
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let mut descriptor = manifest.descriptor(MANIFEST);
    descriptor["annotations"] = json!({ REF_NAME: tag });
    save("index.json", &index(&[descriptor]))?;
    let (config_at, layer_at) = (place(&config.digest), place(&layer.digest));
    let docker = json!([{ "Config": config_at, "RepoTags": [name], "Layers": [layer_at] }]);
    save("manifest.json", &docker)?;
    save("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    Ok(Written { manifest: manifest.digest, id: config.digest })
}

/// Write the files of a tree as a tar: what a layer of them is.
///
/// # Errors
/// As those of [`write`].
pub fn write_tar(tree: &Tree, out: &mut impl Write, progress: &dyn Fn(Progress)) -> Result<()> {
    let (mut done, total) = (0, layer::content_len(tree));
    layer::write(tree, out, &mut |bytes| {
        done += bytes;
        progress(Progress { done, total });
        Ok(())
    })
}

/// Where the blob with a digest lies.
fn place(digest: &str) -> String {
    format!("{BLOBS}/{}", digest.trim_start_matches("sha256:"))
}

/// The configuration that an image had so far, with this as its one layer.
fn config(before: Option<&Value>, architecture: Architecture, layer: &str, made_by: &str) -> Value {
    let mut config = match before {
        Some(Value::Object(members)) => members.clone(),
        _ => serde_json::Map::new(),
    };
    if let Some(Value::Object(container)) = config.get_mut("config") {
        container.remove("OnBuild");
    }
    config.insert("architecture".into(), architecture.oci_name().into());
    config.insert("os".into(), "linux".into());
    config.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": [layer] }));
    config.insert("history".into(), json!([{ "created_by": made_by }]));
    Value::Object(config)
}

/// Digests what passes through.
struct Hashing<W> {
    out: W,
    digest: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.digest.update(&bytes[..len]);
        self.size += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
