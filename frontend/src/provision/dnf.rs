//! Fedora, RHEL with its rebuilds and relatives, openEuler, Amazon Linux: dnf, microdnf and yum.

use super::manager::Manager;
use super::release::{Boot, Release};

const INIT: &str = "systemd systemd-udev util-linux e2fsprogs iproute";
/// udev was a part of systemd.
const INIT_7: &str = "systemd util-linux e2fsprogs iproute";
/// systemd-networkd gives the name servers to systemd-resolved.
const NETWORKD: &str = "systemd-networkd systemd-resolved";
/// A file may stand for a package: grub2-mkimage has moved from one to another.
const SIGNED: Boot =
    Boot { uefi: "shim-{efi} grub2-efi-{efi}", bios: "grub2-pc-modules /usr/bin/grub2-mkimage" };
const OPENEULER: Boot =
    Boot { uefi: "shim grub2-efi-{efi}", bios: "grub2-pc-modules /usr/bin/grub2-mkimage" };

pub(super) static MANAGER: Manager = Manager {
    name: "dnf",
    tools: &["/usr/bin/dnf", "/usr/bin/microdnf", "/usr/bin/yum"],
    releases: RELEASES,
    files: FILES,
    machine_script: &[include_str!("dnf.sh"), include_str!("dracut.sh"), include_str!("dnf-machine.sh")],
    locale: Some(("glibc-langpack-{}", "")),
    boot_script: &[include_str!("dnf.sh"), include_str!("grub.sh"), include_str!("dnf-boot.sh")],
};

/// Amazon's boot loaders are signed with keys of its own, which only its machines know.
#[rustfmt::skip]
const RELEASES: &[Release] = &[
    Release { ids: "fedora",                            since: "",     kernel: "kernel-core", initramfs: "dracut", init: INIT,   network: "NetworkManager", boot: SIGNED },
    Release { ids: "rhel centos rocky almalinux ol",    since: "7",    kernel: "kernel",      initramfs: "dracut", init: INIT_7, network: "NetworkManager", boot: SIGNED },
    Release { ids: "rhel centos rocky almalinux ol",    since: "8",    kernel: "kernel-core", initramfs: "dracut", init: INIT,   network: "NetworkManager", boot: SIGNED },
    Release { ids: "openEuler",                         since: "",     kernel: "kernel",      initramfs: "dracut", init: INIT,   network: "NetworkManager", boot: OPENEULER },
    Release { ids: "amzn",                              since: "2",    kernel: "kernel",      initramfs: "dracut", init: INIT_7, network: "NetworkManager", boot: Boot::NONE },
    Release { ids: "amzn",                              since: "2023", kernel: "kernel",      initramfs: "dracut", init: INIT,   network: NETWORKD,         boot: Boot::NONE },
];

const FILES: &[(&str, &[&str])] = &[
    ("dracut", &["/usr/bin/dracut", "/usr/sbin/dracut"]),
    ("systemd", &["/usr/lib/systemd/systemd"]),
    ("systemd-udev", &["/usr/bin/udevadm", "/usr/sbin/udevadm"]),
    ("util-linux", &["/usr/sbin/agetty", "/usr/bin/agetty"]),
    ("e2fsprogs", &["/usr/sbin/e2fsck", "/usr/bin/e2fsck"]),
    ("iproute", &["/usr/sbin/ip", "/usr/bin/ip"]),
    ("NetworkManager", &["/usr/sbin/NetworkManager", "/usr/bin/NetworkManager"]),
    ("systemd-networkd", &["/usr/lib/systemd/systemd-networkd"]),
    ("systemd-resolved", &["/usr/lib/systemd/systemd-resolved"]),
];
