//! Alpine and what is like it.

use super::manager::{Crypt, Manager, Pin};
use super::release::{Boot, Metal, Release, row};
use super::sources::{Place, Places};

/// Alpine signs no boot loader.
pub(super) static MANAGER: Manager = Manager {
    name: "apk",
    tools: &["/sbin/apk", "/usr/bin/apk"],
    releases: RELEASES,
    metal: METAL,
    files: FILES,
    gives_way: &[],
    time_zones: "tzdata",
    redirects: true,
    archive: |_| None,
    places: Some(Places { repository: |_| Place::Line("/etc/apk/repositories"), keys: "/etc/apk/keys" }),
    pin: Pin::Prefix,
    machine_script: &[include_str!("apk.sh"), include_str!("stand-ins.sh"), include_str!("apk-machine.sh")],
    kernel_script: &[include_str!("apk.sh"), include_str!("apk-kernel.sh")],
    stub: "systemd-efistub",
    drivers_script: ("", include_str!("apk-drivers.sh")),
    metal_script: ("", include_str!("apk-metal.sh")),
    crypt: Crypt {
        root: "cryptsetup",
        others: "cryptsetup cryptsetup-openrc",
        tpm: "",
        tang: [""; 2],
        script: ("", include_str!("apk-crypt.sh")),
    },
    locale: None,
    boot_script: &[],
};

/// The kernel's package brings mkinitfs; AHCI is built into it, e1000 a module. `alpine-base` is the distribution's own list of what a machine
/// has: its parts were renamed from release to release. Wolfi is for containers only.
#[rustfmt::skip]
const RELEASES: &[Release] = &[
    //  ID        since kernel        full kernel   initramfs init                     network boot
    row("alpine", "",   "linux-virt", "linux-virt", "",       "alpine-base e2fsprogs", "",     Boot::NONE),
    row("wolfi",  "",   "",           "",           "",       "",                      "",     Boot::NONE),
];

const METAL: &[Metal] = &[Metal {
    ids: "alpine",
    since: "",
    kernel: "linux-lts",
    firmware: "linux-firmware",
    microcode: "intel-ucode amd-ucode",
    component: "",
}];

const FILES: &[(&str, &[&str])] =
    &[("alpine-base", &["/sbin/openrc"]), ("e2fsprogs", &["/sbin/e2fsck", "/usr/sbin/e2fsck"])];
