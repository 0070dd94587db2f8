//! What partitions, and the kernel, have of other stages and of named contexts.

use std::sync::Arc;

use futures_util::future::try_join_all;
use llb::{Graph, State};

use super::{Build, broken};
use crate::base::{Error, Result};
use crate::gateway::{Images, Platform, stage};

/// A file system, by the name that `COPY --from=` has for it.
pub(super) type NamedState = (String, State);

impl Build<'_> {
    /// All that the layout and the kernel name.
    pub(super) async fn stages(&self, platform: &Platform) -> Result<Vec<NamedState>> {
        let names = self.request.disk.spec.stages();
        try_join_all(
            names.into_iter().map(async |name| Ok((name.to_owned(), self.stage(name, platform).await?))),
        )
        .await
    }

    async fn stage(&self, name: &str, platform: &Platform) -> Result<State> {
        let built = stage(self.bridge, self.opts, name, platform).await.map_err(|error| {
            error.with_hint(format!(
                "partitions.source or kernel has it from {name}: a stage of the Dockerfile, or a named context \
                 (--build-context {name}=DIR)"
            ))
        })?;
        let built = Images::read(built)?;
        let root = built.images.into_iter().next().and_then(|image| image.root);
        let definition = root.and_then(|root| root.def);
        let empty =
            || Error::user(format!("{name} has no files, and partitions.source or kernel has one of it"));
        let graph = Graph::read(&definition.ok_or_else(empty)?).map_err(broken)?;
        Ok(State::from_graph(Arc::new(graph)))
    }
}
