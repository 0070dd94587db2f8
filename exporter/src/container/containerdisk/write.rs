//! Chunks → an archive with a qcow2 file in a layer.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{BLOBS, CONTENT, Layer};
use crate::container::archive::{self, Access, END, RECORD};
use crate::container::image::{self, Blob, LayerImage, MANIFEST, TITLE, VERSION};
use crate::container::place::{Place, Window};
use crate::container::{Appliance, Compression, Format, qcow2};
use crate::engine::{CHUNK, Chunk, RawImage, Sink, Stored};
use crate::error::Result;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// In front of the layer: the layout file, two directories, and the layer's own header.
const LAYER_AT: u64 = 5 * RECORD;

const DIRECTORY_ACCESS: Access = Access { mode: 0o755, owner: 0 };
const ACCESS: Access = Access { mode: 0o644, owner: 0 };

/// When everything was made, whenever it was.
const CREATED: i64 = 0;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What containerd and docker read a name from; the one above is only its tag.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
const TAG: &str = "latest";

/// Writes a container image around a qcow2 disk.
pub(in crate::container) struct Writer<'a> {
    appliance: Appliance,
    disk: qcow2::Writer<Window<'a>>,
    place: &'a dyn Place,
}

impl<'a> Writer<'a> {
    /// A container image named after `appliance` around the disk `image`.
    ///
    /// # Errors
    /// As for a qcow2 file.
    pub(in crate::container) fn new(
        image: RawImage<'_>,
        compression: Compression,
        appliance: &Appliance,
        place: &'a dyn Place,
    ) -> Result<Self> {
        let disk = qcow2::Writer::new(image, compression, Window::new(place, LAYER_AT + Layer::HEAD))?;
        Ok(Self { appliance: appliance.clone(), disk, place })
    }

    /// Write the layer around the disk and digest it.
    fn write_layer(&self) -> Result<Blob> {
        let layer = Layer::around(Format::Qcow2, self.disk.place().len());
        let layer = layer.expect("a qcow2 file is what it is made for");
        // What is not written up to there is zero: padding, and the end of the archive.
        self.place.set_len(LAYER_AT + layer.size())?;
        self.place.write_at(&layer.head(), LAYER_AT)?;
        Ok(Blob { digest: digest(self.place, LAYER_AT, layer.size())?, size: layer.size() })
    }

    fn write_front(&self, layer: &Blob) -> Result<()> {
        let mut front = Vec::new();
        archive::append(&mut front, "oci-layout", ACCESS, LAYOUT);
        for path in ["blobs/", BLOBS] {
            front.extend(archive::directory(path, DIRECTORY_ACCESS).as_bytes());
        }
        front.extend(archive::file(&path(layer), ACCESS, layer.size).as_bytes());
        debug_assert_eq!(front.len() as u64, LAYER_AT, "the layer follows its header");
        self.place.write_at(&front, 0)
    }

    /// Write what describes the layer, and the end of the archive.
    fn write_description(&self, layer: &Blob) -> Result<()> {
        let image = self.image();
        let config = image.config(&[&layer.digest]).to_string();
        let config_blob = Blob::of(config.as_bytes());
        let manifest = image::manifest(&config_blob, layer, &image.labels).to_string();
        let manifest_blob = Blob::of(manifest.as_bytes());
        let index = self.index(&image, &manifest_blob).to_string();
        let docker = self.docker_manifest(&config_blob, layer).to_string();
        let mut description = Vec::new();
        for (path, content) in [
            (path(&config_blob), config),
            (path(&manifest_blob), manifest),
            ("index.json".to_owned(), index),
            ("manifest.json".to_owned(), docker),
        ] {
            archive::append(&mut description, &path, ACCESS, content.as_bytes());
        }
        description.resize(description.len() + END as usize, 0);
        self.place.write_at(&description, LAYER_AT + layer.size)
    }

    fn image(&self) -> LayerImage {
        let Appliance { name, version, architecture, .. } = &self.appliance;
        let title = (TITLE.to_owned(), name.clone());
        let version = version.iter().map(|version| (VERSION.to_owned(), version.clone()));
        let labels = std::iter::once(title).chain(version).collect();
        LayerImage { content: CONTENT, architecture: *architecture, created: CREATED, labels }
    }

    fn index(&self, image: &LayerImage, manifest: &Blob) -> Value {
        let mut descriptor = manifest.descriptor(MANIFEST);
        descriptor["platform"] = image.platform();
        let full_name = format!("docker.io/library/{}:{TAG}", repository(&self.appliance.name));
        descriptor["annotations"] = json!({ REF_NAME: TAG, CONTAINERD_NAME: full_name });
        image::index(&[descriptor])
    }

    fn docker_manifest(&self, config: &Blob, layer: &Blob) -> Value {
        let tag = format!("{}:{TAG}", repository(&self.appliance.name));
        json!([{ "Config": path(config), "RepoTags": [tag], "Layers": [path(layer)] }])
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.encode(chunk, stored)
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.commit(chunk, stored)
    }

    fn finish(&self) -> Result<()> {
        self.disk.finish()?;
        let layer = self.write_layer()?;
        self.write_front(&layer)?;
        self.write_description(&layer)
    }
}

/// The digest of `len` bytes at `offset`, which are read again.
fn digest(place: &dyn Place, offset: u64, len: u64) -> Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let end = offset + len;
    let mut at = offset;
    while at < end {
        let part = &mut buffer[..(end - at).min(CHUNK as u64) as usize];
        place.read_at(at, part)?;
        digest.update(&*part);
        at += part.len() as u64;
    }
    Ok(format!("sha256:{:x}", digest.finalize()))
}

/// Where a blob lies in the archive.
fn path(blob: &Blob) -> String {
    format!("{BLOBS}{}", blob.digest.trim_start_matches("sha256:"))
}

/// A name as a repository of images can have: small letters and digits, with single dashes between them;
/// the Distribution specification, "Pulling manifests", has a few characters more.
fn repository(name: &str) -> String {
    let small = name.to_ascii_lowercase();
    let words: Vec<_> =
        small.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "disk".to_owned() } else { words.join("-") }
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn any_name_becomes_a_repository() {
        for (name, expected) in [("web", "web"), ("Web Server_2..0-", "web-server-2-0"), ("../é", "disk")] {
            assert_eq!(repository(name), expected);
        }
    }
}
