//! `docker buildx build`, with its result streamed into this process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{ChildStdout, Command, ExitCode, ExitStatus, Stdio};

use crate::base::child::{self, Undelivered};
use crate::base::programs::Package;
use crate::base::{Error, Result};

/// The version of the docker plugin, or what is missing.
pub(crate) fn version() -> Result<String> {
    let output = Command::new("docker").args(["buildx", "version"]).output().map_err(cannot_start)?;
    if !output.status.success() {
        let buildx = Error::user("docker buildx: the plugin is not installed");
        return Err(buildx.with_hint(Package::Buildx.hint()));
    }
    // "github.com/docker/buildx v0.13.1 788433953af10f2a698f5c07611dddce2e08c7a0"
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().nth(1).unwrap_or("of unknown version").to_owned())
}

/// The version of the engine behind the docker command, or why it does not answer.
pub(crate) fn daemon_version() -> Result<String> {
    let output = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    let output = output.map_err(cannot_start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    let reason = reason.lines().last().unwrap_or_default().trim();
    let hint = match reason.contains("permission denied") {
        true => "let yourself in, then log in again: sudo usermod -aG docker $USER",
        false => "start it: systemctl start docker",
    };
    let daemon = Error::user("the docker daemon: does not answer").with_hint(hint);
    Err(if reason.is_empty() { daemon } else { daemon.because(reason) })
}

pub(super) fn cannot_start(error: io::Error) -> Error {
    Error::user("docker: cannot be started").because(error).with_hint(Package::Docker.hint())
}

/// Whether an image in an OCI layout can be a named context of a build: everywhere but where the daemon itself
/// builds and keeps its images in the classic store.
pub(crate) fn takes_layouts(builder: Option<&str>) -> Result<bool> {
    let ask = |words: &[&str]| {
        let output = Command::new("docker").args(words).output().map_err(cannot_start)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        version()?;
        daemon_version()?;
        let reason = String::from_utf8_lossy(&output.stderr);
        let reason = reason.lines().last().unwrap_or_default().trim().to_owned();
        Err(Error::user(format!("docker {}: fails", words[..2].join(" "))).because(reason))
    };
    let inspect = ["buildx", "inspect"].into_iter().chain(builder).collect::<Vec<_>>();
    let told = ask(&inspect)?;
    let driver = told.lines().find_map(|line| line.strip_prefix("Driver:")).map(str::trim);
    if driver.is_some_and(|driver| driver != "docker") {
        return Ok(true);
    }
    // The classic store's drivers say other things of themselves.
    Ok(ask(&["info", "--format", "{{.DriverStatus}}"])?.contains("io.containerd.snapshotter"))
}

/// True if the daemon has `image`, so that no registry is needed for it.
pub(crate) fn has_image(image: &str) -> bool {
    let mut command = Command::new("docker");
    command.args(["image", "inspect", "--format", "{{.Id}}", image]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs `docker buildx build` with `arguments` for what it says; its exit code is this program's.
pub(crate) fn ask(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<ExitCode> {
    let mut command = Command::new("docker");
    let ended = child::run(command.args(["buildx", "build"]).args(arguments)).map_err(cannot_start)?;
    let code = ended.status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// An image of the daemon with a name of this process's own, which it has until this is dropped.
pub(crate) struct Tagged(String);

impl Tagged {
    /// Builds it, with `frontend` if the Dockerfile names no other. Progress and errors go to this process's stderr.
    ///
    /// # Errors
    /// If the build fails.
    pub(crate) fn build(name: String, arguments: &[OsString], frontend: &str) -> Result<Self> {
        // Layers that are made now need not be compressed, as they are read at once.
        let output = ["--output=type=docker,compression=uncompressed", "--provenance=false", "--sbom=false"];
        let mut command = Command::new("docker");
        command.args(["buildx", "build"]).args(output).arg(format!("--tag={name}")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let ended = child::run(&mut command).map_err(cannot_start)?;
        match (ended.interrupted, ended.status.success()) {
            (true, _) => Err(Error::user("the build was interrupted")),
            (false, true) => Ok(Self(name)),
            (false, false) => Err(failed_why(ended.status, frontend, false)),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        let mut command = Command::new("docker");
        command.args(["image", "rm", "--no-prune", "--", &self.0]);
        // An image that is left is in nobody's way, and `docker images` shows it.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// What can be found out after docker has said that it failed. Asking before would delay every build. `names_builder`: it was
/// told to have another one build than the local daemon's.
pub(crate) fn failed_why(status: ExitStatus, frontend: &str, names_builder: bool) -> Error {
    if let Err(missing) = version() {
        return missing;
    }
    let failed = Error::build(format!("the build failed: docker buildx build ended with {status}"));
    // One that was ended by a signal has not said so.
    let failed = if status.code().is_some() { failed.told() } else { failed };
    if names_builder || std::env::var_os("BUILDX_BUILDER").is_some() {
        // Not the local daemon's build, so what that daemon has and does explains nothing.
        return failed;
    }
    if let Err(daemon) = daemon_version() {
        return daemon;
    }
    match has_image(frontend) {
        true => failed,
        false => failed.with_hint(format!("if the frontend was not found: docker pull {frontend}")),
    }
}

/// Runs `docker buildx build` with `arguments` and hands its stdout to `receive`.
///
/// `failed_why` is asked for the error after the engine has failed by itself.
///
/// Its progress and its errors go to this process's stderr. A signal that asks this process to end is
/// passed on, and the end of the build awaited; so is the end of a build whose result is refused.
pub(crate) fn build<T>(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    receive: impl FnOnce(ChildStdout) -> Result<T, Undelivered>,
    failed_why: impl FnOnce(ExitStatus) -> Error,
) -> Result<T> {
    let mut command = Command::new("docker");
    command.args(["buildx", "build"]).args(arguments);
    let (ended, received) = child::receive_from(&mut command, receive).map_err(cannot_start)?;
    if ended.interrupted && (received.is_err() || !ended.status.success()) {
        return Err(Error::user("the build was interrupted"));
    }
    match received {
        Ok(result) if ended.status.success() => Ok(result),
        Err(Undelivered::Refused(error)) => Err(error),
        Err(Undelivered::EndedEarly(error)) if ended.status.success() => Err(error),
        _ => Err(failed_why(ended.status)),
    }
}
