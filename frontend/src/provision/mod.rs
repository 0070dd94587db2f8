//! What to install so that a container image becomes a machine: one file per package manager.
//!
//! Everything here is pure: [`Base`] says what an image has, [`plan`] says which step it needs.

mod apk;
mod apt;

use exporter::tree::os::OsRelease;

use crate::gateway::Failure;

/// What probing a base image found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base {
    /// The image's reference, for messages.
    pub(crate) name: String,
    /// Its os-release; empty fields if it has none.
    pub(crate) os: Option<OsRelease>,
    /// Every path of [`probes`] that exists.
    pub(crate) present: Vec<&'static str>,
    /// Whether a kernel with an initramfs lies in `/boot`.
    pub(crate) kernel: bool,
}

impl Base {
    fn has(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.present.contains(path))
    }

    fn shown(&self) -> String {
        match &self.os {
            Some(os) => format!("{} is {} (ID={})", self.name, os.pretty_name(), os.id()),
            None => format!("{} has no /etc/os-release", self.name),
        }
    }
}

/// A package and the files that show it is there already.
struct Package {
    name: &'static str,
    shown_by: &'static [&'static str],
}

/// One unprivileged step: a shell script with arguments, and a cache folder that outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Name of the step in the build's progress.
    pub(crate) title: String,
    /// For `sh -c`.
    pub(crate) script: String,
    /// `$1` and so on.
    pub(crate) args: Vec<String>,
    /// Id of the cache mount at [`CACHE`].
    pub(crate) cache: String,
}

/// Where a step finds its cache mount.
pub(crate) const CACHE: &str = "/var/cache/vmimage";

/// Where a boot stage leaves its files.
pub(crate) const BOOT_OUT: &str = "/vmimage-boot";

/// What a base image needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Installs kernel, initramfs and init on the base; `None`: the base has them all.
    pub(crate) machine: Option<Step>,
    /// Collects boot loader files into [`BOOT_OUT`]; `None`: the distribution has none we know, the
    /// frontend's own are used.
    pub(crate) boot: Option<Step>,
}

/// Every path whose presence the plan asks about.
pub(crate) fn probes() -> impl Iterator<Item = &'static str> {
    let files = |packages: &'static [Package]| packages.iter().flat_map(|package| package.shown_by.iter().copied());
    [apt::TOOL, apk::TOOL].into_iter().chain(files(apt::MACHINE)).chain(files(apk::MACHINE))
}

/// The steps for `base` on `architecture` (`amd64`, `arm64`); `kernel` is a package asked for by name.
pub(crate) fn plan(base: &Base, architecture: &str, kernel: Option<&str>) -> Result<Plan, Failure> {
    if base.has(&[apt::TOOL]) {
        return Ok(apt::plan(base, architecture, kernel));
    }
    if base.has(&[apk::TOOL]) {
        return Ok(apk::plan(base, kernel));
    }
    if base.kernel && kernel.is_none() {
        return Ok(Plan { machine: None, boot: None });
    }
    Err(unsupported(base))
}

/// The one error for an image nothing can be installed on.
fn unsupported(base: &Base) -> Failure {
    let family = base.os.as_ref().is_some_and(|os| os.is_like("debian") || os.is_like("alpine"));
    let message = match family {
        true => format!("base image {}, but it has no package manager to install a kernel with", base.shown()),
        false => format!("base image {}: vmimage knows no way to install a kernel on it", base.shown()),
    };
    Failure::new(message).with_hint(
        "build FROM an image with apt or apk (debian:12, ubuntu:24.04, alpine:3.23), \
         or from one that has a kernel and an initramfs in /boot",
    )
}

/// The packages of `all` that `base` lacks, in their order.
fn missing(base: &Base, all: &'static [Package]) -> impl Iterator<Item = String> {
    all.iter().filter(|package| !base.has(package.shown_by)).map(|package| package.name.to_owned())
}
