//! The frontend's pipeline: delegate ▶ probe ▶ graft ▶ boot stage ▶ assemble step ▶ result.
//!
//! ```text
//! Dockerfile ─dockerfile.v0─▶ graph ── graft ──▶ graph' ─▶ /rootfs ┐
//!                               │ base           ▲                 ├▶ vmimage assemble ─▶ disk.qcow2
//!                               ├─▶ machine step ┘                 │
//!                               └─▶ boot step ────────▶ /boot-stage┘
//! ```
//!
//! Which exporter the client has chosen is not told to a frontend; that the disk is to become an image is asked
//! for by `VMIMAGE_STAGE=containerdisk`. Only of Docker Compose, which knows no other, it is seen by its label.

mod container_disk;
mod context;
mod locate;
mod probe;
mod request;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use exporter::spec::{Architecture, Container, Profile, Spec};
use futures_util::future::{try_join, try_join_all};
use llb::{Base, Definition, Graph, OpDigest, State};

use crate::ask::Install;
use crate::ask::config::Configuration;
use crate::ask::request::{Request, Stage};
use crate::gateway::{Bridge, Failure, Image, Images, Opts, Platform, delegate, proto};
use crate::provision::{self, Cause, Plan};
use context::BuildContext;

/// The label of what Docker Compose builds, which always becomes an image.
const OF_COMPOSE: &str = "com.docker.compose.service";
/// What is wrong with a disk as an image.
pub(crate) const DISK_IN_AN_IMAGE: &str =
    "the Dockerfile makes a disk: this image holds it and can't be run as a container";
/// What to do about it.
pub(crate) const INSTEAD_OF_AN_IMAGE: [&str; 2] = [
    "for the disk: vmimage build -o web.qcow2, or docker build -o type=vmdisk,dest=web.qcow2 after vmimage install",
    "for the disk in an image, as KubeVirt takes it: the build argument VMIMAGE_STAGE=containerdisk",
];

/// Builds what the user's Dockerfile describes and returns it as a disk, one for each platform.
pub(crate) async fn solve(bridge: &Bridge, opts: &Opts) -> Result<proto::Result, Failure> {
    let request = request::read(opts)?;
    let context = BuildContext::find(bridge, opts).await?;
    let config = async {
        match opts.request_id().is_some() || request.stage == Stage::Dockerfile {
            true => Ok(Configuration::default()),
            false => context.load(request.disk.config.as_deref()).await,
        }
    };
    let (result, loaded) = try_join(delegate(bridge, opts), config).await?;
    if opts.request_id().is_some() || request.stage == Stage::Dockerfile {
        return Ok(result);
    }
    let mut images = Images::read(result)?;
    let mut installs = Vec::new();
    for image in &mut images.images {
        let request = request.over(&labels(image), &loaded)?;
        let build = Build { bridge, opts, context: &context, request: &request };
        build.turn_into_disk(image).await?;
        installs.push(request.disk.install);
    }
    let built = images.images.iter().zip(&installs).map(|(image, install)| build_now(bridge, image, install));
    try_join_all(built).await?;
    Ok(images.into_result())
}

/// Builds what the daemon would build later, when nobody is left to say why a package step of ours failed.
async fn build_now(bridge: &Bridge, image: &Image, install: &Install) -> Result<(), Failure> {
    let Some(root) = &image.root else { return Ok(()) };
    bridge.evaluate(root).await.map_err(|failure| explained(failure, install))
}

/// In words, if the exit code of a package step tells why it failed.
fn explained(failure: Failure, install: &Install) -> Failure {
    match failure.exit_code_of(steps::SCRIPT).and_then(Cause::by_exit_code) {
        Some(cause) => failure
            .reworded(format!("packages can't be installed: {}", cause.what()))
            .with_hint(&cause.hint(install)),
        None => failure,
    }
}

/// One run of the frontend.
struct Build<'a> {
    bridge: &'a Bridge,
    opts: &'a Opts,
    context: &'a BuildContext<'a>,
    request: &'a Request,
}

