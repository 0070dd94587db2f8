//! Alpine and what is like it.

use super::sources::Manager;
use super::{Base, Install, Package, Plan, Step};

/// Its presence makes an image one of this family.
pub(super) const TOOL: &str = "/sbin/apk";

/// What a machine needs besides the kernel, whose package brings mkinitfs. `alpine-base` is the
/// distribution's own list of what a machine has: its parts were renamed from release to release.
pub(super) const MACHINE: &[Package] = &[
    Package { name: "alpine-base", shown_by: &["/sbin/openrc"] },
    Package { name: "e2fsprogs", shown_by: &["/sbin/e2fsck", "/usr/sbin/e2fsck"] },
];

/// Keys are told by their names, which are in the signatures.
pub(super) const MANAGER: Manager =
    Manager { file: |_| None, main: "/etc/apk/repositories", keys: "/etc/apk/keys" };

const MACHINE_SCRIPT: &str = include_str!("apk-machine.sh");

/// Alpine signs no boot loader, so there is no boot stage: the frontend's own files do.
pub(super) fn plan(base: &Base, asked: &Install) -> Plan {
    let version = base.os.version_id.as_deref().unwrap_or("edge");
    let kernel = asked.kernel_package(base, || "linux-virt".into());
    let packages = asked.packages(base, kernel, MACHINE);
    let machine = (!packages.is_empty() || asked.is_more_than_kernel()).then(|| Step {
        title: format!("[vmimage] install {}", packages.join(" ")),
        script: MACHINE_SCRIPT.into(),
        args: packages,
        cache: format!("vmimage-apk-{version}"),
    });
    Plan { machine, boot: None }
}
