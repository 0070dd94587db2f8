//! What to install so that a container image becomes a machine: one file per package manager.
//!
//! Everything here is pure: [`Probed`] says what an image has, [`plan`] says which step it needs, and [`recipe`] what an
//! engine is asked for and in which order.

mod apk;
mod apt;
mod archive;
mod dnf;
mod failure;
mod manager;
mod pacman;
pub(crate) mod recipe;
mod release;
mod sources;
mod zypper;

use std::collections::BTreeSet;

use exporter::hint::{Hint, Setting};
use exporter::spec::{Architecture, Container, Hardware, Initramfs};
use exporter::tree::Tree;
use exporter::tree::os::{self, Os};

use crate::ask::{Install, Kernel, Sources, Taken};
use crate::base::{Error, Result};
pub(crate) use failure::Cause;
use manager::{Manager, Pin};

/// What probing a base image found.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    /// The image's reference, for messages.
    name: String,
    os: Os,
    /// Whether there is a kernel.
    has_image: bool,
    /// Whether one boots, by its own initramfs.
    has_kernel: bool,
    /// The image as far as it was looked at: its os-release, the names in `/boot` and `/lib/modules`, the head of
    /// [`SHELL`], and what there is of [`probes`].
    files: Tree,
}

impl Probed {
    /// The base called `name`, of which `files` is known.
    pub(crate) fn new(name: &str, files: Tree) -> Result<Self> {
        let failed = |error| Error::user(format!("base image {name}: {error}"));
        let os = os::detect(&files).map_err(failed)?;
        let kernels = exporter::tree::kernel::all(&files).map_err(failed)?;
        let has_kernel = kernels.iter().any(|kernel| kernel.initramfs.is_some());
        Ok(Self { name: name.to_owned(), os, has_image: !kernels.is_empty(), has_kernel, files })
    }

    /// Whether it has the kernel that is wanted, unless another one is asked for.
    fn gives_kernel(&self, asked: &Install) -> bool {
        match asked.initramfs {
            Initramfs::Distro if asked.microvm.is_none() => self.has_kernel,
            Initramfs::Distro | Initramfs::Vmimage => self.has_image,
        }
    }

    fn has(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.files.resolve(path).is_some())
    }

    fn shown(&self) -> String {
        let Os { pretty_name, id, .. } = &self.os;
        if self.has(&OS_RELEASE) {
            format!("{} is {pretty_name} (ID={id})", self.name)
        } else {
            format!("{} has no /etc/os-release", self.name)
        }
    }
}

/// The program whose head tells the image's own architecture, whatever its configuration says.
pub(crate) const SHELL: &str = "/bin/sh";

/// Where os-release(5) may lie, the better first.
pub(crate) const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// One unprivileged step: a shell script with arguments, and a cache folder that outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Name of the step in the build's progress.
    pub(crate) title: String,
    /// For `sh`.
    pub(crate) script: String,
    /// `$1` and so on.
    pub(crate) args: Vec<String>,
    /// Id of the cache mount at [`CACHE`].
    pub(crate) cache: String,
}

/// `PATH` of a step, whatever the image sets.
pub(crate) const PATH: &str = Container::DEFAULT_PATH;

/// Where a step finds its cache mount, in which nothing is trusted (`downloads.sh`). Like all its mounts and its own folder
/// it is below [`exporter::machine::STEP`], where the exporter takes away what engines leave of them.
pub(crate) const CACHE: &str = "/run/vmimage/cache";

/// Where a step finds a folder of packages, if there is one.
pub(crate) const PACKAGES: &str = "/run/vmimage/packages";

/// Where a boot stage leaves its files.
pub(crate) const BOOT_OUT: &str = "/vmimage-boot";

impl Install {
    /// What a step is told of where packages come from.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mirror = self.mirror.as_deref().map(|url| ("MIRROR", url));
        let packages = self.packages.is_some().then_some(("PACKAGES", PACKAGES));
        let proxies = ["http_proxy", "https_proxy"];
        let proxies = proxies.into_iter().filter_map(|name| Some((name, self.proxy.as_deref()?)));
        mirror.into_iter().chain(packages).chain(proxies)
    }

    /// Whether there is something to do even on a base that has all a machine needs.
    pub(crate) fn is_more_than_kernel(&self) -> bool {
        !self.further.is_empty()
            || self.locale.is_some()
            || self.time_zone
            || self.sources != Sources::default()
    }

    /// The locale, unless it is one that every C library has without any file.
    fn generated_locale(&self) -> Option<&str> {
        let name = self.locale.as_deref()?;
        (!matches!(name.split('.').next(), Some("C" | "POSIX"))).then_some(name)
    }
}

