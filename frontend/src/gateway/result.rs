//! A build result by platform: read what the Dockerfile came to, write back what is exported instead.
//!
//! ```text
//! one platform      ref   containerimage.config               refs.platforms (BuildKit 0.11 and later)
//! several           refs  containerimage.config/linux/amd64   refs.platforms
//! ```
//!
//! Annotations of a manifest are metadata too: `annotation-manifest[linux/amd64].KEY`, without the brackets for
//! one platform (BuildKit's `docs/annotations.md`, 0.11 and later).

use std::collections::BTreeMap;

use exporter::spec::ImageConfig;
use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::platform::Platform;
use super::proto::{self, Ref, RefMap, Refs};

const PLATFORMS: &str = "refs.platforms";
const CONFIG: &str = "containerimage.config";
const ANNOTATION: &str = "annotation-manifest";

/// The images of a result. Metadata and attestations that have no field here are kept as they came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Images {
    /// One per platform, in the order the exporter shows them; never empty.
    pub images: Vec<Image>,
    is_map: bool,
    rest: proto::Result,
}

/// What was built for one platform.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Image {
    /// The key of the platform in the result; empty if the result names no platforms.
    pub id: String,
    /// The platform, as the result or else the config tells.
    pub platform: Option<Platform>,
    /// The root file system; [`None`] is `scratch`.
    pub root: Option<Ref>,
    /// The image config as JSON.
    pub config: Option<Vec<u8>>,
    /// What that says.
    pub says: ImageConfig,
    /// Annotations for its manifest, beside those that the client asks for.
    pub annotations: BTreeMap<String, String>,
}

/// The metadata `refs.platforms`.
#[derive(Default, Deserialize)]
struct Platforms {
    #[serde(rename = "Platforms")]
    platforms: Vec<NamedPlatform>,
}

#[derive(Deserialize)]
struct NamedPlatform {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Platform")]
    platform: Platform,
}

impl Images {
    /// Takes a result apart.
    pub(crate) fn read(mut result: proto::Result) -> Result<Self, Failure> {
        let platforms = platforms(&result.metadata)?;
        let refs = result.refs.take();
        let is_map = matches!(refs, Some(Refs::Map(_)));
        let mut images = match refs {
            Some(Refs::Map(map)) => from_map(map, platforms)?,
            Some(Refs::Single(root)) => vec![from_single(root, platforms)?],
            None => vec![from_single(Ref::default(), platforms)?],
        };
        for image in &mut images {
            image.take_config(&mut result.metadata)?;
        }
        Ok(Self { images, is_map, rest: result })
    }

    /// Puts a result of the same shape together again, with the roots and configs as they are now.
    pub(crate) fn into_result(self) -> proto::Result {
        let mut result = self.rest;
        let mut refs = BTreeMap::new();
        for image in self.images {
            if let Some(config) = image.config {
                let key = if self.is_map { suffixed(CONFIG, &image.id) } else { CONFIG.to_owned() };
                result.metadata.insert(key, config);
            }
            let platform = if self.is_map { format!("[{}]", image.id) } else { String::new() };
            for (key, value) in image.annotations {
                result.metadata.insert(format!("{ANNOTATION}{platform}.{key}"), value.into_bytes());
            }
            refs.insert(image.id, image.root.unwrap_or_default());
        }
        result.refs = if self.is_map {
            Some(Refs::Map(RefMap { refs }))
        } else {
            refs.into_values().next().map(Refs::Single)
        };
        result
    }
}

impl Image {
    /// Moves the config out of the metadata; exporters look under the platform's key first, too.
    fn take_config(&mut self, metadata: &mut BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
        self.config = metadata.remove(&suffixed(CONFIG, &self.id)).or_else(|| metadata.remove(CONFIG));
        let Some(config) = &self.config else { return Ok(()) };
        let json: Value = serde_json::from_slice(config).map_err(odd_config)?;
        self.says = ImageConfig::read(&json).map_err(odd_config)?;
        self.platform = self.platform.take().or_else(|| Platform::deserialize(&json).ok());
        Ok(())
    }
}

/// A frontend of the user's may have written it.
fn odd_config(error: serde_json::Error) -> Failure {
    Failure::new(format!("the image's configuration is not as specified: {error}"))
}

fn platforms(metadata: &BTreeMap<String, Vec<u8>>) -> Result<Vec<NamedPlatform>, Failure> {
    let Some(json) = metadata.get(PLATFORMS) else { return Ok(Vec::new()) };
    serde_json::from_slice::<Platforms>(json)
        .map(|list| list.platforms)
        .map_err(|error| Failure::new(format!("{PLATFORMS} of the inner frontend: {error}")))
}

fn from_map(mut map: RefMap, platforms: Vec<NamedPlatform>) -> Result<Vec<Image>, Failure> {
    let images = platforms.into_iter().map(|NamedPlatform { id, platform }| match map.refs.remove(&id) {
        Some(root) => Ok(Image { id, platform: Some(platform), root: non_scratch(root), ..Image::default() }),
        None => {
            Err(Failure::new(format!("{PLATFORMS} of the inner frontend names {id}, which was not built")))
        }
    });
    let images: Vec<Image> = images.collect::<Result<_, _>>()?;
    match map.refs.into_keys().next() {
        Some(id) => Err(Failure::new(format!("{PLATFORMS} of the inner frontend does not name {id}"))),
        None if images.is_empty() => Err(Failure::new("the inner frontend built nothing")),
        None => Ok(images),
    }
}

