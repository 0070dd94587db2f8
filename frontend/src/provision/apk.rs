//! Alpine and what is like it.

use super::manager::Manager;
use super::release::{Boot, Release};

/// Alpine signs no boot loader.
pub(super) static MANAGER: Manager = Manager {
    name: "apk",
    tools: &["/sbin/apk", "/usr/bin/apk"],
    releases: RELEASES,
    files: FILES,
    machine_script: &[include_str!("apk-machine.sh")],
    locale: None,
    boot_script: &[],
};

/// The kernel's package brings mkinitfs. `alpine-base` is the distribution's own list of what a machine
/// has: its parts were renamed from release to release. Wolfi is for containers only.
#[rustfmt::skip]
const RELEASES: &[Release] = &[
    Release { ids: "alpine", since: "", kernel: "linux-virt", initramfs: "", init: "alpine-base e2fsprogs", network: "", boot: Boot::NONE },
    Release { ids: "wolfi",  since: "", kernel: "",           initramfs: "", init: "",                      network: "", boot: Boot::NONE },
];

const FILES: &[(&str, &[&str])] =
    &[("alpine-base", &["/sbin/openrc"]), ("e2fsprogs", &["/sbin/e2fsck", "/usr/sbin/e2fsck"])];