impl Build<'_> {
    /// Replaces the file system of `image` by a folder with a disk made of it.
    async fn turn_into_disk(&self, image: &mut Image) -> Result<(), Failure> {
        let platform = image.platform.clone().map_or_else(|| self.worker_platform(), Ok)?;
        let architecture =
            Architecture::from_oci(&platform.architecture).ok_or_else(|| no_machine(&platform))?;
        let definition = image.root.as_ref().and_then(|root| root.def.as_ref()).ok_or_else(empty)?;
        let graph = Arc::new(Graph::read(definition).map_err(broken)?);

        let container = image.config.as_deref().map(Container::read).transpose().map_err(odd_config)?;
        let parts = match self.request.disk.spec.profile {
            Profile::Machine => self.machine(definition, &graph, &platform).await?,
            Profile::Data => Parts { rootfs: State::from_graph(graph), boot: None, donor: None },
        };
        let hooks = self.request.disk.hooks.iter();
        let rootfs = hooks.fold(parts.rootfs, |root, hook| self.run_hook(&root, hook));
        let parts = Parts { rootfs, ..parts };
        image.root = match self.request.stage {
            Stage::Rootfs => Some(self.solve(&parts.rootfs).await?),
            _ => {
                let spec = Spec { architecture, container, ..self.request.disk.spec.clone() };
                let disk = self.assemble(&spec, &parts).await?;
                let root = self.solve(&disk).await?;
                if self.request.stage == Stage::Disk && labels(image).contains_key(OF_COMPOSE) {
                    self.warn_of_an_image(&root, &disk).await?;
                }
                Some(root)
            }
        };
        match self.request.stage {
            Stage::ContainerDisk => container_disk::describe(image, architecture, &self.request.disk.spec),
            Stage::Disk => image.config = None,
            Stage::Dockerfile | Stage::Rootfs => {}
        }
        Ok(())
    }

    /// Warns that the disk becomes a container image, at the step that makes it.
    async fn warn_of_an_image(&self, root: &proto::Ref, disk: &State) -> Result<(), Failure> {
        // Clients show warnings only of steps that they have seen.
        self.bridge.evaluate(root).await?;
        match disk.to_graph().map_err(broken)?.result() {
            Some(edge) => self.bridge.warn(edge.digest, DISK_IN_AN_IMAGE, &INSTEAD_OF_AN_IMAGE).await,
            None => Ok(()),
        }
    }

    /// What a machine is made of: the user's file system with a kernel under it or beside it.
    async fn machine(
        &self,
        definition: &Definition,
        graph: &Arc<Graph>,
        platform: &Platform,
    ) -> Result<Parts, Failure> {
        let install = &self.request.disk.install;
        let base = self.base_of(graph)?;
        let found = match &base {
            Some((_, base)) => Some(probe::probe(self, base).await?),
            None => None,
        };
        let parts = match base.as_ref().zip(found.as_ref()) {
            Some(((digest, base), found)) => {
                let plan = provision::plan(found, &platform.architecture, install)
                    .map_err(|failure| locate::at(failure.into(), definition, *digest))?;
                self.graft(graph, *digest, base, &plan)?
            }
            None => Parts { rootfs: State::from_graph(graph.clone()), boot: None, donor: None },
        };
        let Some(donor) = provision::donor(found.as_ref(), install) else { return Ok(parts) };
        let donor = self.donor(donor, platform).await;
        let (donor, boot) = donor.map_err(|failure| match &base {
            Some((digest, _)) => locate::at(failure, definition, *digest),
            None => failure,
        })?;
        // Kernel and boot loader are signed by the same hand.
        Ok(Parts { boot, donor: Some(donor), ..parts })
    }

    /// The image the result stands on and its op; `None` for one `FROM scratch`.
    fn base_of(&self, graph: &Arc<Graph>) -> Result<Option<(OpDigest, BaseImage)>, Failure> {
        match graph.base().map_err(broken)? {
            Base::Image { digest, identifier, .. } => {
                let state = State::from_edge(graph.clone(), llb::Edge { digest, index: 0 });
                Ok(Some((digest, BaseImage { name: shown_image(&identifier), state })))
            }
            Base::Scratch => Ok(None),
            Base::Other { what, .. } => {
                Err(Failure::new(format!("the last stage stands on {what}, not on an image"))
                    .with_hint("start it FROM an image of a distribution, such as debian:12"))
            }
        }
    }

    /// The user's file system on a base with a kernel, and the stage with the boot loader files.
    fn graft(
        &self,
        graph: &Arc<Graph>,
        digest: OpDigest,
        base: &BaseImage,
        plan: &Plan,
    ) -> Result<Parts, Failure> {
        let rootfs = match &plan.machine {
            None => State::from_graph(graph.clone()),
            Some(step) => {
                let head = self.run_step(&base.state, step)?.root();
                State::from_graph(graph.graft(digest, &head).map_err(broken)?)
            }
        };
        let boot = plan.boot.as_ref().map(|step| self.run_boot_step(&base.state, step)).transpose()?;
        Ok(Parts { rootfs, boot, donor: None })
    }

    /// The file system of an image called `name` with a kernel in it, and its boot loader files. It depends on
    /// nothing of the user's, so it is made once.
    async fn donor(&self, name: &str, platform: &Platform) -> Result<(State, Option<State>), Failure> {
        let state = self.image(name, platform).await?;
        let image = BaseImage { name: name.to_owned(), state };
        let found = probe::probe(self, &image).await?;
        let plan = provision::plan_donor(&found, &platform.architecture, &self.request.disk.install)?;
        let boot = plan.boot.as_ref().map(|step| self.run_boot_step(&image.state, step)).transpose()?;
        let installed = plan.machine.as_ref().map(|step| self.run_step(&image.state, step)).transpose()?;
        Ok((installed.map_or(image.state, |run| run.root()), boot))
    }

    /// Hands a state to the daemon. It is built when it is read or exported.
    async fn solve(&self, state: &State) -> Result<proto::Ref, Failure> {
        self::hand_over(self.bridge, self.opts, state).await
    }

    /// What the daemon runs natively.
    fn worker_platform(&self) -> Result<Platform, Failure> {
        let native = self.opts.workers().first().and_then(|worker| worker.platforms.first());
        native.cloned().ok_or_else(|| Failure::new("BuildKit names no platform of its worker"))
    }
}