/// What shows that time zones are there, and the tool of the trust store.
const TIME_ZONES: &[&str] = &["/usr/share/zoneinfo/tzdata.zi", "/usr/share/zoneinfo/UTC"];
const TRUST: &[&str] =
    &["/usr/sbin/update-ca-certificates", "/usr/bin/update-ca-trust", "/usr/sbin/update-ca-trust"];

/// Where the stub of a UKI lies, in every distribution that has systemd's (systemd-stub(7)).
pub(crate) const STUBS: &[&str] =
    &["/usr/lib/systemd/boot/efi/linuxx64.efi.stub", "/usr/lib/systemd/boot/efi/linuxaa64.efi.stub"];

/// The image that gives a kernel to those that cannot have one of their own; in full, since not every engine
/// knows where short names are from.
const DEFAULT_DONOR: &str = "docker.io/library/debian:12";

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of a machine.
    Machine,
    /// A machine whose kernel comes from a donor.
    System,
    /// A donor: kernel and initramfs.
    Kernel,
}

/// What a base image needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Installs kernel, initramfs and init on the base; `None`: the base has them all.
    machine: Option<Step>,
    /// Collects boot loader files into [`BOOT_OUT`]; `None`: the distribution has none we know, the
    /// frontend's own are used.
    boot: Option<Step>,
}

impl Plan {
    /// The steps as they are run on `base`: after what is trusted, and where packages come from, has been written, and
    /// with the reason told if they fail.
    fn on(mut self, base: &Probed, manager: &Manager, sources: &str) -> Self {
        let before = archive::script((manager.archive)(&base.os)) + sources;
        for step in self.machine.iter_mut().chain(&mut self.boot) {
            step.script = failure::explained(&(before.clone() + &step.script));
        }
        self
    }
}

/// That of a machine for a container platform, such as `linux/amd64`.
pub(crate) fn architecture(platform: &str) -> Result<Architecture> {
    let name = platform.split('/').nth(1).unwrap_or_default();
    Architecture::from_oci(name).ok_or_else(|| {
        Error::user(format!("no machine can be made for {platform}"))
            .with_hint("the platforms are linux/amd64 and linux/arm64")
    })
}

const MANAGERS: [&Manager; 5] =
    [&apt::MANAGER, &apk::MANAGER, &zypper::MANAGER, &pacman::MANAGER, &dnf::MANAGER];

/// Every path whose presence the plan asks about.
pub(crate) fn probes() -> BTreeSet<&'static str> {
    let asked = [TIME_ZONES, TRUST, STUBS].into_iter().flatten().copied();
    MANAGERS.into_iter().flat_map(Manager::probes).chain(asked).collect()
}

/// The steps for `base` on `architecture`; none if nothing can be installed on it.
fn plan(base: &Probed, architecture: Architecture, asked: &Install) -> Result<Plan> {
    check_architecture(base, architecture)?;
    let part = if asked.donor.is_some() { Part::System } else { Part::Machine };
    let Some(manager) = manager(base) else {
        return if asked.is_more_than_kernel() { Err(unsupported(base)) } else { Ok(Plan::default()) };
    };
    check(base, manager, asked)?;
    let sources = asked.sources.script(base, manager)?;
    let plan = manager.plan(base, architecture, asked, part).ok_or_else(|| unsupported(base))?;
    Ok(plan.on(base, manager, &sources))
}

/// The image that gives `base` its kernel (`None`: an image `FROM scratch`), if that is another one.
fn donor<'asked>(base: Option<&Probed>, asked: &'asked Install) -> Option<&'asked str> {
    let lacks =
        |base: &Probed| manager(base).is_none() && (asked.kernel.is_some() || !base.gives_kernel(asked));
    let is_needed = asked.kernel != Some(Kernel::Keep) && base.is_none_or(lacks);
    asked.donor.as_deref().or_else(|| is_needed.then_some(DEFAULT_DONOR))
}

/// The steps for an image that gives its kernel to another one.
fn plan_donor(base: &Probed, architecture: Architecture, asked: &Install) -> Result<Plan> {
    check_architecture(base, architecture)?;
    let plan = match manager(base) {
        Some(manager) => {
            check(base, manager, asked)?;
            manager.plan(base, architecture, asked, Part::Kernel).map(|plan| plan.on(base, manager, ""))
        }
        None => base.gives_kernel(asked).then(Plan::default),
    };
    plan.ok_or_else(|| unsupported(base))
}

