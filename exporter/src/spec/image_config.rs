//! The `config` of an image's configuration, in which it speaks of containers, and to those who build on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::container::{Container, or_default};
use crate::container::image::TITLE;

/// What an image says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Members")]
pub struct ImageConfig {
    /// What its containers run, and how.
    pub container: Container,
    /// `LABEL`.
    pub labels: BTreeMap<String, String>,
    /// `ONBUILD`: instructions for whoever builds on it.
    pub on_build: Vec<String>,
}

impl ImageConfig {
    /// The one in an image's configuration; an empty one if there is none.
    ///
    /// # Errors
    /// Where it is not as specified.
    pub fn read(image: &Value) -> Result<Self, serde_json::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Described {
            #[serde(deserialize_with = "or_default")]
            config: ImageConfig,
        }
        Ok(Described::deserialize(image)?.config)
    }
}

/// Its members as they are named there.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Members {
    #[serde(deserialize_with = "texts")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    on_build: Vec<String>,
    #[serde(flatten)]
    container: Container,
}

impl From<Members> for ImageConfig {
    fn from(Members { labels, on_build, container }: Members) -> Self {
        // The labels are not among what is left for the container.
        let container = Container { title: labels.get(TITLE).cloned(), ..container };
        Self { container, labels, on_build }
    }
}

/// An object's values that are texts. Others are no labels, and nobody's concern here.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let labels = Value::deserialize(deserializer)?;
    let labels = labels.as_object().into_iter().flatten();
    Ok(labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_part_is_read_and_the_title_is_one_of_the_labels() {
        let config =
            json!({ "Cmd": ["a"], "Labels": { "team": "b", TITLE: "Shop", "odd": 7 }, "OnBuild": ["RUN c"] });
        let read = ImageConfig::read(&json!({ "architecture": "amd64", "config": config })).unwrap();
        assert_eq!(read.container.command().collect::<Vec<_>>(), ["a"]);
        assert_eq!(read.container.title.as_deref(), Some("Shop"));
        assert_eq!(read.labels.into_keys().collect::<Vec<_>>(), [TITLE, "team"]);
        assert_eq!(read.on_build, ["RUN c"]);
    }

    #[test]
    fn an_image_may_say_nothing_but_no_nonsense() {
        let nothing =
            json!({ "Cmd": null, "Env": null, "Healthcheck": null, "Labels": null, "OnBuild": null });
        for empty in [json!({}), json!({ "config": null }), json!({ "config": nothing })] {
            assert_eq!(ImageConfig::read(&empty).unwrap(), ImageConfig::default(), "{empty}");
        }
        for wrong in
            [json!({ "Cmd": "bash" }), json!({ "Healthcheck": { "Interval": -1 } }), json!({ "OnBuild": 7 })]
        {
            assert!(ImageConfig::read(&json!({ "config": wrong })).is_err(), "{wrong}");
        }
        assert!(ImageConfig::read(&json!(7)).is_err());
    }
}
