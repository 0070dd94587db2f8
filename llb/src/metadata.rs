//! What the daemon is told about an op beside the op.

use prost::Message;

use crate::proto::{ExportCache, OpMetadata, ProgressGroup};

/// Metadata of an op: how it is shown and cached. Not part of its digest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(OpMetadata);

impl Metadata {
    /// Metadata with the name that is shown as progress; plumbing starts with `[internal] `.
    pub fn named(name: impl Into<String>) -> Self {
        Self::default().description("llb.customname", name)
    }

    /// Adds a text under a key.
    #[must_use]
    pub fn description(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.description.insert(key.into(), value.into());
        self
    }

    /// Shows all ops with the same group `id` as one line, `name`.
    #[must_use]
    pub fn progress_group(mut self, id: impl Into<String>, name: impl Into<String>) -> Self {
        self.0.progress_group = Some(ProgressGroup { id: id.into(), name: name.into(), weak: false });
        self
    }

    /// Runs the op even if its result is cached.
    #[must_use]
    pub fn ignore_cache(mut self) -> Self {
        self.0.ignore_cache = true;
        self
    }

    /// Keeps the result out of an exported cache, or puts it in.
    #[must_use]
    pub fn export_cache(mut self, value: bool) -> Self {
        self.0.export_cache = Some(ExportCache { value });
        self
    }

    /// Has the daemon refuse the graph unless it knows the capability `name`.
    ///
    /// For what an old daemon would silently leave out, such as `exec.mount.cache.content`.
    #[must_use]
    pub fn cap(mut self, name: impl Into<String>) -> Self {
        self.0.caps.insert(name.into(), true);
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }
}
