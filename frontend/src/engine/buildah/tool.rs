//! buildah and podman: two programs over one store, and what is asked of them here.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use exporter::spec::{Healthcheck, ImageConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::leftovers::Leftovers;
use crate::ask::Install;
use crate::base::interrupt::Interrupt;
use crate::base::programs::Package;
use crate::base::{Error, Result};
use crate::provision::Cause;

/// The program that is used. A build of podman is one of buildah.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Podman,
    Buildah,
}

impl Tool {
    /// Both, the better first.
    pub(crate) const ALL: [Self; 2] = [Self::Podman, Self::Buildah];

    /// Its name in `PATH`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Buildah => "buildah",
        }
    }

    /// Its version and where its images lie; without root that it can make its user namespace is shown too.
    pub(crate) fn store(self) -> Result<String> {
        let ask = |words: &[&str]| {
            let output = Command::new(self.name()).args(words).stdin(Stdio::null()).output();
            let output = output.map_err(|error| self.cannot_start(error))?;
            match output.status.success() {
                true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
                false => Err(explained(Error::user(format!("{}: does not work", self.name())), &output)),
            }
        };
        // "podman version 4.3.1", "buildah version 1.28.2 (image-spec 1.1.0-rc2, …)"
        let version = ask(&["--version"])?;
        let version = version.split_whitespace().nth(2).unwrap_or("of unknown version").to_owned();
        let images = match self {
            Self::Podman => "{{.Store.GraphRoot}}",
            Self::Buildah => "{{.store.GraphRoot}}",
        };
        Ok(format!("{version}, images in {}", ask(&["info", "--format", images])?))
    }

    /// That there is no such program, or that it does not start.
    pub(crate) fn cannot_start(self, error: io::Error) -> Error {
        let package = match self {
            Self::Podman => Package::Podman,
            Self::Buildah => Package::Buildah,
        };
        match error.kind() {
            io::ErrorKind::NotFound => {
                Error::user(format!("{}: is not installed", self.name())).with_hint(package.hint())
            }
            _ => Error::user(format!("{}: cannot be started", self.name())).because(error),
        }
    }
}

/// The store of containers-storage(5), by way of a program.
pub(crate) struct Store<'a> {
    pub(crate) tool: Tool,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) leftovers: &'a Leftovers,
    /// Show no progress of the builds.
    pub(crate) quiet: bool,
}

/// One build.
pub(super) struct Build<'a> {
    /// For messages.
    pub(super) what: &'a str,
    pub(super) context: &'a Path,
    pub(super) containerfile: &'a Path,
    pub(super) options: &'a [String],
    /// What a step of this program's own installs: its exit code says why it failed.
    pub(super) install: Option<&'a Install>,
}

/// What is known of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct About {
    /// The name of its instruction set in container platforms.
    pub(super) architecture: String,
    /// Its containers' user is that of the next steps, too.
    pub(super) config: ImageConfig,
}

impl Store<'_> {
    /// Builds, with the layers of earlier builds where they are the same; the id of the image.
    ///
    /// Of the two formats only docker's has a place for `HEALTHCHECK` and `SHELL`.
    pub(super) fn build(&self, build: &Build<'_>) -> Result<String> {
        let id = self.leftovers.folder().join("id");
        let mut command = self.command(["build", "--layers", "--force-rm", "--format=docker"]);
        command.args(self.quiet.then_some("--quiet"));
        command.arg(self.leftovers.mark()).arg("--iidfile").arg(&id).arg("--file").arg(build.containerfile);
        command.args(build.options).arg("--").arg(build.context);
        // stdout is for what this program makes.
        let stderr = io::stderr().as_fd().try_clone_to_owned();
        command.stdout(stderr.map_err(|error| self.tool.cannot_start(error))?);
        // A process group of its own: what is typed at the terminal reaches it only through this process,
        // and so once; a second signal would end it before it has cleaned up.
        command.stdin(Stdio::null()).process_group(0);
        let output = self.interrupt.run(&mut command, |error| self.tool.cannot_start(error));
        if !output.as_ref().is_ok_and(|output| output.status.success()) {
            self.leftovers.clear();
        }
        let output = output?;
        if !output.status.success() {
            return Err(self.build_failed(build, &output));
        }
        let id = std::fs::read_to_string(&id).unwrap_or_default();
        // "sha256:…" of the one, the bare digits of the other: both take the digits.
        let id = id.trim();
        match id.strip_prefix("sha256:").unwrap_or(id) {
            "" => Err(Error::build(format!("{}: {} left no id", self.tool.name(), build.what))),
            id => Ok(id.to_owned()),
        }
    }

    /// Looks at an image that is in the store.
    pub(super) fn about(&self, image: &str) -> Result<About> {
        match self.tool {
            Tool::Podman => {
                let [image] = self.ask::<[PodmanImage; 1]>(["image", "inspect", image])?;
                Ok(image.into())
            }
            Tool::Buildah => Ok(self.ask::<BuildahImage>(["inspect", "--type", "image", image])?.into()),
        }
    }

    /// Shows the files of an image as a directory.
    pub(super) fn mount(&self, image: &str) -> Result<Mounted> {
        match self.tool {
            Tool::Podman => {
                let path = self.text(["image", "mount", image])?;
                Ok(Mounted { tool: self.tool, what: image.to_owned(), path: path.into() })
            }
            Tool::Buildah => {
                let container = self.text(["from", "--quiet", "--pull-never", image])?;
                // From now on there is something to remove.
                let mut mounted = Mounted { tool: self.tool, what: container, path: PathBuf::new() };
                mounted.path = self.text(["mount", &mounted.what])?.into();
                Ok(mounted)
            }
        }
    }

    fn ask<T: DeserializeOwned>(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<T> {
        let answer = self.text(arguments)?;
        let odd = |error| {
            Error::internal(format!("{}: its answer makes no sense", self.tool.name())).because(error)
        };
        serde_json::from_str::<T>(&answer).map_err(odd)
    }

    /// What a short command prints, without the end of its last line. No signal ends it: what it mounts is
    /// known then, and so is unmounted.
    fn text(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
        let mut command = self.command(arguments);
        self.interrupt.check()?;
        let output = command.process_group(0).stdin(Stdio::null()).output();
        let output = output.map_err(|error| self.tool.cannot_start(error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let words = command.get_args().take_while(|word| !word.as_encoded_bytes().starts_with(b"-"));
        let words: Vec<_> = words.take(2).map(OsStr::to_string_lossy).collect();
        Err(explained(self.failed(&words.join(" "), &output), &output))
    }

    fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(self.tool.name());
        command.args(arguments).env("TMPDIR", self.leftovers.folder());
        command
    }

    /// In words, if it is a package step whose exit code tells why it failed.
    fn build_failed(&self, build: &Build<'_>, output: &Output) -> Error {
        match build.install.zip(output.status.code().and_then(Cause::by_exit_code)) {
            Some((install, cause)) => {
                Error::build(format!("{}: {}", build.what, cause.what())).with_hint(cause.hint(install))
            }
            None if output.status.code().is_some() => self.failed(build.what, output).told(),
            // What was ended by a signal has not said so.
            None => self.failed(build.what, output),
        }
    }

    fn failed(&self, what: &str, output: &Output) -> Error {
        use std::os::unix::process::ExitStatusExt;
        let failed = Error::build(format!("{what}: {} ended with {}", self.tool.name(), output.status));
        match output.status.signal() {
            Some(_) => failed.with_hint("something ended it: for want of memory the kernel does, see dmesg"),
            None => failed,
        }
    }
}

/// With what a program has said at the end about why it failed.
fn explained(failed: Error, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    match said.lines().last() {
        Some(reason) => failed.because(reason.trim_start_matches("Error: ")),
        None => failed,
    }
}

/// The files of an image as a directory; no longer when dropped.
pub(crate) struct Mounted {
    tool: Tool,
    /// The image, or the container that was made for it.
    what: String,
    path: PathBuf,
}

impl Mounted {
    /// Where they are.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let words: &[&str] = match self.tool {
            Tool::Podman => &["image", "unmount"],
            Tool::Buildah => &["rm"],
        };
        let mut command = Command::new(self.tool.name());
        // What ends this process must not end the cleaning up.
        let _ = command.args(words).arg(&self.what).process_group(0).stdin(Stdio::null()).output();
    }
}

