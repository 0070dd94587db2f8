//! An image that is here, given to an engine so that a Dockerfile can stand on it.
//!
//! | engine | by |
//! |---|---|
//! | docker with the containerd image store, and every builder that is no daemon's own | a named context: `oci-layout://` |
//! | docker with its classic image store, which knows no such contexts | `docker load` |
//! | podman, buildah | `pull oci:`; what is in their store already goes by its name |
//!
//! A name alone would not do for docker's containerd image store: it asks the registry first and may come back with
//! another image.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use exporter::image::Written;

use super::buildah::Tool;
use super::{Engine, buildx};
use crate::base::reference::Reference;
use crate::base::{Error, Result};

/// The named context that stands for the image.
const CONTEXT: &str = "vmimage-source";

/// How an engine gets an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As a named context of the build.
    Context,
    /// Into docker's classic store.
    Load,
    /// Into the store that podman and buildah share.
    Pull(Tool),
}

impl Way {
    /// That of an engine; `builder` is the builder of buildx, if one was asked for.
    pub(crate) fn to(engine: Engine, builder: Option<&str>) -> Result<Self> {
        Ok(match engine {
            Engine::Docker if buildx::takes_layouts(builder)? => Self::Context,
            Engine::Docker => Self::Load,
            Engine::Store(tool) => Self::Pull(tool),
        })
    }
}

/// An image as an engine knows it; gone from there with this value, if it was not there before.
pub(crate) struct HandedOver {
    /// What to write after `FROM`.
    pub(crate) name: String,
    /// Options that the build needs for it.
    pub(crate) options: Vec<String>,
    _added: Option<Added>,
}

impl HandedOver {
    /// An image that the engine has.
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), options: Vec::new(), _added: None }
    }

    /// The image in the OCI layout `folder`, which must stay there as long as this value. `name` is what
    /// docker's classic store is to call it.
    pub(crate) fn hand_over(way: Way, folder: &Path, name: &str, written: &Written) -> Result<Self> {
        match way {
            Way::Context => {
                let layout = format!("oci-layout://{}@{}", folder.display(), written.manifest);
                Ok(Self {
                    options: vec![format!("--build-context={CONTEXT}={layout}")],
                    ..Self::named(CONTEXT)
                })
            }
            Way::Load => load(folder, name),
            Way::Pull(tool) => pull(tool, folder, name, &written.id),
        }
    }
}

/// An image that was added to a store, by the command that removes it.
struct Added(Command);

impl Added {
    fn new(program: &str, words: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(words);
        Self(command)
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        // Best effort: layers that later builds go on from stay, whatever becomes of the name. What ends this
        // process must not end the cleaning up.
        let _ = self.0.process_group(0).stdin(Stdio::null()).output();
    }
}

/// `docker load` of the folder as a tar.
fn load(folder: &Path, name: &str) -> Result<HandedOver> {
    let added = Added::new("docker", &["image", "rm", name]);
    let base = HandedOver { _added: Some(added), ..HandedOver::named(name) };
    let mut command = Command::new("docker");
    command.args(["load", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().map_err(buildx::cannot_start)?;
    let mut archive = tar::Builder::new(process.stdin.take().expect("stdin was asked to be a pipe"));
    let sent = archive.append_dir_all("", folder).and_then(|()| archive.into_inner()?.flush());
    let failed = || Error::build("docker load: does not take the image");
    let output = process.wait_with_output().map_err(|error| failed().because(error))?;
    let reason = String::from_utf8_lossy(&output.stderr);
    match (output.status.success(), reason.lines().last(), sent) {
        (true, _, Ok(())) => Ok(base),
        (_, Some(reason), _) => Err(failed().because(reason.to_owned())),
        (_, None, Err(error)) => Err(failed().because(error)),
        (false, None, Ok(())) => Err(failed().because(output.status.to_string())),
    }
}

/// `pull oci:`, by which the image gets its place as its name: the last part of it alone, since a name may have
/// no capital letters.
fn pull(tool: Tool, folder: &Path, name: &str, digest: &str) -> Result<HandedOver> {
    let id = digest.trim_start_matches("sha256:");
    let run = |words: &[&str]| Command::new(tool.name()).args(words).stdin(Stdio::null()).output();
    let is_there = run(&["inspect", "--type", "image", id]).map_err(|error| tool.cannot_start(error))?;
    if is_there.status.success() {
        return Ok(HandedOver::named(id));
    }
    let added = Added::new(tool.name(), &["rmi", id]);
    let base = HandedOver { _added: Some(added), ..HandedOver::named(id) };
    let reference: Reference = name.parse().map_err(|odd| Error::internal(format!("{name}: {odd}")))?;
    let tag = reference.version();
    let place = folder.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let mut pull = Command::new(tool.name());
    pull.args(["pull", "--quiet", &format!("oci:{place}:{tag}")]).stdin(Stdio::null());
    let pulled = pull.current_dir(folder.parent().unwrap_or(folder)).output();
    let pulled = pulled.map_err(|error| tool.cannot_start(error))?;
    match pulled.status.success() {
        true => Ok(base),
        false => {
            let reason = String::from_utf8_lossy(&pulled.stderr).trim().to_owned();
            Err(Error::build(format!("{} pull: does not take the image", tool.name())).because(reason))
        }
    }
}
