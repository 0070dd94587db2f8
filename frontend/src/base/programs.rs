//! Programs of the host: finding them, and the command that installs what is missing.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use exporter::spec::Architecture;
use exporter::tree::os;

/// The executable `name` in PATH, or `name` itself if it is an absolute path to one.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Joining an absolute name gives that name.
    let mut candidates = env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name));
    let absolute = Path::new(name).is_absolute().then(|| PathBuf::from(name));
    candidates.find(|path| is_executable(path)).or_else(|| absolute.filter(|path| is_executable(path)))
}

/// Whether it is a file that may be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Something a distribution packages under a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    /// The docker command line and engine.
    Docker,
    /// The docker plugin `buildx`.
    Buildx,
    /// QEMU for PCs.
    QemuX86,
    /// QEMU for 64-bit Arm.
    QemuArm,
    /// UEFI firmware for PCs.
    Ovmf,
    /// UEFI firmware for 64-bit Arm.
    Aavmf,
    /// skopeo, the smallest program that reads podman's images.
    Skopeo,
    /// The podman command line.
    Podman,
    /// The buildah command line.
    Buildah,
}

/// One family of distributions: an id in os-release, how it installs, and its names, in `Package`'s order.
struct Family {
    ids: &'static [&'static str],
    install: &'static str,
    names: [&'static str; 9],
}

const FAMILIES: [Family; 6] = [
    Family {
        ids: &["debian", "ubuntu"],
        install: "apt-get install",
        names: [
            "docker.io",
            "docker-buildx (from Docker's own repository: docker-buildx-plugin)",
            "qemu-system-x86",
            "qemu-system-arm",
            "ovmf",
            "qemu-efi-aarch64",
            "skopeo",
            "podman",
            "buildah",
        ],
    },
    Family {
        ids: &["fedora"],
        install: "dnf install",
        names: [
            "moby-engine",
            "docker-buildx",
            "qemu-system-x86",
            "qemu-system-aarch64",
            "edk2-ovmf",
            "edk2-aarch64",
            "skopeo",
            "podman",
            "buildah",
        ],
    },
    Family {
        ids: &["rhel", "centos"],
        install: "dnf install",
        names: [
            "docker-ce (from Docker's own repository)",
            "docker-buildx-plugin (from Docker's own repository)",
            "qemu-kvm",
            "qemu-kvm",
            "edk2-ovmf",
            "edk2-aarch64",
            "skopeo",
            "podman",
            "buildah",
        ],
    },
    Family {
        ids: &["alpine"],
        install: "apk add",
        names: [
            "docker",
            "docker-cli-buildx",
            "qemu-system-x86_64",
            "qemu-system-aarch64",
            "ovmf",
            "aavmf",
            "skopeo",
            "podman",
            "buildah",
        ],
    },
    Family {
        ids: &["arch"],
        install: "pacman -S",
        names: [
            "docker",
            "docker-buildx",
            "qemu-system-x86",
            "qemu-system-aarch64",
            "edk2-ovmf",
            "edk2-aarch64",
            "skopeo",
            "podman",
            "buildah",
        ],
    },
    Family {
        ids: &["opensuse", "suse", "sles"],
        install: "zypper install",
        names: [
            "docker",
            "docker-buildx",
            "qemu-x86",
            "qemu-arm",
            "qemu-ovmf-x86_64",
            "qemu-uefi-aarch64",
            "skopeo",
            "podman",
            "buildah",
        ],
    },
];

impl Package {
    /// The QEMU that runs an architecture's machines.
    pub(crate) fn qemu(arch: Architecture) -> Self {
        match arch {
            Architecture::X86_64 => Self::QemuX86,
            Architecture::Aarch64 => Self::QemuArm,
        }
    }

    /// The firmware of an architecture's machines.
    pub(crate) fn firmware(arch: Architecture) -> Self {
        match arch {
            Architecture::X86_64 => Self::Ovmf,
            Architecture::Aarch64 => Self::Aavmf,
        }
    }

    /// The hint to install it, with this host's own command where the distribution is known.
    pub(crate) fn hint(self) -> String {
        let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        self.hint_for(&os_release)
    }

    fn hint_for(self, os_release: &str) -> String {
        let ids = distribution_ids(os_release);
        let family =
            ids.iter().find_map(|id| FAMILIES.iter().find(|family| family.ids.contains(&id.as_str())));
        match family {
            Some(family) => format!("install it: {} {}", family.install, family.names[self as usize]),
            // Debian's names are the ones most often written about.
            None => format!("install it; Debian calls the package {}", FAMILIES[0].names[self as usize]),
        }
    }
}

/// `ID` and then `ID_LIKE` of an os-release(5) file: the distribution itself and what it descends from.
fn distribution_ids(os_release: &str) -> Vec<String> {
    let fields = os::parse_release(os_release);
    let value = |key| fields.get(key).map_or("", String::as_str);
    std::iter::once(value("ID")).chain(value("ID_LIKE").split_whitespace()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_own_command() {
        for (os_release, hint) in [
            ("ID=debian\n", "install it: apt-get install ovmf"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "install it: apt-get install ovmf"),
            ("NAME=x\nID=fedora\n", "install it: dnf install edk2-ovmf"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "install it: dnf install edk2-ovmf"),
            ("ID=alpine\n", "install it: apk add ovmf"),
            ("ID=arch\n", "install it: pacman -S edk2-ovmf"),
            (
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
                "install it: zypper install qemu-ovmf-x86_64",
            ),
            ("ID=haiku\n", "install it; Debian calls the package ovmf"),
            ("", "install it; Debian calls the package ovmf"),
        ] {
            assert_eq!(Package::Ovmf.hint_for(os_release), hint);
        }
    }

    #[test]
    fn programs_are_found_in_path_and_by_absolute_name() {
        assert!(find("sh").is_some());
        assert_eq!(find("/bin/sh"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find("/etc/passwd"), None);
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