/// The part of `podman image inspect` that is needed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PodmanImage {
    architecture: String,
    config: Option<ImageConfig>,
    /// Beside the rest, where docker has it among it.
    healthcheck: Option<Healthcheck>,
}

/// The part of `buildah inspect` that is needed.
#[derive(Deserialize)]
struct BuildahImage {
    #[serde(rename = "Docker")]
    docker: DockerImage,
}

#[derive(Deserialize)]
struct DockerImage {
    architecture: String,
    config: Option<ImageConfig>,
}

impl From<PodmanImage> for About {
    fn from(image: PodmanImage) -> Self {
        let mut config = image.config.unwrap_or_default();
        config.container.healthcheck = image.healthcheck.or(config.container.healthcheck);
        Self { architecture: image.architecture, config }
    }
}

impl From<BuildahImage> for About {
    fn from(image: BuildahImage) -> Self {
        Self { architecture: image.docker.architecture, config: image.docker.config.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What podman 4.3 and buildah 1.28 say of the same image, shortened.
    const PODMAN: &str = r#"{"Architecture":"amd64","Config":{"User":"www-data","ExposedPorts":{"80/tcp":{}},
        "Env":["A=b c"],"Entrypoint":["cat"],"Cmd":["-"],"Volumes":{"/data":{}},"WorkingDir":"/srv",
        "StopSignal":"SIGQUIT"},"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":2}}"#;
    const BUILDAH: &str = r#"{"Docker":{"architecture":"amd64","config":{"Hostname":"472c677791d4","Tty":false,
        "User":"www-data","ExposedPorts":{"80/tcp":{}},"Env":["A=b c"],"Entrypoint":["cat"],"Cmd":["-"],
        "Volumes":{"/data":{}},"WorkingDir":"/srv","OnBuild":[],"StopSignal":"SIGQUIT",
        "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":2}}}}"#;

    #[test]
    fn both_programs_say_the_same_of_an_image() {
        let podman = About::from(serde_json::from_str::<PodmanImage>(PODMAN).unwrap());
        let buildah = About::from(serde_json::from_str::<BuildahImage>(BUILDAH).unwrap());
        assert_eq!(podman, buildah);
        let container = podman.config.container;
        assert_eq!(container.command().collect::<Vec<_>>(), ["cat", "-"]);
        assert_eq!((&*container.user, &*container.working_dir), ("www-data", "/srv"));
        assert_eq!((&*container.stop_signal, container.volumes.len()), ("SIGQUIT", 1));
        assert_eq!(container.healthcheck.unwrap().retries(), 2);
    }

    #[test]
    fn an_image_may_have_no_configuration() {
        for config in ["null", "{}", r#"{"OnBuild":null,"User":""}"#] {
            let json = format!(r#"{{"Architecture":"arm64","Config":{config}}}"#);
            let about = About::from(serde_json::from_str::<PodmanImage>(&json).unwrap());
            let expected = About { architecture: "arm64".into(), config: ImageConfig::default() };
            assert_eq!(about, expected, "{config}");
        }
    }
}
