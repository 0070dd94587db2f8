//! What to install so that a container image becomes a machine: one file per package manager.
//!
//! Everything here is pure: [`Base`] says what an image has, [`plan`] says which step it needs.

mod apk;
mod apt;
mod sources;

use exporter::tree::os::{self, Family, Os};
use exporter::tree::{Tree, kernel};

use crate::gateway::Failure;
use sources::CA_CERTIFICATES;
pub(crate) use sources::{Repository, Sources, TextFile};

/// What probing a base image found.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// The image's reference, for messages.
    name: String,
    os: Os,
    /// The image as far as it was looked at: its os-release, the names in `/boot` and `/lib/modules`,
    /// and what there is of [`probes`].
    files: Tree,
}

impl Base {
    /// The base called `name`, of which `files` is known.
    pub(crate) fn new(name: &str, files: Tree) -> Result<Self, Failure> {
        let os = os::detect(&files).map_err(|error| Failure::new(format!("base image {name}: {error}")))?;
        Ok(Self { name: name.to_owned(), os, files })
    }

    fn has(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.files.resolve(path).is_some())
    }

    fn has_kernel(&self) -> bool {
        kernel::all(&self.files).iter().any(|kernel| kernel.initramfs.is_some())
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

/// Where os-release(5) may lie, the better first.
pub(crate) const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

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

/// `PATH` of a step, whatever the image sets.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a step finds its cache mount.
pub(crate) const CACHE: &str = "/var/cache/vmimage";

/// Where a step finds a folder of packages, if there is one. What is left of it in the image is an empty directory,
/// below one that a machine empties.
pub(crate) const PACKAGES: &str = "/run/vmimage-packages";

/// Where a boot stage leaves its files.
pub(crate) const BOOT_OUT: &str = "/vmimage-boot";

/// What was asked of the package manager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Install {
    /// `distro`, `keep`, or a kernel package by name; `None`: the distribution's default, unless the base has a kernel.
    pub(crate) kernel: Option<String>,
    /// A mirror to ask in place of the distribution's own hosts: `http://HOST`, perhaps with a path, without a
    /// slash at the end.
    pub(crate) mirror: Option<String>,
    /// Install from the folder at [`PACKAGES`] in place of any network.
    pub(crate) packages: bool,
    /// Further packages.
    pub(crate) further: Vec<String>,
    /// A locale that has to be there.
    pub(crate) locale: Option<String>,
    /// Whether a time zone's file has to be there.
    pub(crate) time_zone: bool,
    /// What is trusted, and where packages come from, before any is fetched.
    pub(crate) sources: Sources,
}

impl Install {
    /// What a step is told of where packages come from.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mirror = self.mirror.as_deref().map(|url| ("MIRROR", url));
        mirror.into_iter().chain(self.packages.then_some(("PACKAGES", PACKAGES)))
    }
}

impl Install {
    /// Whether there is something to do even on a base that has all a machine needs.
    pub(crate) fn is_more_than_kernel(&self) -> bool {
        !self.further.is_empty()
            || self.locale.is_some()
            || self.time_zone
            || self.sources != Sources::default()
    }

    /// The kernel package for `base`, if one is to be installed; `usual` is the distribution's.
    fn kernel_package(&self, base: &Base, usual: impl FnOnce() -> String) -> Option<String> {
        match self.kernel.as_deref() {
            Some("keep") => None,
            Some("distro") => Some(usual()),
            Some(name) => Some(name.to_owned()),
            None if base.has_kernel() => None,
            None => Some(usual()),
        }
    }

    /// All packages for `base`: the kernel's, what it lacks of `machine`, and what was asked for.
    fn packages(&self, base: &Base, kernel: Option<String>, machine: &'static [Package]) -> Vec<String> {
        let mut packages: Vec<_> = kernel.into_iter().chain(missing(base, machine)).collect();
        for (package, is_asked) in
            [(TZDATA, self.time_zone), (CA_CERTIFICATES, !self.sources.certificates.is_empty())]
        {
            packages.extend((is_asked && !base.has(package.shown_by)).then(|| package.name.to_owned()));
        }
        for package in &self.further {
            if !packages.contains(package) {
                packages.push(package.clone());
            }
        }
        packages
    }
}

/// What time zones need.
const TZDATA: Package = Package { name: "tzdata", shown_by: &["/usr/share/zoneinfo/tzdata.zi"] };
const OPTIONAL: &[Package] = &[TZDATA, CA_CERTIFICATES];

/// What a base image needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Installs kernel, initramfs and init on the base; `None`: the base has them all.
    pub(crate) machine: Option<Step>,
    /// Collects boot loader files into [`BOOT_OUT`]; `None`: the distribution has none we know, the
    /// frontend's own are used.
    pub(crate) boot: Option<Step>,
}

impl Plan {
    /// The same after what is trusted, and where packages come from, has been written.
    fn after(mut self, sources: &str) -> Self {
        for step in self.machine.iter_mut().chain(&mut self.boot) {
            step.script.insert_str(0, sources);
        }
        self
    }
}

/// Every path whose presence the plan asks about.
pub(crate) fn probes() -> impl Iterator<Item = &'static str> {
    let files =
        |packages: &'static [Package]| packages.iter().flat_map(|package| package.shown_by.iter().copied());
    [apt::TOOL, apk::TOOL]
        .into_iter()
        .chain(files(apt::MACHINE))
        .chain(files(apk::MACHINE))
        .chain(files(OPTIONAL))
}

