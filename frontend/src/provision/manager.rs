//! What the package managers have in common: a [`Manager`] is one, as data, and makes the steps.

use exporter::assemble::NICS;
use exporter::machine::{PROGRAM_FOLDERS, STOOD_IN_FOR};
use exporter::spec::layout::{Encrypted, Way};
use exporter::spec::{Architecture, Hardware, Init, Initramfs, Loader};
use exporter::tree::os::Os;

use super::release::{Metal, Release, names};
use super::sources::Places;
use super::{BOOT_OUT, Part, Plan, Probed, STUBS, Step, TIME_ZONES, TRUST};
use crate::ask::{Install, Kernel, Taken};

/// The head of every step.
const HEAD: &str = concat!(include_str!("unattended.sh"), include_str!("downloads.sh"));

/// What stand-ins.sh looks for, and where.
fn stood_in_for() -> String {
    let (programs, folders) = (STOOD_IN_FOR.join(" "), PROGRAM_FOLDERS.join(" "));
    format!("programs='{programs}' folders='{folders}'\n")
}

/// Tells the kernels of a step from those of the image's own layers.
const KERNELS: &str = include_str!("kernels.sh");

/// The end of a step.
fn record(asked: &Install) -> &'static str {
    match asked.kernel {
        None | Some(Kernel::Keep) => "\nrecord_kernels under\n",
        Some(Kernel::Distro | Kernel::Version(_) | Kernel::Package(_)) => "\nrecord_kernels asked\n",
    }
}

/// What grub.sh builds into the core for a BIOS, and whether it has what media start by, and GRUB that checks signatures. A step
/// for another layout is another one to the cache.
fn core_modules(asked: &Install) -> String {
    let media = if asked.media { "media=yes\n" } else { "" };
    let checks = if asked.checks { "checks=yes\n" } else { "" };
    format!("core_modules='{}'\n{media}{checks}", asked.core_modules.join(" "))
}

/// A package manager and the distributions that have it.
pub(super) struct Manager {
    /// Its name, for caches and messages.
    pub(super) name: &'static str,
    /// The presence of one of these makes an image one of its family.
    pub(super) tools: &'static [&'static str],
    /// Rows of package names, the oldest version of each distribution first. The first row is also for
    /// distributions that no row knows.
    pub(super) releases: &'static [Release],
    /// Rows of the packages of machines of metal, in the same order.
    pub(super) metal: &'static [Metal],
    /// Packages, without a `?`, and the files that show they are there.
    pub(super) files: &'static [(&'static str, &'static [&'static str])],
    /// Packages of `releases` that are left out if another one is among the further packages, and that one: of the two a
    /// system has one.
    pub(super) gives_way: &'static [(&'static str, &'static str)],
    /// The package with the time zones.
    pub(super) time_zones: &'static str,
    /// Whether its scripts know `$MIRROR` and `$PACKAGES`.
    pub(super) redirects: bool,
    /// The host that a release past its end has moved to.
    pub(super) archive: fn(&Os) -> Option<&'static str>,
    /// Where it looks for repositories; `None`: it cannot be told of one.
    pub(super) places: Option<Places>,
    /// How it is told of a kernel's version.
    pub(super) pin: Pin,
    /// Installs `$@`, and makes an initramfs for every kernel; none, where `$bare_kernels` is set, to the kernels among `$@`.
    pub(super) machine_script: &'static [&'static str],
    /// Brings the files of `$@`, kernels and stubs of UKIs, to where the packages have them, and makes no initramfs.
    pub(super) kernel_script: &'static [&'static str],
    /// The package with the stub of a UKI.
    pub(super) stub: &'static str,
    /// Has every initramfs that is made know the drivers `$drivers`: what goes before `machine_script`, and what behind it.
    pub(super) drivers_script: (&'static str, &'static str),
    /// Has an initramfs know network cards `$nics` and processors, and finds firmware in `$component`: what goes before the
    /// last part of `machine_script`, which installs, and what behind it.
    pub(super) metal_script: (&'static str, &'static str),
    /// What opens encrypted partitions.
    pub(super) crypt: Crypt,
    /// Makes the locale `$locale`, and the package that it needs; `{}` in its name is the language.
    pub(super) locale: Option<(&'static str, &'static str)>,
    /// Installs `$3` and further, and collects boot files for architecture `$2` into `$1`.
    pub(super) boot_script: &'static [&'static str],
}

