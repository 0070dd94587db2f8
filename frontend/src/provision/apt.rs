//! Debian, Ubuntu, Kali and what is like them.

use super::manager::Manager;
use super::release::{Boot, Release, row};

/// Unless there is dracut, or it is asked for: of the two a system has one.
const INITRAMFS: &str = "initramfs-tools zstd";
const INIT: &str = "systemd-sysv libpam-systemd dbus udev kmod iproute2 e2fsprogs login";
/// Older releases have these in systemd itself.
const NETWORK: &str = "?systemd-resolved ?systemd-timesyncd";
const SIGNED: Boot = Boot { uefi: "shim-signed grub-efi-{deb}-signed", bios: "grub-common grub-pc-bin" };

pub(super) static MANAGER: Manager = Manager {
    name: "apt",
    tools: &["/usr/bin/apt-get"],
    releases: RELEASES,
    files: FILES,
    redirects: true,
    version_sign: "@",
    machine_script: &[
        include_str!("apt.sh"),
        include_str!("version.sh"),
        include_str!("dracut.sh"),
        include_str!("stand-ins.sh"),
        include_str!("apt-machine.sh"),
    ],
    locale: Some(("locales", include_str!("apt-locale.sh"))),
    boot_script: &[include_str!("apt.sh"), include_str!("grub.sh"), include_str!("apt-boot.sh")],
};

#[rustfmt::skip]
const RELEASES: &[Release] = &[
    //  ID        since kernel                     full kernel            initramfs  init  network  boot
    row("debian", "",   "linux-image-cloud-{deb}", "linux-image-{deb}",   INITRAMFS, INIT, NETWORK, SIGNED),
    row("ubuntu", "",   "linux-image-virtual",     "linux-image-generic", INITRAMFS, INIT, NETWORK, SIGNED),
    row("kali",   "",   "linux-image-{deb}",       "linux-image-{deb}",   INITRAMFS, INIT, NETWORK, SIGNED),
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