/// The steps for the stage that a microVM's kernel is taken from; `None` if `base` can have none. It `is_own` if it is the
/// base of the image: then what is asked of its repositories counts.
fn plan_stage(
    base: &Probed,
    architecture: Architecture,
    asked: &Install,
    taken: Taken,
    is_own: bool,
) -> Result<Option<Plan>> {
    check_architecture(base, architecture)?;
    let Some(manager) = manager(base) else {
        let has_all =
            (!taken.kernel || asked.kernel.is_none() && base.has_image) && (!taken.stub || base.has(STUBS));
        return Ok(has_all.then(Plan::default));
    };
    let Some(plan) = manager.plan_stage(base, architecture, asked, taken) else { return Ok(None) };
    check(base, manager, asked)?;
    let sources = if is_own { asked.sources.script(base, manager)? } else { String::new() };
    Ok(Some(plan.on(base, manager, &sources)))
}

fn manager(base: &Probed) -> Option<&'static Manager> {
    let there = || MANAGERS.into_iter().filter(|manager| base.has(manager.tools));
    // Fedora packages apt, too, and Debian dnf.
    there().find(|manager| manager.knows(&base.os)).or_else(|| there().next())
}

/// Whether a package manager is among these files that unpacks a kernel.
pub(crate) fn has_manager(files: &Tree) -> bool {
    let mut tools = MANAGERS.into_iter().flat_map(|manager| manager.tools);
    tools.any(|path| files.resolve(path).is_some())
}

/// An engine takes an image of another architecture where it has no other of that name, and its package manager would
/// look for a kernel that there is not.
fn check_architecture(base: &Probed, wanted: Architecture) -> Result<()> {
    match Architecture::of(&base.files) {
        Some(own) if own != wanted => {
            let (own, wanted) = (own.oci_name(), wanted.oci_name());
            let message =
                format!("image {} is for linux/{own}, the machine is to be for linux/{wanted}", base.name);
            let hint = format!("name an image for linux/{wanted}, or ask for --platform linux/{own}");
            Err(Error::user(message).with_hint(hint))
        }
        _ => Ok(()),
    }
}

/// Not every package manager can be told from where to install, or has several versions to choose from.
fn check(base: &Probed, manager: &Manager, asked: &Install) -> Result<()> {
    let (shown, name) = (base.shown(), manager.name);
    if !manager.redirects && (asked.packages.is_some() || asked.mirror.is_some()) {
        let able = names(|manager| manager.redirects, "and");
        let message = format!("image {shown}: mirror and packages are for {able}, not for {name}");
        return Err(Error::user(message)
            .with_hint("write the mirror, or the folder, into the repository settings of the image"));
    }
    if asked.hardware == Hardware::Metal && !manager.has_metal(&base.os) {
        let message = format!("image {shown}: no firmware for machines of metal is known of it");
        return Err(Error::user(message).with_hint(
            "leave hardware out, or take an image of Debian, Ubuntu, Fedora, RHEL and its like, openSUSE, Alpine or Arch",
        ));
    }
    if let (Some(Kernel::Version(version)), Pin::Newest { other }) = (&asked.kernel, manager.pin) {
        let message =
            format!("image {shown}: no kernel {version}, the repositories of {name} have the newest alone");
        let hint = format!("leave the version out, or name another package, such as {other}");
        return Err(Error::user(message).with_hint(hint));
    }
    Ok(())
}

/// The one error for an image nothing can be installed on.
fn unsupported(base: &Probed) -> Error {
    let message = match MANAGERS.into_iter().find(|manager| manager.knows(&base.os)) {
        Some(manager) if base.has(manager.tools) => {
            format!("image {}, which has no package with a kernel", base.shown())
        }
        Some(manager) => {
            format!("image {}, but it has no {} to install a kernel with", base.shown(), manager.name)
        }
        None => format!("image {}: vmimage knows no way to install a kernel on it", base.shown()),
    };
    let hint = format!(
        "take one with {} (debian:12, alpine:3.23, fedora:43), \
         or one that has a kernel and an initramfs in /boot or /usr/lib/modules; \
         for a disk with the files alone: ",
        names(|_| true, "or")
    );
    Error::user(message).with_hint(Hint::from(hint).set(Setting::Profile, "data"))
}

/// The names of the package managers that are meant: `apt, apk and dnf`.
fn names(is_meant: impl Fn(&Manager) -> bool, last: &str) -> String {
    let mut names: Vec<_> =
        MANAGERS.into_iter().filter(|manager| is_meant(manager)).map(|manager| manager.name).collect();
    let end = names.pop().unwrap_or_default();
    format!("{} {last} {end}", names.join(", "))
}

#[cfg(test)]
mod bare;
#[cfg(test)]
mod downloads;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod metal;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod stand_ins;
#[cfg(test)]
mod tests;
