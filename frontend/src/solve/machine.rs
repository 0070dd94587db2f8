//! The user's file system with a kernel under it or beside it, by the recipe of every engine.

use std::sync::Arc;

use exporter::spec::Architecture;
use llb::{Base, Definition, Edge, Graph, OpDigest, State};

use super::{Build, Parts, broken, locate, probe};
use crate::base::reference::Reference;
use crate::base::{Error, Result};
use crate::gateway::Platform;
use crate::provision::recipe::{self, Driver};
use crate::provision::{self, Step};

impl Build<'_> {
    /// What a machine is made of.
    pub(super) async fn machine(
        &self,
        definition: &Definition,
        graph: &Arc<Graph>,
        platform: &Platform,
        architecture: Architecture,
    ) -> Result<Parts> {
        let (digest, base) = base_of(graph)?.unzip();
        let daemon = Daemon { build: self, platform };
        let made = recipe::follow(&daemon, base.as_ref(), architecture, &self.request.disk.install).await;
        let place = || digest.and_then(|digest| locate::place(definition, digest));
        let made = made.map_err(|error| error.at(place()))?;
        let rootfs = match digest.zip(made.base) {
            Some((digest, base)) => State::from_graph(graph.graft(digest, &base.state).map_err(broken)?),
            None => State::from_graph(graph.clone()),
        };
        Ok(Parts { rootfs, boot: made.boot, donor: made.donor.map(|donor| donor.state) })
    }
}

/// The image the result stands on and its op; `None` for one `FROM scratch`.
fn base_of(graph: &Arc<Graph>) -> Result<Option<(OpDigest, GraphImage)>> {
    match graph.base().map_err(broken)? {
        Base::Image { digest, identifier, .. } => {
            let state = State::from_edge(graph.clone(), Edge { digest, index: 0 });
            Ok(Some((digest, GraphImage { name: shown_image(&identifier), state })))
        }
        Base::Scratch => Ok(None),
        Base::Other { what, .. } => {
            Err(Error::user(format!("the last stage stands on {what}, not on an image"))
                .with_hint("start it FROM an image of a distribution, such as debian:12"))
        }
    }
}

/// The daemon as the recipe asks it. What it runs is a graph that nothing waits for.
struct Daemon<'a> {
    build: &'a Build<'a>,
    platform: &'a Platform,
}

/// An image to install on.
#[derive(Clone)]
struct GraphImage {
    /// As the user would write it.
    name: String,
    state: State,
}

impl Driver for Daemon<'_> {
    type Image = GraphImage;
    type BootFiles = State;

    async fn image(&self, name: &str) -> Result<GraphImage> {
        Ok(GraphImage { name: name.to_owned(), state: self.build.image(name, self.platform).await? })
    }

    async fn probe(&self, image: &GraphImage) -> Result<provision::Probed> {
        probe::probe(self.build, &image.name, &image.state).await
    }

    async fn install(&self, on: &GraphImage, step: &Step) -> Result<GraphImage> {
        Ok(GraphImage { name: on.name.clone(), state: self.build.run_step(&on.state, step)?.root() })
    }

    async fn collect(&self, on: &GraphImage, step: &Step) -> Result<State> {
        self.build.run_boot_step(&on.state, step)
    }
}

/// `docker-image://docker.io/library/debian:12@sha256:…` as `debian:12`.
fn shown_image(identifier: &str) -> String {
    let name = identifier.split_once("://").map_or(identifier, |(_, name)| name);
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |reference| reference.short_name())
}

#[cfg(test)]
mod tests {
    use super::shown_image;

    #[test]
    fn images_are_shown_as_users_write_them() {
        let digest = format!("@sha256:{:064}", 0);
        for (identifier, shown) in [
            (format!("docker-image://docker.io/library/debian:12{digest}"), "debian:12"),
            ("docker-image://docker.io/team/app:1".to_owned(), "team/app:1"),
            (format!("docker-image://host:5000/app:1{digest}"), "host:5000/app:1"),
            ("docker-image://Not/A/Name".to_owned(), "Not/A/Name"),
        ] {
            assert_eq!(shown_image(&identifier), shown);
        }
    }
}