/// What opens encrypted partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crypt {
    /// The packages for the root, which the initramfs opens.
    pub(super) root: &'static str,
    /// Those for other partitions, which the init opens.
    pub(super) others: &'static str,
    /// What talks to a TPM.
    pub(super) tpm: &'static str,
    /// What asks Tang servers: for the root, and for other partitions.
    pub(super) tang: [&'static str; 2],
    /// Has every initramfs that is made open the root in the way `$unlock`: what goes before the last part of
    /// `machine_script`, which installs, and what behind it.
    pub(super) script: (&'static str, &'static str),
}

/// How `machine_script` is told of a package in a version, or in the newest that goes on from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    /// `linux-virt~6.18`, as apk itself takes it.
    Prefix,
    /// `linux-image-amd64@6.1`, for `version.sh`.
    Script,
    /// Not at all: its repositories have the newest alone, and another kernel is the package `other`.
    Newest { other: &'static str },
}

impl Pin {
    fn pinned(self, package: &str, version: &str) -> Option<String> {
        match self {
            Self::Prefix => Some(format!("{package}~{version}")),
            Self::Script => Some(format!("{package}@{version}")),
            Self::Newest { .. } => None,
        }
    }
}

impl Manager {
    /// The steps for `base` on `architecture`; `None` if the distribution has no kernel.
    pub(super) fn plan(
        &self,
        base: &Probed,
        architecture: Architecture,
        asked: &Install,
        part: Part,
    ) -> Option<Plan> {
        let release = Release::find(&base.os, self.releases).unwrap_or(&self.releases[0]);
        let cache = self.cache(base, architecture);
        let packages = self.packages(release, base, architecture, asked, part)?;
        let (before, after) = self.drivers_script(asked, part);
        let (prepare, finish) = self.metal_script(base, asked);
        let (for_crypt, of_crypt) = self.crypt_script(asked, part);
        let (last, parts) = self.machine_script.split_last()?;
        let is_needed = !packages.is_empty() || part != Part::Kernel && asked.is_more_than_kernel();
        let machine = is_needed.then(|| Step {
            title: format!("[vmimage] install {}", packages.join(" ").replace('?', "")),
            script: [
                HEAD,
                &stood_in_for(),
                KERNELS,
                &self.bare_kernels(release, base, architecture, asked, part),
                &before,
                &parts.concat(),
                &prepare,
                &for_crypt,
                last,
                after,
                finish,
                of_crypt,
                &self.locale_script(asked),
                record(asked),
            ]
            .concat(),
            args: packages,
            cache: cache.clone(),
        });
        // Kernel and boot loader are signed by the same hand.
        let boot = (part != Part::System).then(|| self.boot(release, architecture, asked, cache)).flatten();
        Some(Plan { machine, boot })
    }

    /// The steps for a stage of which nothing but this is taken; `None` if the distribution has no kernel.
    pub(super) fn plan_stage(
        &self,
        base: &Probed,
        architecture: Architecture,
        asked: &Install,
        taken: Taken,
    ) -> Option<Plan> {
        let release = Release::find(&base.os, self.releases).unwrap_or(&self.releases[0]);
        let cache = self.cache(base, architecture);
        let kernel = match taken.kernel {
            true => self.kernel(release, base, architecture, asked)?,
            false => Vec::new(),
        };
        let stub = taken.stub.then(|| self.stub(base)).flatten();
        let packages: Vec<_> = kernel.into_iter().chain(stub).collect();
        let machine = (!packages.is_empty()).then(|| Step {
            title: format!("[vmimage] unpack {}", packages.join(" ")),
            script: [HEAD, KERNELS, &self.kernel_script.concat(), record(asked)].concat(),
            args: packages,
            cache: cache.clone(),
        });
        let boot = taken.boot_loader.then(|| self.boot(release, architecture, asked, cache)).flatten();
        Some(Plan { machine, boot })
    }

    /// The package with systemd's stub, unless it is there: that of systemd-boot need not have it.
    fn stub(&self, base: &Probed) -> Option<String> {
        (!base.has(STUBS)).then(|| self.stub.to_owned())
    }

    /// The step that collects the boot loader, if the distribution has one that is known.
    fn boot(
        &self,
        release: &Release,
        architecture: Architecture,
        asked: &Install,
        cache: String,
    ) -> Option<Step> {
        let has_boot = asked.loader == Loader::Grub && !release.boot.uefi.is_empty();
        has_boot.then(|| {
            let bios = match architecture {
                Architecture::X86_64 => release.boot.bios,
                Architecture::Aarch64 => "",
            };
            let modules = if asked.checks { release.boot.modules } else { "" };
            let cells = [release.boot.uefi, bios, modules];
            let mut loaders: Vec<String> = Vec::new();
            for name in cells.iter().flat_map(|cell| names(cell, architecture)) {
                if !loaders.contains(&name) {
                    loaders.push(name);
                }
            }
            Step {
                title: "[vmimage] collect boot loader files".into(),
                script: [HEAD, &core_modules(asked), &self.boot_script.concat()].concat(),
                args: [BOOT_OUT.into(), architecture.oci_name().into()].into_iter().chain(loaders).collect(),
                cache,
            }
        })
    }

