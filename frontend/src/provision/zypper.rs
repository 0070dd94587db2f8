//! openSUSE and SLES.

use super::manager::Manager;
use super::release::{Boot, Release};

/// systemd-sysvinit brings /sbin/init; where it is no package any more, systemd says that it provides it.
const INIT: &str = "systemd systemd-sysvinit udev util-linux e2fsprogs iproute2";
const SIGNED: Boot = Boot { uefi: "shim grub2-{grub}-efi", bios: "grub2 grub2-i386-pc" };

pub(super) static MANAGER: Manager = Manager {
    name: "zypper",
    tools: &["/usr/bin/zypper"],
    releases: RELEASES,
    files: FILES,
    machine_script: &[
        include_str!("zypper.sh"),
        include_str!("dracut.sh"),
        include_str!("zypper-machine.sh"),
    ],
    locale: Some(("glibc-locale", "")),
    boot_script: &[include_str!("zypper.sh"), include_str!("grub.sh"), include_str!("zypper-boot.sh")],
};

/// `-base` is the kernel with the drivers of virtual machines. SLES has NetworkManager for desktops only.
#[rustfmt::skip]
const RELEASES: &[Release] = &[
    Release { ids: "opensuse-tumbleweed opensuse suse", since: "",   kernel: "kernel-default-base", initramfs: "dracut", init: INIT, network: "NetworkManager", boot: SIGNED },
    Release { ids: "opensuse-leap",                     since: "15", kernel: "kernel-default-base", initramfs: "dracut", init: INIT, network: "NetworkManager", boot: SIGNED },
    Release { ids: "sles sles_sap sled",                since: "15", kernel: "kernel-default-base", initramfs: "dracut", init: INIT, network: "wicked",         boot: SIGNED },
    Release { ids: "sles sles_sap sled",                since: "16", kernel: "kernel-default-base", initramfs: "dracut", init: INIT, network: "NetworkManager", boot: SIGNED },
];

const FILES: &[(&str, &[&str])] = &[
    ("dracut", &["/usr/bin/dracut", "/usr/sbin/dracut"]),
    ("systemd", &["/usr/lib/systemd/systemd"]),
    ("systemd-sysvinit", &["/sbin/init"]),
    ("udev", &["/usr/bin/udevadm", "/sbin/udevadm"]),
    ("util-linux", &["/usr/sbin/agetty", "/sbin/agetty"]),
    ("e2fsprogs", &["/usr/sbin/e2fsck", "/sbin/e2fsck"]),
    ("iproute2", &["/usr/sbin/ip", "/sbin/ip"]),
    ("NetworkManager", &["/usr/sbin/NetworkManager"]),
    ("wicked", &["/usr/sbin/wicked"]),
];
