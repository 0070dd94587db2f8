//! Arch and what is like it.

use super::manager::{Crypt, Manager, Pin};
use super::release::{Boot, Metal, Release, row};

const INIT: &str = "systemd systemd-sysvcompat util-linux e2fsprogs iproute2";

/// Arch signs no boot loader; systemd-networkd and systemd-resolved are parts of systemd.
pub(super) static MANAGER: Manager = Manager {
    name: "pacman",
    tools: &["/usr/bin/pacman"],
    releases: RELEASES,
    metal: METAL,
    files: FILES,
    gives_way: &[],
    time_zones: "tzdata",
    redirects: false,
    archive: |_| None,
    places: None,
    pin: Pin::Newest { other: "linux-lts" },
    machine_script: &[include_str!("stand-ins.sh"), include_str!("pacman-machine.sh")],
    kernel_script: &[include_str!("pacman-kernel.sh")],
    stub: "systemd",
    drivers_script: (include_str!("pacman-drivers.sh"), ""),
    metal_script: (include_str!("pacman-metal.sh"), ""),
    crypt: Crypt { root: "", others: "cryptsetup", tpm: "tpm2-tss", tang: ["", "clevis"], script: ("", "") },
    locale: None,
    boot_script: &[],
};

#[rustfmt::skip]
const RELEASES: &[Release] = &[
    //  ID      since kernel   full kernel initramfs     init  network boot
    row("arch", "",   "linux", "linux",    "mkinitcpio", INIT, "",     Boot::NONE),
];

/// `linux-firmware` has not what servers' cards want.
const METAL: &[Metal] = &[Metal {
    ids: "arch",
    since: "",
    kernel: "linux",
    firmware: "linux-firmware linux-firmware-qlogic linux-firmware-liquidio linux-firmware-nfp",
    microcode: "intel-ucode amd-ucode",
    component: "",
}];

const FILES: &[(&str, &[&str])] = &[
    ("mkinitcpio", &["/usr/bin/mkinitcpio"]),
    ("systemd", &["/usr/lib/systemd/systemd"]),
    ("systemd-sysvcompat", &["/sbin/init"]),
    ("util-linux", &["/usr/bin/agetty"]),
    ("e2fsprogs", &["/usr/bin/e2fsck"]),
    ("iproute2", &["/usr/bin/ip"]),
];
