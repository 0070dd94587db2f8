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

mod assembly;
mod context;
mod image;
mod images;
mod locate;
mod machine;
mod probe;
mod request;
mod stages;
mod steps;

use std::sync::Arc;

use exporter::assemble::of_root;
use exporter::spec::{Profile, Spec};
use futures_util::future::{try_join, try_join_all};
use llb::{Graph, State};

use crate::ask::Install;
use crate::ask::config::Configuration;
use crate::ask::request::{Request, Stage};
use crate::base::{Error, Result};
use crate::gateway::{Bridge, Image, Images, Opts, Platform, delegate, exit_code_of, is_not_found, proto};
use crate::provision::{self, Cause};
use context::BuildContext;

/// The label of what Docker Compose builds, which always becomes an image.
const OF_COMPOSE: &str = "com.docker.compose.service";
/// What is wrong with a disk as an image.
pub(crate) const DISK_IN_AN_IMAGE: &str =
    "the Dockerfile makes a disk: this image holds it and cannot be run as a container";
/// What to do about it.
pub(crate) const INSTEAD_OF_AN_IMAGE: [&str; 2] = [
    "for the disk: vmimage build -o web.qcow2, or docker build -o type=vmdisk,dest=web.qcow2 after vmimage install",
    "for the disk in an image, as KubeVirt takes it: the build argument VMIMAGE_STAGE=containerdisk",
];

/// Builds what the user's Dockerfile describes and returns it as a disk, one for each platform.
pub(crate) async fn solve(bridge: &Bridge, opts: &Opts) -> Result<proto::Result> {
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
        let request = request.over(&image.says.labels, &loaded)?;
        let build = Build { bridge, opts, context: &context, request: &request };
        build.turn_into_disk(image).await?;
        installs.push(request.disk.install);
    }
    let built = images.images.iter().zip(&installs).map(|(image, install)| build_now(bridge, image, install));
    try_join_all(built).await?;
    Ok(images.into_result())
}

/// Builds what the daemon would build later, when nobody is left to say why a package step of ours failed.
async fn build_now(bridge: &Bridge, image: &Image, install: &Install) -> Result<()> {
    let Some(root) = &image.root else { return Ok(()) };
    bridge.evaluate(root).await.map_err(|error| explained(error, install))
}

/// In words, if the exit code of a package step tells why it failed.
fn explained(error: Error, install: &Install) -> Error {
    match exit_code_of(&error, steps::SCRIPT).and_then(Cause::by_exit_code) {
        Some(cause) => error
            .reworded(format!("packages cannot be installed: {}", cause.what()))
            .with_hint(cause.hint(install)),
        None => error,
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
    async fn turn_into_disk(&self, image: &mut Image) -> Result<()> {
        let platform = image.platform.clone().map_or_else(|| self.worker_platform(), Ok)?;
        let architecture = provision::architecture(&platform.to_string())?;
        let definition = image.root.as_ref().and_then(|root| root.def.as_ref()).ok_or_else(empty)?;
        let graph = Arc::new(Graph::read(definition).map_err(broken)?);

        let container = image.config.is_some().then(|| image.says.container.clone());
        let parts = match self.request.disk.spec.profile {
            Profile::Machine | Profile::Microvm => {
                self.machine(definition, &graph, &platform, architecture).await?
            }
            Profile::Data => Parts { rootfs: State::from_graph(graph), boot: None, donor: None },
        };
        let hooks = self.request.disk.hooks.iter();
        let rootfs = hooks.fold(parts.rootfs, |root, hook| self.run_hook(&root, hook));
        let parts = Parts { rootfs, ..parts };
        image.root = match self.request.stage {
            Stage::Rootfs => Some(self.solve(&parts.rootfs).await?),
            Stage::KubeOs if self.request.disk.spec.layout.has_verity() => return Err(no_hashes()),
            Stage::KubeOs => {
                let spec = of_root(&Spec { architecture, ..self.request.disk.spec.clone() });
                Some(self.solve(&self.os_tar(&spec, &parts.rootfs).await?).await?)
            }
            _ => {
                let stages = self.stages(&platform).await?;
                let spec = Spec { architecture, container, ..self.request.disk.spec.clone() };
                let disk = self.assemble(&spec, &parts, &stages).await?;
                let root = self.solve(&disk).await?;
                if self.request.stage == Stage::Disk && image.says.labels.contains_key(OF_COMPOSE) {
                    self.warn_of_an_image(&root, &disk).await?;
                }
                Some(root)
            }
        };
        match self.request.stage {
            stage @ (Stage::ContainerDisk | Stage::Update | Stage::KubeOs) => {
                image::describe(image, stage, architecture, &self.request.disk.spec);
            }
            Stage::Disk => image.config = None,
            Stage::Dockerfile | Stage::Rootfs => {}
        }
        Ok(())
    }

    /// Warns that the disk becomes a container image, at the step that makes it.
    async fn warn_of_an_image(&self, root: &proto::Ref, disk: &State) -> Result<()> {
        // Clients show warnings only of steps that they have seen.
        self.bridge.evaluate(root).await?;
        match disk.to_graph().map_err(broken)?.result() {
            Some(edge) => self.bridge.warn(edge.digest, DISK_IN_AN_IMAGE, &INSTEAD_OF_AN_IMAGE).await,
            None => Ok(()),
        }
    }

    /// Hands a state to the daemon. It is built when it is read or exported.
    async fn solve(&self, state: &State) -> Result<proto::Ref> {
        self::hand_over(self.bridge, self.opts, state).await
    }

    /// What the daemon runs natively.
    fn worker_platform(&self) -> Result<Platform> {
        let native = self.opts.workers().first().and_then(|worker| worker.platforms.first());
        native.cloned().ok_or_else(|| Error::user("BuildKit names no platform of its worker"))
    }
}

/// Hands a state to the daemon. It is built when it is read or exported.
async fn hand_over(bridge: &Bridge, opts: &Opts, state: &State) -> Result<proto::Ref> {
    let request = proto::SolveRequest {
        definition: Some(state.marshal().map_err(broken)?),
        cache_imports: opts.cache_imports()?,
        ..Default::default()
    };
    let images = Images::read(bridge.solve(request).await?)?;
    let root = images.images.into_iter().next().and_then(|image| image.root);
    root.ok_or_else(|| Error::user("BuildKit answered a build without a file system"))
}

/// `None` for what is not there.
fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
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

fn empty() -> Error {
    Error::user("the last stage is empty: there is nothing to make a disk of")
        .with_hint("COPY something into it")
}

fn no_hashes() -> Error {
    Error::user("kubeos has a tar of the root, and the root is to have verity: a tar has no hashes")
        .with_hint("make an update, which has them: --format update; or leave verity out")
}

/// A graph of the daemon's own making that does not hold together.
fn broken(error: llb::Error) -> Error {
    Error::user(format!("the build graph: {error}"))
}
