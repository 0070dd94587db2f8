//! openSUSE and SLES.

use super::manager::{Crypt, Manager, Pin};
use super::release::{Boot, Metal, Release, row};
use super::sources::{Place, Places, RPM_KEYS};

/// systemd-sysvinit brings /sbin/init; where it is no package any more, systemd says that it provides it.
const INIT: &str = "systemd systemd-sysvinit udev util-linux e2fsprogs iproute2";
const SIGNED: Boot = Boot { uefi: "shim grub2-{grub}-efi", bios: "grub2 grub2-i386-pc", modules: "grub2" };

pub(super) static MANAGER: Manager = Manager {
    name: "zypper",
    tools: &["/usr/bin/zypper"],
    releases: RELEASES,
    metal: METAL,
    files: FILES,
    gives_way: &[],
    time_zones: "timezone",
    redirects: true,
    archive: |_| None,
    places: Some(Places {
        repository: |repository| Place::File(format!("/etc/zypp/repos.d/{}.repo", repository.name)),
        keys: RPM_KEYS,
    }),
    pin: Pin::Script,
    machine_script: &[
        include_str!("rpm.sh"),
        include_str!("zypper.sh"),
        include_str!("version.sh"),
        include_str!("dracut.sh"),
        include_str!("stand-ins.sh"),
        include_str!("zypper-machine.sh"),
    ],
    kernel_script: &[
        include_str!("rpm.sh"),
        include_str!("zypper.sh"),
        include_str!("version.sh"),
        include_str!("zypper-kernel.sh"),
    ],
    stub: "systemd-boot",
    drivers_script: (concat!(include_str!("dracut-drivers.sh"), "add_drivers_to_dracut\n"), ""),
    metal_script: (concat!(include_str!("dracut-metal.sh"), "add_metal_to_dracut\n"), ""),
    crypt: Crypt {
        root: "",
        others: "cryptsetup",
        tpm: "tpm2-0-tss",
        tang: ["", "clevis"],
        script: ("", ""),
    },
    locale: Some(("glibc-locale", "")),
    boot_script: &[
        include_str!("rpm.sh"),
        include_str!("zypper.sh"),
        include_str!("grub.sh"),
        include_str!("zypper-boot.sh"),
    ],
};

/// `-base` is the kernel with the drivers of virtual machines. SLES 15 has NetworkManager for desktops only.
#[rustfmt::skip]
const RELEASES: &[Release] = &[
    //  ID                                   since kernel                 full kernel       initramfs init  network           boot
    row("opensuse-tumbleweed opensuse suse", "",   "kernel-default-base", "kernel-default", "dracut", INIT, "NetworkManager", SIGNED),
    row("opensuse-leap",                     "15", "kernel-default-base", "kernel-default", "dracut", INIT, "NetworkManager", SIGNED),
    row("sles sles_sap sled",                "15", "kernel-default-base", "kernel-default", "dracut", INIT, "wicked",         SIGNED),
    row("sles sles_sap sled",                "16", "kernel-default-base", "kernel-default", "dracut", INIT, "NetworkManager", SIGNED),
];

const METAL: &[Metal] = &[Metal {
    ids: "opensuse-tumbleweed opensuse suse opensuse-leap sles sles_sap sled",
    since: "",
    kernel: "kernel-default",
    firmware: "kernel-firmware-all",
    microcode: "ucode-intel ucode-amd",
    component: "",
}];

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
