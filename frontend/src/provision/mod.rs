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
mod metal;
#[cfg(test)]
mod scripts;

#[cfg(test)]
mod tests {
    use exporter::spec::Architecture::{Aarch64, X86_64};
    use exporter::spec::Init;
    use exporter::spec::layout::Encrypted;
    use exporter::tree::{Editor, Meta, Time};

    use super::*;
    use crate::ask::Folder;

    fn base(files: &[(&str, &str)]) -> Probed {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, Time::default());
        for (path, text) in files {
            editor.write_file(path, text.as_bytes(), 0o644).unwrap();
        }
        Probed::new("example:1", tree).unwrap()
    }

    const DEBIAN: &[(&str, &str)] = &[
        ("/etc/os-release", "ID=debian\nVERSION_ID=12\n"),
        ("/usr/bin/apt-get", ""),
        ("/usr/sbin/e2fsck", ""),
        ("/usr/bin/login", ""),
    ];
    const ALPINE: &[(&str, &str)] =
        &[("/etc/os-release", "ID=alpine\nVERSION_ID=3.23.6\n"), ("/sbin/apk", "")];
    const FEDORA: &[(&str, &str)] =
        &[("/etc/os-release", "ID=fedora\nVERSION_ID=43\n"), ("/usr/bin/dnf", "")];
    const SUSE: &[(&str, &str)] =
        &[("/etc/os-release", "ID=opensuse-leap\nVERSION_ID=16.0\n"), ("/usr/bin/zypper", "")];
    const ARCH: &[(&str, &str)] = &[("/etc/os-release", "ID=arch\n"), ("/usr/bin/pacman", "")];
    const KERNEL: &[(&str, &str)] = &[("/boot/vmlinuz-virt", ""), ("/boot/initramfs-virt", "")];

    fn packages(files: &[&[(&str, &str)]], architecture: Architecture, kernel: Option<&str>) -> Vec<String> {
        let kernel = kernel.map(|kernel| kernel.parse().unwrap());
        let asked = Install { kernel, ..Install::default() };
        let plan = plan(&base(&files.concat()), architecture, &asked).unwrap();
        plan.machine.map(|step| step.args).unwrap_or_default()
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let rest = "initramfs-tools zstd systemd-sysv libpam-systemd dbus udev kmod iproute2 ?systemd-resolved \
                    ?systemd-timesyncd";
        let all = packages(&[DEBIAN], X86_64, None).join(" ");
        assert_eq!(all, format!("linux-image-cloud-amd64 {rest}"));
        let booting = [
            ("/sbin/init", ""),
            ("/var/lib/dpkg/info/initramfs-tools.postinst", ""),
            ("/usr/bin/dbus-daemon", ""),
        ];
        let some = packages(&[DEBIAN, &booting, KERNEL], X86_64, None);
        let left = "zstd libpam-systemd udev kmod iproute2 ?systemd-resolved ?systemd-timesyncd";
        assert_eq!(some.join(" "), left);
        assert_eq!(packages(&[ALPINE], X86_64, None), ["linux-virt", "alpine-base", "e2fsprogs"]);
        let complete = [("/sbin/openrc", ""), ("/sbin/e2fsck", "")];
        assert!(packages(&[ALPINE, KERNEL, &complete], X86_64, None).is_empty());
    }

    /// `libpam-systemd` would bring systemd, and remove the init that somebody has chosen.
    #[test]
    fn sysvinit_stays() {
        let sysvinit = [("/sbin/init", ""), ("/usr/share/sysvinit/inittab", "")];
        let all = packages(&[DEBIAN, &sysvinit], X86_64, None).join(" ");
        assert_eq!(all, "linux-image-cloud-amd64 initramfs-tools zstd udev kmod iproute2");
    }

    /// Docker and buildah take an image of another architecture where they have no other of that name.
    #[test]
    fn an_image_of_another_architecture_is_refused() {
        let program = |machine: u8| {
            let mut head = b"\x7fELF\x02\x01\x01".to_vec();
            head.resize(20, 0);
            head[18] = machine;
            head
        };
        for (path, machine, wanted, own) in [
            (SHELL, 62, Aarch64, Some(X86_64)),
            (SHELL, 183, X86_64, Some(Aarch64)),
            ("/sbin/init", 62, Aarch64, Some(X86_64)),
            (SHELL, 62, X86_64, None),
            (SHELL, 183, Aarch64, None),
            // A shell that is a script, or one of 32 bits, tells nothing.
            (SHELL, 3, X86_64, None),
        ] {
            for files in [DEBIAN, ALPINE, &DEBIAN[..1], KERNEL] {
                let mut base = base(files);
                let mut editor = Editor::new(&mut base.files, Time::default());
                editor.write_file(path, program(machine), 0o755).unwrap();
                let plans = [plan, plan_donor].map(|plan| plan(&base, wanted, &Install::default()));
                let Some(own) = own else {
                    assert!(plans[0].is_ok(), "{path} {machine} {wanted}");
                    continue;
                };
                for plan in plans {
                    let error = plan.unwrap_err();
                    let (own, wanted) = (own.oci_name(), wanted.oci_name());
                    let part = format!("is for linux/{own}, the machine is to be for linux/{wanted}");
                    assert!(error.to_string().ends_with(&part) && error.hint().is_some(), "{error}");
                }
            }
        }
    }

    /// An image for bootc: all that a machine needs, and its kernel beside the modules.
    #[test]
    fn an_image_that_boots_is_used_as_it_is() {
        let rest = dnf::MANAGER.probes().filter(|path| *path != "/usr/bin/dnf").map(|path| (path, ""));
        let kernel = [("/lib/modules/6.17.1/vmlinuz", ""), ("/lib/modules/6.17.1/initramfs.img", "")];
        let rest: Vec<_> = rest.collect();
        assert!(packages(&[FEDORA, &rest, &kernel], X86_64, None).is_empty());
        // A kernel without an initramfs is no kernel to boot.
        assert_eq!(packages(&[FEDORA, &rest, &kernel[..1]], X86_64, None), ["kernel-core"]);
    }

    #[test]
    fn what_would_be_passed_over_is_an_error() {
        let arch = base(ARCH);
        for asked in [
            Install { mirror: Some("http://mirror.example".into()), ..Install::default() },
            Install { packages: Some(Folder::Client), ..Install::default() },
            Install { kernel: "6.1".parse().ok(), ..Install::default() },
        ] {
            assert!(plan(&base(DEBIAN), X86_64, &asked).is_ok());
            let error = plan(&arch, X86_64, &asked).unwrap_err();
            assert!(error.to_string().contains("pacman") && error.hint().is_some(), "{error}");
        }
    }

    /// Fedora packages apt, and Debian dnf: the distribution says which is its own.
    #[test]
    fn the_distributions_own_manager_installs() {
        let both = [("/usr/bin/apt-get", ""), ("/usr/bin/dnf", "")];
        for (id, kernel) in [("fedora", "kernel-core"), ("debian", "linux-image-cloud-amd64")] {
            let release = format!("ID={id}\n");
            assert_eq!(packages(&[&[("/etc/os-release", &release)], &both], X86_64, None)[0], kernel);
        }
    }

    #[test]
    fn the_kernel_is_the_distributions_or_the_one_asked_for() {
        let ubuntu = [("/etc/os-release", "ID=ubuntu\nVERSION_ID=24.04\n"), ("/usr/bin/apt-get", "")];
        let kali = [("/etc/os-release", "ID=kali\nID_LIKE=debian\n"), ("/usr/bin/apt-get", "")];
        for (files, architecture, asked, kernel) in [
            (DEBIAN, X86_64, None, "linux-image-cloud-amd64"),
            (DEBIAN, Aarch64, None, "linux-image-cloud-arm64"),
            (DEBIAN, X86_64, Some("linux-image-rt-amd64"), "linux-image-rt-amd64"),
            (&ubuntu, X86_64, None, "linux-image-virtual"),
            (&kali, X86_64, None, "linux-image-amd64"),
            (ALPINE, X86_64, Some("linux-lts"), "linux-lts"),
            (DEBIAN, Aarch64, Some("6.1.148-1"), "linux-image-cloud-arm64@6.1.148-1"),
            (ALPINE, X86_64, Some("6.18"), "linux-virt~6.18"),
            (FEDORA, X86_64, Some("6.17"), "kernel-core@6.17"),
            (SUSE, X86_64, Some("6.12"), "kernel-default-base@6.12"),
        ] {
            assert_eq!(packages(&[files], architecture, asked)[0], kernel);
            if asked.is_some() {
                assert_eq!(packages(&[files, KERNEL], architecture, asked)[0], kernel);
            }
        }
        assert!(!packages(&[DEBIAN], X86_64, Some("keep")).join(" ").contains("linux-image"));
    }

    #[test]
    fn a_machine_is_for_the_architecture_of_its_platform() {
        for (platform, expected) in [
            ("linux/amd64", Some(X86_64)),
            ("linux/amd64/v3", Some(X86_64)),
            ("linux/arm64/v8", Some(Aarch64)),
            ("linux/arm/v7", None),
            ("amd64", None),
            ("", None),
        ] {
            assert_eq!(architecture(platform).ok(), expected, "{platform}");
        }
    }

    #[test]
    fn a_full_kernel_has_the_drivers_of_real_machines() {
        for (files, asked, kernel) in [
            (DEBIAN, None, "linux-image-amd64 "),
            (DEBIAN, Some("6.1"), "linux-image-amd64@6.1 "),
            (ALPINE, Some("6.18"), "linux-virt~6.18 "),
            (FEDORA, None, "kernel "),
            (SUSE, None, "kernel-default "),
            (ARCH, None, "linux "),
            (DEBIAN, Some("linux-image-rt-amd64"), "linux-image-rt-amd64 "),
        ] {
            let kernel_asked = asked.map(|kernel| kernel.parse().unwrap());
            let asked = Install { kernel: kernel_asked, full_kernel: true, ..Install::default() };
            let args = plan(&base(files), X86_64, &asked).unwrap().machine.unwrap().args.join(" ");
            assert!(args.starts_with(kernel), "{args}");
        }
    }

    #[test]
    fn a_machine_of_metal_has_a_general_kernel_firmware_and_microcode() {
        let metal = Install { hardware: Hardware::Metal, ..Install::default() };
        let args = |base: &Probed, architecture, asked: &Install| {
            plan(base, architecture, asked).unwrap().machine.unwrap().args.join(" ") + " "
        };
        for (files, kernel, firmware, microcode) in [
            (DEBIAN, "linux-image-amd64 ", " firmware-linux ", " amd64-microcode "),
            (ALPINE, "linux-lts ", " linux-firmware ", " amd-ucode "),
            (FEDORA, "kernel kernel-modules-extra ", " linux-firmware ", " microcode_ctl "),
            (SUSE, "kernel-default ", " kernel-firmware-all ", " ucode-amd "),
            (ARCH, "linux ", " linux-firmware ", " amd-ucode "),
        ] {
            let all = args(&base(files), X86_64, &metal);
            assert!(all.starts_with(kernel) && all.contains(firmware) && all.contains(microcode), "{all}");
            let arm = args(&base(files), Aarch64, &metal);
            assert!(arm.contains(firmware) && !arm.contains(microcode), "{arm}");
            // What was asked for wins, and what the image has stays; firmware is there with either.
            for kernel in ["linux-image-rt-amd64", "keep"] {
                let asked = Install { kernel: kernel.parse().ok(), ..metal.clone() };
                let own = args(&base(files), X86_64, &asked);
                assert!(own.contains(firmware), "{own}");
                assert_eq!(own.starts_with("linux-image-rt-amd64 "), kernel != "keep", "{own}");
            }
        }
        // Of a donor comes the kernel with its initramfs, and firmware for the machine is its own.
        let of_donor = Install { donor: Some("kernel:1".into()), ..metal.clone() };
        let own = args(&base(DEBIAN), X86_64, &of_donor);
        assert!(own.contains(" firmware-linux ") && !own.contains("microcode"), "{own}");
        let amazon = [("/etc/os-release", "ID=amzn\nVERSION_ID=2023\n"), ("/usr/bin/dnf", "")];
        let refused = plan(&base(&amazon), X86_64, &metal).unwrap_err().to_string();
        assert!(refused.contains("no firmware for machines of metal"), "{refused}");
    }

    #[test]
    fn what_opens_encrypted_partitions_is_installed_where_there_are_some() {
        let step = |files, encrypted| {
            let asked = Install { encrypted, ..Install::default() };
            plan(&base(files), X86_64, &asked).unwrap().machine.unwrap()
        };
        let [root, others, tpm] = [(true, false, false), (false, true, false), (false, true, true)]
            .map(|(root, others, tpm)| Encrypted { root, others, tpm });
        for (files, of_root, of_others, of_tpm, script) in [
            (DEBIAN, "cryptsetup-initramfs", "cryptsetup ?systemd-cryptsetup", "tpm2-tools", ""),
            (ALPINE, "cryptsetup", "cryptsetup cryptsetup-openrc", "", "features=\"\\1 cryptsetup\""),
            (FEDORA, "cryptsetup", "cryptsetup", "tpm2-tss", "add_dracutmodules+=\" crypt \""),
        ] {
            let args = |encrypted| format!("{} ", step(files, encrypted).args.join(" "));
            for (encrypted, packages) in [(root, of_root), (others, of_others), (tpm, of_tpm)] {
                assert!(args(encrypted).contains(packages), "{packages}: {}", args(encrypted));
            }
            assert!(!args(Encrypted::default()).contains("cryptsetup"));
            let has_script = |encrypted| step(files, encrypted).script.contains(script);
            assert!(has_script(root) && (script.is_empty() || !has_script(others)), "{script}");
        }
    }

    #[test]
    fn steps_are_told_where_packages_come_from() {
        let told = |install: &Install| {
            install.environment().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(told(&Install::default()), Vec::<String>::new());
        let packages = Some(Folder::Context("debs".into()));
        let install = Install { mirror: Some("http://a".into()), packages, ..Install::default() };
        assert_eq!(told(&install), ["MIRROR=http://a", "PACKAGES=/run/vmimage/packages"]);
        let install = Install { proxy: Some("http://p".into()), ..Install::default() };
        assert_eq!(told(&install), ["http_proxy=http://p", "https_proxy=http://p"]);
    }

    #[test]
    fn who_can_have_no_kernel_gets_one_from_a_donor() {
        let wants = |kernel: &str| Install { kernel: kernel.parse().ok(), ..Install::default() };
        let package = || wants("linux");
        let image = || Install { donor: Some("kernel:1".into()), ..Install::default() };
        let distroless = [DEBIAN[0]];
        for (known, asked, expected) in [
            (None, Install::default(), Some(DEFAULT_DONOR)),
            (None, image(), Some("kernel:1")),
            (Some(base(&distroless)), Install::default(), Some(DEFAULT_DONOR)),
            (Some(base(DEBIAN)), Install::default(), None),
            (Some(base(DEBIAN)), package(), None),
            (Some(base(DEBIAN)), image(), Some("kernel:1")),
            (Some(base(KERNEL)), Install::default(), None),
            (Some(base(KERNEL)), package(), Some(DEFAULT_DONOR)),
            (None, wants("6.1"), Some(DEFAULT_DONOR)),
            (None, wants("keep"), None),
            (Some(base(&distroless)), wants("keep"), None),
        ] {
            assert_eq!(donor(known.as_ref(), &asked), expected, "{known:?}");
        }
        assert_eq!(plan(&base(KERNEL), X86_64, &Install::default()).unwrap(), Plan::default());
        let without_kernel = plan(&base(DEBIAN), X86_64, &image()).unwrap().machine.unwrap().args;
        assert_eq!(without_kernel[0], "systemd-sysv");
    }

    /// Where the kernel comes from elsewhere too, no package is needed at all.
    #[test]
    fn an_init_of_vmimages_own_needs_no_package() {
        let args = |files: &[(&str, &str)], donor: bool, further: &[&str], init: Init| {
            let donor = donor.then(|| "kernel:1".to_owned());
            let further = further.iter().map(|&name| name.to_owned()).collect();
            let plan =
                plan(&base(files), X86_64, &Install { donor, further, init, ..Install::default() }).unwrap();
            (plan.machine.map(|step| step.args.join(" ")).unwrap_or_default(), plan.boot.is_some())
        };
        let said = |packages: &str, has_boot| (packages.to_owned(), has_boot);
        assert_eq!(args(ALPINE, true, &[], Init::Vmimage), said("", false));
        assert_eq!(args(DEBIAN, true, &[], Init::Vmimage), said("", false));
        assert_eq!(args(DEBIAN, true, &["nginx"], Init::Vmimage), said("nginx", false));
        assert_eq!(args(ALPINE, false, &[], Init::Vmimage), said("linux-virt", false));
        assert_eq!(args(FEDORA, false, &[], Init::Vmimage), said("kernel-core dracut", true));
        assert_eq!(args(ALPINE, true, &[], Init::Distro), said("alpine-base e2fsprogs", false));
        assert_eq!(args(ALPINE, true, &[], Init::Auto), said("alpine-base e2fsprogs", false));
    }

    #[test]
    fn a_donor_installs_its_kernel_and_no_more() {
        let args = |files, asked: &Install| {
            let plan = plan_donor(&base(files), X86_64, asked).unwrap();
            plan.machine.map(|step| step.args.join(" ")).unwrap_or_default()
        };
        assert_eq!(args(DEBIAN, &Install::default()), "linux-image-cloud-amd64 initramfs-tools zstd");
        let asked = Install { kernel: "linux-image-amd64".parse().ok(), ..Install::default() };
        assert_eq!(args(DEBIAN, &asked), "linux-image-amd64 initramfs-tools zstd");
        assert_eq!(args(ALPINE, &Install::default()), "linux-virt");
        assert_eq!(args(KERNEL, &Install::default()), "");
    }

    #[test]
    fn an_image_without_a_kernel_or_a_way_to_one_gives_none() {
        for (release, part) in [
            ("ID=rocky\nID_LIKE=\"rhel fedora\"\n", "it has no dnf to install a kernel with"),
            ("ID=plan9\n", "vmimage knows no way to install a kernel on it"),
        ] {
            let without = base(&[("/etc/os-release", release)]);
            let failure = plan_donor(&without, X86_64, &Install::default()).unwrap_err();
            assert!(failure.to_string().contains(part), "{failure}");
        }
    }
}
