//! What a registry says that an update is made of: an index, a manifest, and its one layer
//! (<https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md>).

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::reference::checked_digest;

/// The longest manifest that is read, as registries have it.
pub(super) const LONGEST: u64 = 4 << 20;
/// Manifests and indexes, of OCI and of docker.
pub(super) const TYPES: &str = "application/vnd.oci.image.manifest.v1+json,application/vnd.oci.image.index.v1+json,\
    application/vnd.docker.distribution.manifest.v2+json,application/vnd.docker.distribution.manifest.list.v2+json";
/// Layers as they are, which alone can be read in parts.
const TARS: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"];

/// What is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// The digest of the manifest for this machine.
    Elsewhere(String),
    Layer(Layer),
}

/// The tar with the files of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) digest: String,
    pub(super) size: u64,
}

/// Both kinds; which one it is tells the list that it has.
#[derive(Deserialize)]
struct Json {
    manifests: Option<Vec<Descriptor>>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

impl Manifest {
    /// Of the bytes that a registry gives for `digest`, if they were asked for by one.
    ///
    /// # Errors
    /// Bytes of another digest, and what is no update for `architecture` (`amd64`, `arm64`).
    pub(super) fn parse(json: &[u8], digest: Option<&str>, architecture: &str) -> Result<Self, String> {
        if digest.is_some_and(|digest| digest != format!("sha256:{:x}", Sha256::digest(json))) {
            return Err("the registry gives another manifest than that of the digest".to_owned());
        }
        let json: Json =
            serde_json::from_slice(json).map_err(|error| format!("the manifest cannot be read: {error}"))?;
        match json {
            Json { manifests: Some(manifests), .. } => choose(manifests, architecture).map(Self::Elsewhere),
            Json { layers: Some(layers), .. } => only(layers).map(Self::Layer),
            _ => Err("what is there is neither an image nor an index of images".to_owned()),
        }
    }
}

fn choose(manifests: Vec<Descriptor>, architecture: &str) -> Result<String, String> {
    let is_for = |manifest: &&Descriptor| match &manifest.platform {
        Some(platform) => platform.os == "linux" && platform.architecture == architecture,
        None => manifests.len() == 1,
    };
    let found = manifests.iter().find(is_for);
    found.map_or_else(
        || Err(format!("there is nothing for linux/{architecture}")),
        |one| checked_digest(&one.digest),
    )
}

fn only(layers: Vec<Descriptor>) -> Result<Layer, String> {
    let hint = "vmimage pushes updates as images with one layer, a tar that is not packed";
    let [layer] = &*layers else {
        return Err(format!("it has {} layers, and no update has\nhint: {hint}", layers.len()));
    };
    if !TARS.contains(&&*layer.media_type) {
        let shown = super::shown(&layer.media_type);
        return Err(format!("its layer is {shown:?}, of which no parts can be read\nhint: {hint}"));
    }
    Ok(Layer { digest: checked_digest(&layer.digest)?, size: layer.size })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(json: &str) -> Result<Manifest, String> {
        Manifest::parse(json.as_bytes(), None, "arm64")
    }

    fn descriptor(kind: &str, rest: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"{DIGEST}","size":7{rest}}}"#)
    }

    #[test]
    fn one_plain_layer_is_an_update() {
        let layer = Layer { digest: DIGEST.to_owned(), size: 7 };
        for kind in TARS {
            let json = format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, descriptor(kind, ""));
            assert_eq!(parse(&json), Ok(Manifest::Layer(layer.clone())));
        }
        let gzip = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "");
        let plain = descriptor(TARS[0], "");
        for (layers, error) in [
            (gzip, "tar+gzip"),
            (String::new(), "0 layers"),
            (format!("{plain},{plain}"), "2 layers"),
            (plain.replace(DIGEST, "sha256:12"), "sha256:12"),
        ] {
            assert!(parse(&format!(r#"{{"layers":[{layers}]}}"#)).unwrap_err().contains(error), "{layers}");
        }
        for json in ["{}", "[]", "", r#"{"layers":7}"#] {
            assert!(parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_index_leads_to_the_manifest_for_the_machine() {
        let of = |os: &str, architecture: &str| {
            descriptor("m", &format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#))
        };
        let other = of("linux", "amd64").replace("e3b0", "e3b1");
        let attestation = of("unknown", "unknown");
        let all = format!(r#"{{"manifests":[{other},{attestation},{}]}}"#, of("linux", "arm64"));
        assert_eq!(parse(&all), Ok(Manifest::Elsewhere(DIGEST.to_owned())));
        let alone = format!(r#"{{"manifests":[{}]}}"#, descriptor("m", ""));
        assert_eq!(parse(&alone), Ok(Manifest::Elsewhere(DIGEST.to_owned())));
        let none = format!(r#"{{"manifests":[{other},{attestation}]}}"#);
        assert_eq!(parse(&none), Err("there is nothing for linux/arm64".to_owned()));
    }

    #[test]
    fn bytes_of_another_digest_are_refused() {
        assert!(Manifest::parse(b"", Some(DIGEST), "amd64").unwrap_err().contains("cannot be read"));
        assert!(Manifest::parse(b"{}", Some(DIGEST), "amd64").unwrap_err().contains("another manifest"));
    }
}
