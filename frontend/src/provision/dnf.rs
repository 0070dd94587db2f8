//! Fedora, RHEL with its rebuilds and relatives, openEuler, Amazon Linux: dnf, microdnf and yum.

use exporter::tree::os::Os;

use super::archive::is_up_to;
use super::manager::{Crypt, Manager, Pin};
use super::release::{Boot, Metal, Release, row};
use super::sources::{Place, Places, RPM_KEYS};

const INIT: &str = "systemd systemd-udev util-linux e2fsprogs iproute";
/// udev was a part of systemd.
const INIT_7: &str = "systemd util-linux e2fsprogs iproute";
/// systemd-networkd gives the name servers to systemd-resolved.
const NETWORKD: &str = "systemd-networkd systemd-resolved";
/// A file may stand for a package: grub2-mkimage has moved from one to another.
const SIGNED: Boot = Boot {
    uefi: "shim-{efi} grub2-efi-{efi}",
    bios: "grub2-pc-modules /usr/bin/grub2-mkimage",
    modules: "grub2-efi-{efi}-modules /usr/bin/grub2-mkimage",
};
const OPENEULER: Boot = Boot { uefi: "shim grub2-efi-{efi}", ..SIGNED };

pub(super) static MANAGER: Manager = Manager {
    name: "dnf",
    tools: &["/usr/bin/dnf", "/usr/bin/microdnf", "/usr/bin/yum"],
    releases: RELEASES,
    metal: METAL,
    files: FILES,
    gives_way: &[],
    time_zones: "tzdata",
    redirects: true,
    archive,
    places: Some(Places {
        repository: |repository| Place::File(format!("/etc/yum.repos.d/{}.repo", repository.name)),
        keys: RPM_KEYS,
    }),
    pin: Pin::Script,
    machine_script: &[
        include_str!("rpm.sh"),
        include_str!("repodata.sh"),
        include_str!("dnf.sh"),
        include_str!("version.sh"),
        include_str!("dracut.sh"),
        include_str!("stand-ins.sh"),
        include_str!("dnf-machine.sh"),
    ],
    kernel_script: &[
        include_str!("rpm.sh"),
        include_str!("repodata.sh"),
        include_str!("dnf.sh"),
        include_str!("version.sh"),
        include_str!("dnf-kernel.sh"),
    ],
    stub: "systemd-boot-unsigned",
    drivers_script: (concat!(include_str!("dracut-drivers.sh"), "add_drivers_to_dracut\n"), ""),
    metal_script: (concat!(include_str!("dracut-metal.sh"), include_str!("dnf-metal.sh")), ""),
    crypt: Crypt {
        root: "cryptsetup",
        others: "cryptsetup",
        // By tpm2-tools dracut knows that it can do it.
        tpm: "tpm2-tss tpm2-tools",
        tang: ["clevis-luks clevis-dracut", "clevis-luks clevis-systemd"],
        script: (include_str!("dracut-crypt.sh"), ""),
    },
    locale: Some(("glibc-langpack-{}", "")),
    boot_script: &[
        include_str!("rpm.sh"),
        include_str!("repodata.sh"),
        include_str!("dnf.sh"),
        include_str!("grub.sh"),
        include_str!("dnf-boot.sh"),
    ],
};

/// CentOS Stream 8, too. Fedora's list of mirrors leads to its archive.
fn archive(os: &Os) -> Option<&'static str> {
    (os.id == "centos" && is_up_to(os, "8")).then_some("http://vault.centos.org")
}

/// Amazon's boot loaders are signed with keys of its own, which only its machines know.
#[rustfmt::skip]
const RELEASES: &[Release] = &[
    //  ID                                since   kernel         full kernel initramfs init    network           boot
    row("fedora",                         "",     "kernel-core", "kernel",   "dracut", INIT,   "NetworkManager", SIGNED),
    row("rhel centos rocky almalinux ol", "7",    "kernel",      "kernel",   "dracut", INIT_7, "NetworkManager", SIGNED),
    row("rhel centos rocky almalinux ol", "8",    "kernel-core", "kernel",   "dracut", INIT,   "NetworkManager", SIGNED),
    row("openEuler",                      "",     "kernel",      "kernel",   "dracut", INIT,   "NetworkManager", OPENEULER),
    row("amzn",                           "2",    "kernel",      "kernel",   "dracut", INIT_7, "NetworkManager", Boot::NONE),
    row("amzn",                           "2023", "kernel",      "kernel",   "dracut", INIT,   NETWORKD,         Boot::NONE),
];

/// Fedora has taken it apart, others after it.
const FIRMWARE: &str = "linux-firmware ?realtek-firmware ?qed-firmware ?netronome-firmware ?liquidio-firmware \
                        ?iwlwifi-mvm-firmware ?iwlwifi-dvm-firmware ?atheros-firmware ?brcmfmac-firmware ?mt7xxx-firmware";
const MICROCODE: &str = "microcode_ctl ?amd-ucode-firmware";

/// Amazon's is for its own machines.
#[rustfmt::skip]
const METAL: &[Metal] = &[
    Metal { ids: "fedora",                         since: "",  kernel: "kernel kernel-modules-extra", firmware: FIRMWARE,         microcode: MICROCODE,       component: "" },
    Metal { ids: "rhel centos rocky almalinux ol", since: "7", kernel: "kernel",                      firmware: "linux-firmware", microcode: "microcode_ctl", component: "" },
    Metal { ids: "rhel centos rocky almalinux ol", since: "8", kernel: "kernel kernel-modules-extra", firmware: FIRMWARE,         microcode: MICROCODE,       component: "" },
    Metal { ids: "openEuler",                      since: "",  kernel: "kernel",                      firmware: "linux-firmware", microcode: "microcode_ctl", component: "" },
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
