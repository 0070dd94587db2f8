//! Folders of the client as sources.

use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::proto::{OpKind, SourceOp};

/// A folder that the client of the build sends, for [`State::local`](crate::State::local).
#[derive(Clone, Debug)]
pub struct Local {
    name: String,
    pub(crate) metadata: Metadata,
}

impl Local {
    /// The folder that the client knows by this name: `context`, or that of a named context.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), metadata: Metadata::default() }
    }

    /// Sets the metadata of the op.
    #[must_use]
    pub fn metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    pub(crate) fn op(&self) -> Result<OpKind> {
        if self.name.is_empty() {
            return Err(Error::invalid("a local source", "its name is empty"));
        }
        let identifier = format!("local://{}", self.name);
        Ok(OpKind::Source(SourceOp { identifier, ..SourceOp::default() }))
    }
}