/// The steps for `base` on `architecture` (`amd64`, `arm64`).
pub(crate) fn plan(base: &Base, architecture: &str, asked: &Install) -> Result<Plan, Failure> {
    if base.has(&[apt::TOOL]) {
        let sources = asked.sources.script(base, &apt::MANAGER)?;
        return Ok(apt::plan(base, architecture, asked).after(&sources));
    }
    if base.has(&[apk::TOOL]) {
        let sources = asked.sources.script(base, &apk::MANAGER)?;
        return Ok(apk::plan(base, asked).after(&sources));
    }
    let needs_none = asked.kernel.as_deref() == Some("keep") || base.has_kernel() && asked.kernel.is_none();
    if needs_none && !asked.is_more_than_kernel() {
        return Ok(Plan { machine: None, boot: None });
    }
    Err(unsupported(base))
}

/// The one error for an image nothing can be installed on.
fn unsupported(base: &Base) -> Failure {
    let message = match matches!(base.os.family, Family::Debian | Family::Alpine) {
        true => {
            format!("base image {}, but it has no package manager to install a kernel with", base.shown())
        }
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

#[cfg(test)]
mod tests {
    use exporter::tree::{Editor, Meta, Time};

    use super::*;

    fn base(files: &[(&str, &str)]) -> Base {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, Time::default());
        for (path, text) in files {
            editor.write_file(path, text.as_bytes(), 0o644).unwrap();
        }
        Base::new("example:1", tree).unwrap()
    }

    const DEBIAN: &[(&str, &str)] = &[
        ("/etc/os-release", "ID=debian\nVERSION_ID=12\n"),
        ("/usr/bin/apt-get", ""),
        ("/usr/sbin/e2fsck", ""),
        ("/usr/bin/login", ""),
    ];
    const ALPINE: &[(&str, &str)] =
        &[("/etc/os-release", "ID=alpine\nVERSION_ID=3.23.6\n"), ("/sbin/apk", "")];
    const KERNEL: &[(&str, &str)] = &[("/boot/vmlinuz-virt", ""), ("/boot/initramfs-virt", "")];

    fn packages(files: &[&[(&str, &str)]], architecture: &str, kernel: Option<&str>) -> Vec<String> {
        let asked = Install { kernel: kernel.map(str::to_owned), ..Install::default() };
        let plan = plan(&base(&files.concat()), architecture, &asked).unwrap();
        plan.machine.map(|step| step.args).unwrap_or_default()
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let rest = "initramfs-tools zstd systemd-sysv ?systemd-resolved ?systemd-timesyncd libpam-systemd dbus udev \
                    kmod iproute2";
        let all = packages(&[DEBIAN], "amd64", None).join(" ");
        assert_eq!(all, format!("linux-image-cloud-amd64 {rest}"));
        let booting = [("/sbin/init", ""), ("/usr/sbin/update-initramfs", ""), ("/usr/bin/dbus-daemon", "")];
        let some = packages(&[DEBIAN, &booting, KERNEL], "amd64", None);
        let left = "zstd ?systemd-resolved ?systemd-timesyncd libpam-systemd udev kmod iproute2";
        assert_eq!(some.join(" "), left);
        assert_eq!(packages(&[ALPINE], "amd64", None), ["linux-virt", "alpine-base", "e2fsprogs"]);
        let complete = [("/sbin/openrc", ""), ("/sbin/e2fsck", "")];
        assert!(packages(&[ALPINE, KERNEL, &complete], "amd64", None).is_empty());
    }

    #[test]
    fn the_kernel_is_the_distributions_or_the_one_asked_for() {
        let ubuntu = [("/etc/os-release", "ID=ubuntu\nVERSION_ID=24.04\n"), ("/usr/bin/apt-get", "")];
        let kali = [("/etc/os-release", "ID=kali\nID_LIKE=debian\n"), ("/usr/bin/apt-get", "")];
        for (files, architecture, asked, kernel) in [
            (DEBIAN, "amd64", None, "linux-image-cloud-amd64"),
            (DEBIAN, "arm64", None, "linux-image-cloud-arm64"),
            (DEBIAN, "amd64", Some("linux-image-rt-amd64"), "linux-image-rt-amd64"),
            (&ubuntu, "amd64", None, "linux-image-virtual"),
            (&kali, "amd64", None, "linux-image-amd64"),
            (ALPINE, "amd64", Some("linux-lts"), "linux-lts"),
        ] {
            assert_eq!(packages(&[files], architecture, asked)[0], kernel);
        }
    }

    #[test]
    fn steps_are_told_where_packages_come_from() {
        let told = |install: &Install| {
            install.environment().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(told(&Install::default()), Vec::<String>::new());
        let install = Install { mirror: Some("http://a".into()), packages: true, ..Install::default() };
        assert_eq!(told(&install), ["MIRROR=http://a", "PACKAGES=/run/vmimage-packages"]);
    }

    #[test]
    fn a_kernel_is_enough_where_nothing_can_be_installed() {
        assert_eq!(
            plan(&base(KERNEL), "amd64", &Install::default()).unwrap(),
            Plan { machine: None, boot: None }
        );
        let asked = Install { kernel: Some("linux".into()), ..Install::default() };
        let failure = plan(&base(KERNEL), "amd64", &asked).unwrap_err();
        assert!(failure.to_string().contains("example:1 has no /etc/os-release"), "{failure}");
    }
}
