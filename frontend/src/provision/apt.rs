//! Debian, Ubuntu and what is like them.

use super::sources::Manager;
use super::{BOOT_OUT, Base, Install, Package, Plan, Step};

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

/// Sources are deb822 or lines, told by their first field; keys are those that `signed-by` names.
pub(super) const MANAGER: Manager = Manager {
    file: |repository| {
        let is_deb822 = repository.source.lines().any(|line| line.starts_with("Types:"));
        let ending = if is_deb822 { "sources" } else { "list" };
        Some(format!("/etc/apt/sources.list.d/{}.{ending}", repository.name))
    },
    main: "/etc/apt/sources.list",
    keys: "/etc/apt/keyrings",
};

const LOCALE_SCRIPT: &str = include_str!("apt-locale.sh");
const APT: &str = include_str!("apt.sh");
const MACHINE_SCRIPT: &str = include_str!("apt-machine.sh");
const BOOT_SCRIPT: &str = include_str!("apt-boot.sh");

pub(super) fn plan(base: &Base, architecture: &str, asked: &Install) -> Plan {
    let id = base.os.id.as_str();
    let version = base.os.version_id.as_deref().unwrap_or("rolling");
    let cache = format!("vmimage-apt-{id}-{version}-{architecture}");
    let kernel = asked.kernel_package(base, || default_kernel(id, architecture));
    let mut packages = asked.packages(base, kernel, MACHINE);
    let locale = asked.locale.as_deref().filter(|name| !is_built_in(name));
    packages.extend(locale.map(|_| "locales".to_owned()));
    let is_needed = !packages.is_empty() || asked.is_more_than_kernel();
    let machine = is_needed.then(|| Step {
        title: format!("[vmimage] install {}", packages.join(" ").replace('?', "")),
        script: format!("{APT}{MACHINE_SCRIPT}{}", locale.map(locale_script).unwrap_or_default()),
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

/// Locales that glibc has without any file.
fn is_built_in(locale: &str) -> bool {
    matches!(locale.split('.').next(), Some("C" | "POSIX"))
}

/// The name has nothing that a shell would take for something else.
fn locale_script(locale: &str) -> String {
    format!("\nlocale='{locale}'\n{LOCALE_SCRIPT}")
}
