//! Images as sources.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::proto::{OpKind, Platform, SourceOp};

/// An image to fetch, for [`State::image`](crate::State::image).
#[derive(Clone, Debug)]
pub struct Image {
    reference: String,
    pub(crate) platform: Option<Platform>,
    attrs: BTreeMap<String, String>,
    pub(crate) metadata: Metadata,
}

impl Image {
    /// The image of a reference in full: `docker.io/library/debian:12`, with `@sha256:...` if it is
    /// to stay the same.
    pub fn new(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            platform: None,
            attrs: BTreeMap::new(),
            metadata: Metadata::default(),
        }
    }

    /// Which of the image's platforms; the worker's own if not said.
    #[must_use]
    pub fn platform(self, platform: Platform) -> Self {
        Self { platform: Some(platform), ..self }
    }

    /// Sets an option of the source, such as `image.resolvemode`; `value` must not be empty.
    #[must_use]
    pub fn attr(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attrs.insert(key.into(), value.into());
        self
    }

    /// Sets the metadata of the op.
    #[must_use]
    pub fn metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    pub(crate) fn op(&self) -> Result<OpKind> {
        let invalid = |reason| Err(Error::invalid(format!("image {:?}", self.reference), reason));
        if self.reference.is_empty() {
            return invalid("the reference is empty");
        }
        if self.attrs.values().any(String::is_empty) {
            return invalid("an attribute is empty");
        }
        let identifier = format!("docker-image://{}", self.reference);
        Ok(OpKind::Source(SourceOp { identifier, attrs: self.attrs.clone() }))
    }
}
