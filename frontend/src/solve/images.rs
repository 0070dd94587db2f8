//! The images that steps of a build run on, by what they are called now.

use llb::{Image, State};

use super::{Build, broken};
use crate::base::reference::Reference;
use crate::base::{Error, Result};
use crate::gateway::Platform;

impl Build<'_> {
    /// This frontend's own image: from the daemon, or by the name it was started under (before 0.10).
    pub(super) async fn frontend_image(&self) -> Result<State> {
        if let Some(definition) = self.opts.image() {
            return Ok(State::from_graph(llb::Graph::read(definition).map_err(broken)?));
        }
        let source = self
            .opts
            .source()
            .ok_or_else(|| Error::user("BuildKit does not say which image this frontend is"))?;
        self.pinned(source, None).await.map(State::image)
    }

    /// An image by the name a user would write.
    pub(super) async fn image(&self, name: &str, platform: &Platform) -> Result<State> {
        let platform = llb::Platform::from(platform.clone());
        let image = self.pinned(name, Some(platform.clone())).await?;
        Ok(State::image(image.platform(platform)))
    }

    /// The image that has this name now.
    async fn pinned(&self, name: &str, platform: Option<llb::Platform>) -> Result<Image> {
        let odd = |wrong: String| Error::user(format!("image {name}: {wrong}"));
        let mut reference: Reference = name.parse().map_err(odd)?;
        let mode = self.opts.get("image-resolve-mode").unwrap_or("default");
        let found = self.bridge.resolve_image_config(&reference.to_string(), platform, mode).await?;
        // An image that is only in the local store has no digest.
        reference.digest = reference.digest.or(Some(found.digest).filter(|digest| !digest.is_empty()));
        Ok(Image::new(reference.to_string()))
    }
}
