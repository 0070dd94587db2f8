//! What `docker save` wrote before docker 1.10: a folder for each layer, which was an image of its own then.
//!
//! ```text
//! repositories ─▶ ID/json ─▶ its parent's ID/json ─▶ …
//!                 ID/layer.tar
//! ```
//!
//! Specification: <https://github.com/moby/moby/blob/v24.0.9/image/spec/v1.md>. Ids are no digests here, so
//! nothing tells damage but the tars themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::blobs::Blobs;
use super::choice::{Candidate, Form, choose};
use super::digest::Digest;
use super::image::{Configuration, Image, check_layers, platform_of};
use super::oci::parse;
use super::platform::Platform;
use crate::error::Result;

/// Where tags are listed; an archive of an image without one has no such file.
const REPOSITORIES: &str = "repositories";
/// What a layer's description says of the layer and not of the image.
const OF_LAYER: [&str; 6] = ["id", "parent", "parent_id", "layer_id", "Size", "throwaway"];
/// What an image is for that does not say it: docker knew nothing else.
const USUAL: [(&str, &str); 2] = [("architecture", "amd64"), ("os", "linux")];

/// Whether only such an archive has a file of this name.
pub(super) fn is_description(name: &str) -> bool {
    id(name).is_some()
}

/// The layer that a file of this name describes.
fn id(name: &str) -> Option<&str> {
    name.strip_suffix("/json").filter(|id| Digest::from_hex(id).is_some())
}

/// The image in an archive that is meant; `None` if it is no such archive.
pub(super) fn find(blobs: &Blobs<'_>, reference: Option<&str>, platform: &Platform) -> Result<Option<Image>> {
    let layers = Layers::read(blobs)?;
    if layers.parents.is_empty() {
        return Ok(None);
    }
    let candidate = |(id, names): (String, BTreeSet<String>)| {
        let form = Form::Image(platform_of(&configuration(blobs, &id)?.image));
        Ok(Candidate { image: id, names, form, index: None, is_recompressed: false })
    };
    let images = layers.images(blobs)?;
    let mut candidates = images.into_iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let chosen = choose(&blobs.shown, &candidates, reference, platform)?;
    let id = candidates.swap_remove(chosen).image;
    let config = configuration(blobs, &id)?;
    let layer = |id: &str| {
        let name = format!("{id}/layer.tar");
        Ok((blobs.open(&name)?, name))
    };
    let chain = layers.chain(blobs, &id)?;
    check_layers(blobs, chain.len())?;
    let stored = chain.into_iter().map(layer).collect::<Result<_>>()?;
    Ok(Some(Image::unverified(blobs, config, stored)))
}

/// The layers of an archive, each with the one below it.
struct Layers {
    parents: BTreeMap<String, Option<String>>,
}

impl Layers {
    fn read(blobs: &Blobs<'_>) -> Result<Self> {
        let parent = |id: &str| {
            let description = description(blobs, id)?;
            let parent = description.get("parent").and_then(Value::as_str).filter(|id| !id.is_empty());
            Ok((id.to_owned(), parent.map(str::to_owned)))
        };
        Ok(Self { parents: blobs.names().filter_map(id).map(parent).collect::<Result<_>>()? })
    }

    /// The images, with their names: what has one, and what is no layer of others.
    fn images(&self, blobs: &Blobs<'_>) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let below: BTreeSet<_> = self.parents.values().flatten().collect();
        let tops = self.parents.keys().filter(|id| !below.contains(id));
        let mut images: BTreeMap<_, _> = tops.map(|id| (id.clone(), BTreeSet::new())).collect();
        if blobs.find(REPOSITORIES)?.is_some() {
            let listed = blobs.json(REPOSITORIES, None)?;
            let repositories: HashMap<String, HashMap<String, String>> = parse(blobs, REPOSITORIES, &listed)?;
            for (name, tags) in repositories {
                for (tag, id) in tags {
                    images.entry(id).or_default().insert(format!("{name}:{tag}"));
                }
            }
        }
        Ok(images)
    }

    /// The layers of an image, from the lowest.
    fn chain<'a>(&'a self, blobs: &Blobs<'_>, top: &'a str) -> Result<Vec<&'a str>> {
        let mut chain = vec![top];
        let mut here = top;
        while let Some(parent) = self.parents.get(here).and_then(Option::as_deref) {
            if chain.len() == self.parents.len() {
                return Err(
                    blobs.corrupt(format!("layer {top} lies on itself or on layers that are missing"))
                );
            }
            chain.push(parent);
            here = parent;
        }
        chain.reverse();
        Ok(chain)
    }
}

fn description(blobs: &Blobs<'_>, id: &str) -> Result<Map<String, Value>> {
    let name = format!("{id}/json");
    parse(blobs, &name, &blobs.json(&name, None)?)
}

/// The configuration of the image that ends in a layer, as docker made it of the layer's description.
fn configuration(blobs: &Blobs<'_>, id: &str) -> Result<Configuration> {
    let mut members = description(blobs, id)?;
    members.retain(|key, value| !OF_LAYER.contains(&&**key) && !value.is_null());
    for (key, usual) in USUAL {
        let is_said = members.get(key).and_then(Value::as_str).is_some_and(|value| !value.is_empty());
        if !is_said {
            members.insert(key.to_owned(), usual.into());
        }
    }
    // Nobody noted digests of the layers.
    members.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": [] }));
    Configuration::read(blobs, &format!("{id}/json"), Value::Object(members).to_string().as_bytes())
}
