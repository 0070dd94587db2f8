//! `docker buildx build`, with its result streamed into this process.

use std::ffi::OsStr;
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
