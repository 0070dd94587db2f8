//! Debian, Ubuntu and what is like them.

use super::{BOOT_OUT, Base, Install, Package, Plan, Step, missing};

/// Its presence makes an image one of this family.
pub(super) const TOOL: &str = "/usr/bin/apt-get";

/// What a machine needs besides the kernel. `?`: only some releases have it as a package.
pub(super) const MACHINE: &[Package] = &[
    Package { name: "initramfs-tools", shown_by: &["/usr/sbin/update-initramfs"] },
    Package { name: "zstd", shown_by: &["/usr/bin/zstd"] },
    Package { name: "systemd-sysv", shown_by: &["/sbin/init"] },
    Package { name: "?systemd-resolved", shown_by: &["/lib/systemd/systemd-resolved"] },
    Package { name: "?systemd-timesyncd", shown_by: &["/lib/systemd/systemd-timesyncd"] },
    Package { name: "libpam-systemd", shown_by: &["/usr/share/pam-configs/systemd"] },
    Package { name: "dbus", shown_by: &["/usr/bin/dbus-daemon"] },
    Package { name: "udev", shown_by: &["/usr/bin/udevadm", "/bin/udevadm"] },
    Package { name: "kmod", shown_by: &["/usr/bin/kmod", "/bin/kmod"] },
    Package { name: "iproute2", shown_by: &["/usr/bin/ip", "/bin/ip"] },
    Package { name: "e2fsprogs", shown_by: &["/usr/sbin/e2fsck", "/sbin/e2fsck"] },
    Package { name: "login", shown_by: &["/usr/bin/login", "/bin/login"] },
];

const APT: &str = include_str!("apt.sh");
const MACHINE_SCRIPT: &str = include_str!("apt-machine.sh");
const BOOT_SCRIPT: &str = include_str!("apt-boot.sh");

pub(super) fn plan(base: &Base, architecture: &str, asked: &Install) -> Plan {
    let id = base.os.id.as_str();
    let version = base.os.version_id.as_deref().unwrap_or("rolling");
    let cache = format!("vmimage-apt-{id}-{version}-{architecture}");
    let mut packages: Vec<String> = match &asked.kernel {
        Some(name) => vec![name.clone()],
        None if base.has_kernel() => Vec::new(),
        None => vec![default_kernel(id, architecture)],
    };
    packages.extend(missing(base, MACHINE));
    let machine = (!packages.is_empty()).then(|| Step {
        title: format!("[vmimage] install {}", packages.join(" ").replace('?', "")),
        script: format!("{APT}{MACHINE_SCRIPT}"),
        args: packages,
        cache: cache.clone(),
    });
    let boot = Step {
        title: "[vmimage] collect boot loader files".into(),
        script: format!("{APT}{BOOT_SCRIPT}"),
        args: vec![BOOT_OUT.into(), architecture.into()],
        cache,
    };
    Plan { machine, boot: Some(boot) }
}

/// The distribution's kernel for virtual machines; for bare metal ask for another with `VMIMAGE_KERNEL`.
fn default_kernel(id: &str, architecture: &str) -> String {
    match id {
        "debian" => format!("linux-image-cloud-{architecture}"),
        "ubuntu" => "linux-image-virtual".into(),
        _ => format!("linux-image-{architecture}"),
    }
}