/// Hands a state to the daemon. It is built when it is read or exported.
async fn hand_over(bridge: &Bridge, opts: &Opts, state: &State) -> Result<proto::Ref, Failure> {
    let request = proto::SolveRequest {
        definition: Some(state.marshal().map_err(broken)?),
        cache_imports: opts.cache_imports()?,
        ..Default::default()
    };
    let images = Images::read(bridge.solve(request).await?)?;
    let root = images.images.into_iter().next().and_then(|image| image.root);
    root.ok_or_else(|| Failure::new("BuildKit answered a build without a file system"))
}

/// The labels in an image's config.
fn labels(image: &Image) -> BTreeMap<String, String> {
    #[derive(Default, serde::Deserialize)]
    struct Config {
        #[serde(default)]
        config: Inner,
    }
    #[derive(Default, serde::Deserialize)]
    struct Inner {
        #[serde(default, rename = "Labels")]
        labels: Option<BTreeMap<String, String>>,
    }
    let config = image.config.as_deref().and_then(|json| serde_json::from_slice::<Config>(json).ok());
    config.and_then(|config| config.config.labels).unwrap_or_default()
}

/// What the assemble step is given.
struct Parts {
    /// The user's file system.
    rootfs: State,
    /// A folder with boot loader files.
    boot: Option<State>,
    /// The file system that the kernel is taken from; `None`: the user's.
    donor: Option<State>,
}

/// An image to install on.
struct BaseImage {
    /// As the user would write it.
    name: String,
    state: State,
}

/// `docker-image://docker.io/library/debian:12@sha256:…` as `debian:12`.
fn shown_image(identifier: &str) -> String {
    let reference = identifier.split_once("://").map_or(identifier, |(_, reference)| reference);
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let short = name.strip_prefix("docker.io/library/").or_else(|| name.strip_prefix("docker.io/"));
    short.unwrap_or(name).to_owned()
}

/// `debian:12` as `docker.io/library/debian:12`: sources are named in full.
fn full_reference(name: &str) -> String {
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let tagged = path.contains('@') || path.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if tagged { format!("{host}/{path}") } else { format!("{host}/{path}:latest") }
}

fn empty() -> Failure {
    Failure::new("the last stage is empty: there is nothing to make a disk of")
        .with_hint("COPY something into it")
}

fn no_machine(platform: &Platform) -> Failure {
    Failure::new(format!("no machine can be made for {platform}"))
        .with_hint("the platforms are linux/amd64 and linux/arm64")
}

/// A configuration that is not as images have it, which a frontend of the user's may have written.
fn odd_config(error: serde_json::Error) -> Failure {
    Failure::new(format!("the image's configuration is not as specified: {error}"))
}

/// A graph of the daemon's own making that does not hold together.
fn broken(error: llb::Error) -> Failure {
    Failure::new(format!("the build graph: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{full_reference, shown_image};

    #[test]
    fn images_are_named_in_full() {
        for (name, full) in [
            ("vmimage", "docker.io/library/vmimage:latest"),
            ("example/vmimage", "docker.io/example/vmimage:latest"),
            ("example/vmimage:1@sha256:00", "docker.io/example/vmimage:1@sha256:00"),
            ("localhost/vmimage", "localhost/vmimage:latest"),
            ("host:5000/team/vmimage:2", "host:5000/team/vmimage:2"),
        ] {
            assert_eq!(full_reference(name), full);
        }
    }

    #[test]
    fn images_are_shown_as_users_write_them() {
        for (identifier, shown) in [
            ("docker-image://docker.io/library/debian:12@sha256:00", "debian:12"),
            ("docker-image://docker.io/team/app:1", "team/app:1"),
            ("docker-image://host:5000/app:1@sha256:00", "host:5000/app:1"),
        ] {
            assert_eq!(shown_image(identifier), shown);
        }
    }
}