fn from_single(root: Ref, mut platforms: Vec<NamedPlatform>) -> Result<Image, Failure> {
    if platforms.len() > 1 {
        return Err(Failure::new("the inner frontend names several platforms for one file system"));
    }
    let (id, platform) = platforms.pop().map(|named| (named.id, named.platform)).unzip();
    Ok(Image { id: id.unwrap_or_default(), platform, root: non_scratch(root), ..Image::default() })
}

fn non_scratch(root: Ref) -> Option<Ref> {
    Some(root).filter(|root| !root.id.is_empty())
}

fn suffixed(key: &str, id: &str) -> String {
    format!("{key}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMD64: &str = r#"{"ID":"linux/amd64","Platform":{"architecture":"amd64","os":"linux"}}"#;
    const ARM64: &str = r#"{"ID":"linux/arm64","Platform":{"architecture":"arm64","os":"linux"}}"#;

    fn root(id: &str) -> Ref {
        Ref { id: id.into(), def: None }
    }

    fn metadata(entries: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        entries.iter().map(|(key, value)| (key.to_string(), value.as_bytes().to_vec())).collect()
    }

    fn named(platforms: &[&str]) -> String {
        format!(r#"{{"Platforms":[{}]}}"#, platforms.join(","))
    }

    fn map(platforms: &[&str], refs: &[(&str, &str)]) -> proto::Result {
        let refs = refs.iter().map(|(key, id)| (key.to_string(), root(id))).collect();
        proto::Result {
            refs: Some(Refs::Map(RefMap { refs })),
            metadata: metadata(&[
                (PLATFORMS, &named(platforms)),
                ("containerimage.config/linux/amd64", "{}"),
                ("source.date.epoch", "0"),
            ]),
            attestations: metadata(&[("linux/amd64", "opaque")]),
        }
    }

    fn single(id: &str, entries: &[(&str, &str)]) -> proto::Result {
        let refs = Some(Refs::Single(root(id)));
        proto::Result { refs, metadata: metadata(entries), attestations: BTreeMap::new() }
    }

    #[test]
    fn a_map_is_read_in_the_order_of_its_platforms() {
        let result = map(&[ARM64, AMD64], &[("linux/amd64", "a"), ("linux/arm64", "")]);
        let images = Images::read(result.clone()).unwrap();
        let ids: Vec<_> = images.images.iter().map(|image| image.id.as_str()).collect();
        assert_eq!(ids, ["linux/arm64", "linux/amd64"]);
        assert_eq!(images.images[0].root, None);
        assert_eq!(images.images[1].config.as_deref(), Some(b"{}".as_slice()));
        assert_eq!(images.into_result(), result);
    }

    #[test]
    fn a_single_result_knows_its_platform_from_the_list_or_the_config() {
        let config = r#"{"architecture":"amd64","os":"linux","config":{}}"#;
        for entries in [&[(CONFIG, config)][..], &[(PLATFORMS, &named(&[AMD64])), (CONFIG, "{}")]] {
            let result = single("a", entries);
            let images = Images::read(result.clone()).unwrap();
            assert_eq!(images.images[0].platform.as_ref().unwrap().to_string(), "linux/amd64");
            assert_eq!(images.into_result(), result);
        }
    }

    #[test]
    fn nothing_at_all_is_scratch() {
        let images = Images::read(proto::Result::default()).unwrap();
        assert_eq!(images.images, [Image::default()]);
        assert_eq!(images.into_result().refs, Some(Refs::Single(Ref::default())));
    }

    #[test]
    fn replaced_roots_and_configs_reach_the_result() {
        let mut images = Images::read(map(&[AMD64], &[("linux/amd64", "a")])).unwrap();
        images.images[0].root = Some(root("disk"));
        images.images[0].config = None;
        let result = images.into_result();
        assert!(!result.metadata.contains_key("containerimage.config/linux/amd64"));
        assert_eq!(result.metadata["source.date.epoch"], b"0");
        let refs = BTreeMap::from([("linux/amd64".to_owned(), root("disk"))]);
        assert_eq!(result.refs, Some(Refs::Map(RefMap { refs })));
    }

    #[test]
    fn annotations_are_of_a_platform_where_there_are_several() {
        let result = |result: proto::Result| {
            let mut images = Images::read(result).unwrap();
            images.images[0].annotations.insert("a.title".into(), "web".into());
            images.into_result().metadata
        };
        let of_one = result(single("a", &[(PLATFORMS, &named(&[AMD64]))]));
        assert_eq!(of_one["annotation-manifest.a.title"], b"web");
        let of_several = result(map(&[AMD64], &[("linux/amd64", "a")]));
        assert_eq!(of_several["annotation-manifest[linux/amd64].a.title"], b"web");
    }

    #[test]
    fn a_result_that_contradicts_itself_is_refused() {
        let cases = [
            map(&[AMD64], &[("linux/amd64", "a"), ("linux/arm64", "b")]),
            map(&[AMD64, ARM64], &[("linux/amd64", "a")]),
            map(&[], &[]),
            single("a", &[(PLATFORMS, &named(&[AMD64, ARM64]))]),
            single("a", &[(PLATFORMS, "{")]),
            single("a", &[(CONFIG, "{")]),
            single("a", &[(CONFIG, r#"{"config":{"Cmd":"sh"}}"#)]),
        ];
        for result in cases {
            assert!(Images::read(result.clone()).is_err(), "{result:?}");
        }
    }
}
