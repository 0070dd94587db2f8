//! What every form of an image comes down to: its configuration and its layers.

use oci_spec::image::ImageConfiguration;
use serde_json::Value;

use super::blobs::Blobs;
use super::digest::Digest;
use super::oci::parse;
use super::platform::Platform;
use crate::error::{Error, Kind, Result};
use crate::spec::Container;
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
    pub(super) container: Container,
    /// All of it: members that OCI does not name are in use too.
    pub(super) json: Value,
}

impl Configuration {
    pub(super) fn read(blobs: &Blobs<'_>, name: &str, json: &[u8]) -> Result<Self> {
        let container = Container::read(json)
            .map_err(|error| blobs.corrupt(format!("{name} is not as specified: {error}")))?;
        Ok(Self { image: parse(blobs, name, json)?, container, json: parse(blobs, name, json)? })
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

/// An image that could be chosen.
pub(super) struct Candidate<T> {
    /// What leads to the image.
    pub(super) image: T,
    /// Names by which it is called.
    pub(super) names: Vec<String>,
    pub(super) platform: Platform,
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
            let shown = format!("{}: layer {number} of {count} ({name})", blobs.shown);
            let diff_id = Some(Digest::parse(diff_id).map_err(|fault| fault.at(&shown))?);
            Ok(Layer { shown, section, digest, diff_id, has_whiteouts: true })
        });
        Ok(Self { layers: layers.collect::<Result<_>>()?, config })
    }
}

/// For which platform a configuration is.
pub(super) fn platform_of(config: &ImageConfiguration) -> Platform {
    Platform {
        os: config.os().to_string(),
        architecture: config.architecture().to_string(),
        variant: config.variant().clone().filter(|variant| !variant.is_empty()),
    }
}

/// The one image that is meant.
///
/// # Errors
/// `NotFound` if there is none, `Input` if there are several; both list what there is.
pub(super) fn choose<T>(
    shown: &str,
    candidates: Vec<Candidate<T>>,
    reference: Option<&str>,
    platform: &Platform,
) -> Result<T> {
    let list = list(&candidates);
    let is_called = |names: &[String]| {
        reference.is_none_or(|reference| names.iter().any(|name| is_same_name(name, reference)))
    };
    let mut fitting: Vec<_> = candidates
        .into_iter()
        .filter(|candidate| is_called(&candidate.names) && platform.accepts(&candidate.platform))
        .collect();
    let wanted = match reference {
        Some(reference) => format!("image {reference:?} for {platform}"),
        None => format!("image for {platform}"),
    };
    match fitting.len() {
        1 => Ok(fitting.remove(0).image),
        0 => Err(Error::new(Kind::NotFound, shown, format!("there is no {wanted}")).with_hint(list)),
        many => Err(Error::new(Kind::Input, shown, format!("there are {many} of {wanted}")).with_hint(list)),
    }
}

fn list<T>(candidates: &[Candidate<T>]) -> String {
    if candidates.is_empty() {
        return "it holds no image at all".to_owned();
    }
    let line = |candidate: &Candidate<T>| match candidate.names.join(", ") {
        names if names.is_empty() => candidate.platform.to_string(),
        names => format!("{} ({names})", candidate.platform),
    };
    format!("it holds {}", candidates.iter().map(line).collect::<Vec<_>>().join("; "))
}

/// Whether two names are the same with what docker leaves out: registry, `library/` and `:latest`.
fn is_same_name(name: &str, reference: &str) -> bool {
    fn full(name: &str) -> String {
        let short = name.strip_prefix("docker.io/").unwrap_or(name);
        let short = short.strip_prefix("library/").unwrap_or(short);
        let last = short.rsplit('/').next().unwrap_or(short);
        if last.contains(':') { short.to_owned() } else { format!("{short}:latest") }
    }
    name == reference || full(name) == full(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> Vec<Candidate<u32>> {
        let candidate = |image, names: &[&str], architecture: &str, variant: Option<&str>| Candidate {
            image,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            platform: Platform { variant: variant.map(Into::into), ..Platform::linux(architecture) },
        };
        vec![
            candidate(1, &["docker.io/library/debian:12"], "amd64", None),
            candidate(2, &["docker.io/library/debian:12"], "arm64", Some("v8")),
            candidate(3, &["alpine"], "arm64", None),
            candidate(4, &[], "arm", Some("v6")),
            candidate(5, &[], "arm", Some("v7")),
        ]
    }

    #[test]
    fn images_are_chosen_by_name_and_platform() {
        let choose = |reference, architecture, variant: Option<&str>| {
            let platform = Platform { variant: variant.map(Into::into), ..Platform::linux(architecture) };
            choose("x.tar", candidates(), reference, &platform).map_err(|error| error.to_string())
        };
        assert_eq!(choose(None, "amd64", None), Ok(1));
        assert_eq!(choose(Some("debian:12"), "arm64", None), Ok(2));
        assert_eq!(choose(Some("alpine:latest"), "arm64", Some("v8")), Ok(3));
        assert_eq!(choose(None, "arm", Some("v7")), Ok(5));
        assert_eq!(choose(None, "arm", None), Err("x.tar: there are 2 of image for linux/arm".into()));
        let none = "x.tar: there is no image \"debian\" for linux/amd64";
        assert_eq!(choose(Some("debian"), "amd64", None), Err(none.into()));
    }

    #[test]
    fn an_error_lists_what_there_is() {
        let error = choose("x.tar", candidates(), None, &Platform::linux("s390x")).unwrap_err();
        let list = "it holds linux/amd64 (docker.io/library/debian:12); \
                    linux/arm64/v8 (docker.io/library/debian:12); linux/arm64 (alpine); \
                    linux/arm/v6; linux/arm/v7";
        assert_eq!(error.hint(), Some(list));
    }
}