    /// Whether a row is for this distribution, or for one that it is like.
    pub(super) fn knows(&self, os: &Os) -> bool {
        Release::find(os, self.releases).is_some()
    }

    /// Packages of one release and architecture only: indexes of others would be in the way.
    fn cache(&self, base: &Probed, architecture: Architecture) -> String {
        let version = base.os.version_id.as_deref().unwrap_or("rolling");
        format!("vmimage-{}-{}-{version}-{}", self.name, base.os.id, architecture.oci_name())
    }

    /// The kernel that is wanted, then what of the rest `base` lacks; `None` if the distribution has no kernel.
    fn packages(
        &self,
        release: &Release,
        base: &Probed,
        architecture: Architecture,
        asked: &Install,
        part: Part,
    ) -> Option<Vec<String>> {
        let kernel = match part {
            Part::System => Vec::new(),
            Part::Machine | Part::Kernel => self.kernel(release, base, architecture, asked)?,
        };
        let (init, network) = match asked.init {
            Init::Vmimage => ("", ""),
            Init::Auto | Init::Distro => (release.init, release.network),
        };
        let initramfs = match asked.initramfs {
            Initramfs::Distro => release.initramfs,
            Initramfs::Vmimage => "",
        };
        let rest: &[&str] = match part {
            Part::Machine => &[initramfs, init, network],
            Part::System => &[init, network],
            Part::Kernel => &[initramfs],
        };
        let missing = rest
            .iter()
            .flat_map(|cell| names(cell, architecture))
            .filter(|package| !self.shown_by(package).is_some_and(|files| base.has(files)))
            .filter(|package| !self.gives_way(package, asked));
        let metal = self.metal_packages(base, architecture, asked, part);
        let crypt = self.crypt_packages(architecture, asked);
        let stub = (asked.stub && part != Part::System).then(|| self.stub(base)).flatten();
        let packages = kernel.into_iter().chain(missing).chain(metal).chain(crypt).chain(stub);
        let mut packages: Vec<_> = packages.collect();
        if part == Part::Kernel {
            return Some(packages);
        }
        let locale = self.locale.zip(asked.generated_locale());
        let language = |name: &str| name.split(['_', '.']).next().unwrap_or_default().to_owned();
        let locale = locale.map(|((package, _), name)| package.replace("{}", &language(name)));
        for package in self.extra_packages(base, asked).into_iter().chain(locale) {
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
        Some(packages)
    }

    fn gives_way(&self, package: &str, asked: &Install) -> bool {
        let is_asked = |other: &str| asked.further.iter().any(|further| further == other);
        self.gives_way.iter().any(|(known, other)| *known == package && is_asked(other))
    }

    /// What is installed beside a machine's own packages.
    fn extra_packages(&self, base: &Probed, asked: &Install) -> Vec<String> {
        let wanted = [
            (asked.time_zone && !base.has(TIME_ZONES), self.time_zones),
            (!asked.sources.certificates.is_empty() && !base.has(TRUST), "ca-certificates"),
        ];
        let wanted = wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, name)| name.to_owned());
        wanted.chain(asked.further.iter().cloned()).collect()
    }

    fn kernel(
        &self,
        release: &Release,
        base: &Probed,
        architecture: Architecture,
        asked: &Install,
    ) -> Option<Vec<String>> {
        let cell = match (self.metal(base, asked), asked.full_kernel) {
            (Some(metal), _) => metal.kernel,
            (None, true) => release.full_kernel,
            (None, false) => release.kernel,
        };
        let usual = || Some(names(cell, architecture)).filter(|names| !names.is_empty());
        match &asked.kernel {
            None if base.gives_kernel(asked) => Some(Vec::new()),
            None | Some(Kernel::Distro) => usual(),
            Some(Kernel::Version(version)) => {
                usual()?.iter().map(|kernel| self.pin.pinned(kernel, version)).collect()
            }
            Some(Kernel::Package(name)) => Some(vec![name.clone()]),
            Some(Kernel::Keep) => Some(Vec::new()),
        }
    }

    /// The row for a machine of metal, if it is one.
    fn metal(&self, base: &Probed, asked: &Install) -> Option<&'static Metal> {
        Metal::find(&base.os, self.metal).filter(|_| asked.hardware == Hardware::Metal)
    }

    /// Whether firmware is known for machines of metal.
    pub(super) fn has_metal(&self, os: &Os) -> bool {
        Metal::find(os, self.metal).is_some()
    }

    /// Firmware, and microcode where the initramfs is made. No file shows that all of it is there: who installs knows.
    fn metal_packages(
        &self,
        base: &Probed,
        architecture: Architecture,
        asked: &Install,
        part: Part,
    ) -> Vec<String> {
        let Some(metal) = self.metal(base, asked) else { return Vec::new() };
        let microcode = match (architecture, part) {
            (Architecture::X86_64, Part::Machine | Part::Kernel) => metal.microcode,
            (Architecture::X86_64, Part::System) | (Architecture::Aarch64, _) => "",
        };
        [metal.firmware, microcode].iter().flat_map(|cell| names(cell, architecture)).collect()
    }

    /// Each once; no file shows that all of them are there: who installs knows.
    fn crypt_packages(&self, architecture: Architecture, asked: &Install) -> Vec<String> {
        let Encrypted { root, others, tpm, tang, root_by } = asked.encrypted;
        let [of_root, of_others] = self.crypt.tang;
        let cells = [
            (root, self.crypt.root),
            (others, self.crypt.others),
            (tpm, self.crypt.tpm),
            (root_by == Some(Way::Tang), of_root),
            (tang && others, of_others),
        ];
        let mut packages: Vec<String> = Vec::new();
        for package in
            cells.iter().filter(|(is_asked, _)| *is_asked).flat_map(|(_, cell)| names(cell, architecture))
        {
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
        packages
    }

    /// An initramfs is made of the image that has the kernel.
    fn crypt_script(&self, asked: &Install, part: Part) -> (String, &'static str) {
        let is_needed = part != Part::System && asked.initramfs == Initramfs::Distro;
        let Some(way) = asked.encrypted.root_by.filter(|_| is_needed) else { return (String::new(), "") };
        let unlock = match way {
            Way::Passphrase => "passphrase",
            Way::KeyFile => "key-file",
            Way::Tpm2 => "tpm2",
            Way::Tang => "tang",
        };
        let (before, after) = self.crypt.script;
        (format!("\nunlock={unlock}\n{before}\n"), after)
    }

    fn metal_script(&self, base: &Probed, asked: &Install) -> (String, &'static str) {
        let Some(metal) = self.metal(base, asked) else { return (String::new(), "") };
        let (before, after) = self.metal_script;
        let nics = NICS.join(" ");
        (format!("\nnics='{nics}' component='{}'\n{before}\n", metal.component), after)
    }

    /// Where packages make no initramfs: which of them are kernels.
    fn bare_kernels(
        &self,
        release: &Release,
        base: &Probed,
        architecture: Architecture,
        asked: &Install,
        part: Part,
    ) -> String {
        if asked.initramfs == Initramfs::Distro || part == Part::System {
            return String::new();
        }
        let kernels = self.kernel(release, base, architecture, asked).unwrap_or_default();
        format!("\nbare_kernels='{}'\n", kernels.join(" "))
    }

    /// The name has nothing that a shell would take for something else.
    fn locale_script(&self, asked: &Install) -> String {
        match self.locale.zip(asked.generated_locale()) {
            Some(((_, script), name)) => format!("\nlocale='{name}'\n{script}"),
            None => String::new(),
        }
    }

    /// An initramfs is made of the image that has the kernel.
    fn drivers_script(&self, asked: &Install, part: Part) -> (String, &'static str) {
        if asked.drivers.is_empty() || part == Part::System || asked.initramfs == Initramfs::Vmimage {
            return (String::new(), "");
        }
        let (before, after) = self.drivers_script;
        (format!("\ndrivers='{}'\n{before}", asked.drivers.join(" ")), after)
    }

    fn shown_by(&self, package: &str) -> Option<&'static [&'static str]> {
        let name = package.trim_start_matches('?');
        self.files.iter().find(|(known, _)| *known == name).map(|(_, files)| *files)
    }

    /// Every path whose presence the plan asks about.
    pub(super) fn probes(&self) -> impl Iterator<Item = &'static str> + use<> {
        let files = self.files.iter().flat_map(|(_, files)| files.iter().copied());
        self.tools.iter().copied().chain(files)
    }
}
