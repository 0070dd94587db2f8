//! Debian, Ubuntu, Kali and what is like them.

use exporter::tree::os::Os;

use super::archive::is_up_to;
use super::manager::{Crypt, Manager, Pin};
use super::release::{Boot, Metal, Release, row};
use super::sources::{Place, Places};
use crate::ask::Repository;

/// Unless there is dracut.
const INITRAMFS: &str = "initramfs-tools zstd";
const INIT: &str = "systemd-sysv libpam-systemd dbus udev kmod iproute2 e2fsprogs login";
/// Older releases have these in systemd itself.
const NETWORK: &str = "?systemd-resolved ?systemd-timesyncd";
const SIGNED: Boot = Boot {
    uefi: "shim-signed grub-efi-{deb}-signed",
    bios: "grub-common grub-pc-bin",
    modules: "grub-common grub-efi-{deb}-bin",
};

pub(super) static MANAGER: Manager = Manager {
    name: "apt",
    tools: &["/usr/bin/apt-get"],
    releases: RELEASES,
    metal: METAL,
    files: FILES,
    gives_way: &[("initramfs-tools", "dracut")],
    time_zones: "tzdata",
    redirects: true,
    archive,
    // Keys are those that `signed-by` names.
    places: Some(Places { repository, keys: "/etc/apt/keyrings" }),
    pin: Pin::Script,
    machine_script: &[
        include_str!("apt.sh"),
        include_str!("version.sh"),
        include_str!("dracut.sh"),
        include_str!("stand-ins.sh"),
        include_str!("apt-machine.sh"),
    ],
    kernel_script: &[include_str!("apt.sh"), include_str!("version.sh"), include_str!("apt-kernel.sh")],
    stub: "systemd-boot-efi",
    drivers_script: (concat!(include_str!("dracut-drivers.sh"), include_str!("apt-drivers.sh")), ""),
    metal_script: (concat!(include_str!("dracut-metal.sh"), include_str!("apt-metal.sh")), ""),
    crypt: Crypt {
        root: "cryptsetup-initramfs",
        others: "cryptsetup ?systemd-cryptsetup",
        tpm: "tpm2-tools ?libtss2-tcti-device0 ?libtss2-tcti-device0t64",
        tang: ["clevis-initramfs", "clevis-luks clevis-systemd"],
        script: (include_str!("apt-key.sh"), include_str!("apt-key-initramfs.sh")),
    },
    locale: Some(("locales", include_str!("apt-locale.sh"))),
    boot_script: &[include_str!("apt.sh"), include_str!("grub.sh"), include_str!("apt-boot.sh")],
};

/// Sources are deb822 or lines, told by their first field.
fn repository(repository: &Repository) -> Place {
    let is_deb822 = repository.source.lines().any(|line| line.starts_with("Types:"));
    let extension = if is_deb822 { "sources" } else { "list" };
    Place::File(format!("/etc/apt/sources.list.d/{}.{extension}", repository.name))
}

/// Ubuntu's releases with long-term support stay on `archive.ubuntu.com`.
fn archive(os: &Os) -> Option<&'static str> {
    match &*os.id {
        "debian" if is_up_to(os, "10") => Some("http://archive.debian.org"),
        "ubuntu" if is_up_to(os, "12.04") || is_up_to(os, "24.10") && !has_long_support(os) => {
            Some("http://old-releases.ubuntu.com")
        }
        _ => None,
    }
}

/// Every second April's: 14.04, 16.04.
fn has_long_support(os: &Os) -> bool {
    let year = os.version_id.as_deref().and_then(|version| version.strip_suffix(".04")?.parse::<u32>().ok());
    year.is_some_and(|year| year % 2 == 0)
}

#[rustfmt::skip]
const RELEASES: &[Release] = &[
    //  ID        since kernel                     full kernel            initramfs  init  network  boot
    row("debian", "",   "linux-image-cloud-{deb}", "linux-image-{deb}",   INITRAMFS, INIT, NETWORK, SIGNED),
    row("ubuntu", "",   "linux-image-virtual",     "linux-image-generic", INITRAMFS, INIT, NETWORK, SIGNED),
    row("kali",   "",   "linux-image-{deb}",       "linux-image-{deb}",   INITRAMFS, INIT, NETWORK, SIGNED),
];

/// Of Debian, whose package for all has not what servers' cards want, nor wireless ones.
const FIRMWARE: &str = "firmware-linux firmware-bnx2 firmware-bnx2x firmware-realtek firmware-qlogic firmware-cavium \
                        firmware-netxen firmware-myricom firmware-netronome firmware-iwlwifi firmware-atheros \
                        firmware-brcm80211 ?firmware-mediatek ?firmware-intel-misc";
const MICROCODE: &str = "intel-microcode amd64-microcode";

// Until 11 what `intel-microcode` depends on, `iucode-tool`, is in `contrib`.
#[rustfmt::skip]
const METAL: &[Metal] = &[
    Metal { ids: "debian", since: "",   kernel: "linux-image-{deb}",   firmware: FIRMWARE,         microcode: MICROCODE, component: "non-free contrib" },
    Metal { ids: "debian", since: "12", kernel: "linux-image-{deb}",   firmware: FIRMWARE,         microcode: MICROCODE, component: "non-free-firmware" },
    Metal { ids: "ubuntu", since: "",   kernel: "linux-image-generic", firmware: "linux-firmware", microcode: MICROCODE, component: "" },
    Metal { ids: "kali",   since: "",   kernel: "linux-image-{deb}",   firmware: FIRMWARE,         microcode: MICROCODE, component: "non-free-firmware" },
];

/// sysvinit's. What would bring systemd takes its place (`libpam-systemd` depends on `systemd-sysv`), so where
/// this is, nothing of systemd is missing.
const SYSVINIT: &str = "/usr/share/sysvinit/inittab";

const FILES: &[(&str, &[&str])] = &[
    // update-initramfs itself may be a stand-in.
    ("initramfs-tools", &["/var/lib/dpkg/info/initramfs-tools.postinst", "/usr/bin/dracut"]),
    ("zstd", &["/usr/bin/zstd"]),
    ("systemd-sysv", &["/sbin/init"]),
    ("systemd-resolved", &["/lib/systemd/systemd-resolved", SYSVINIT]),
    ("systemd-timesyncd", &["/lib/systemd/systemd-timesyncd", SYSVINIT]),
    ("libpam-systemd", &["/usr/share/pam-configs/systemd", SYSVINIT]),
    ("dbus", &["/usr/bin/dbus-daemon", SYSVINIT]),
    ("udev", &["/usr/bin/udevadm", "/bin/udevadm"]),
    ("kmod", &["/usr/bin/kmod", "/bin/kmod"]),
    ("iproute2", &["/usr/bin/ip", "/bin/ip"]),
    ("e2fsprogs", &["/usr/sbin/e2fsck", "/sbin/e2fsck"]),
    ("login", &["/usr/bin/login", "/bin/login"]),
];
