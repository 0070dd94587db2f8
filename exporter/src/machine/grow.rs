//! The program that grows a partition and its file system to the disk at every boot, and the service that starts it.

use std::sync::Arc;

use super::{console, openrc, systemd};
use crate::error::Result;
use crate::tree::Editor;
use crate::tree::os::{Init, Os};

const PROGRAM: &str = "/usr/lib/vmimage/vmimage-grow";

/// Of a `cargo build` alone, or for another architecture than the frontend image's.
pub(super) const MISSING: &str = "growth: none, this vmimage has no vmimage-grow for the machine: \
    take that of the frontend image (make out/vmimage), made for its architecture";

const CLOUD_INIT: &str = "/etc/cloud/cloud.cfg";

/// What grows, for the services of every init.
struct Growing<'a> {
    mount_point: &'a str,
}

impl Growing<'_> {
    fn is_root(&self) -> bool {
        self.mount_point == "/"
    }

    fn name(&self) -> &str {
        if self.is_root() { "root" } else { self.mount_point }
    }

    fn command(&self) -> String {
        if self.is_root() { PROGRAM.to_owned() } else { format!("{PROGRAM} {}", self.mount_point) }
    }

    /// After it can be written to, and before anything can fill it: `local-fs.target` waits for a first room, and
    /// nothing for the process that does the rest. It needs no udev: its devices are those of the kernel's devtmpfs.
    fn unit(&self) -> String {
        let (name, command, mount_point) = (self.name(), self.command(), self.mount_point);
        let requires = match self.is_root() {
            true => String::new(),
            false => format!("RequiresMountsFor={mount_point}\n"),
        };
        format!(
            "\
[Unit]
Description=Grow the {name} partition and its file system to the disk
DefaultDependencies=no
{requires}After=systemd-remount-fs.service
Before=local-fs.target shutdown.target
Conflicts=shutdown.target
ConditionPathIsReadWrite={mount_point}

[Service]
Type=forking
RemainAfterExit=yes
TimeoutStartSec=infinity
ExecStart={command}
StandardOutput=journal+console

[Install]
WantedBy=local-fs.target
"
        )
    }

    /// The service by which systemd would grow it, systemd-growfs@.service(8).
    fn service_of_systemd(&self) -> String {
        if self.is_root() {
            return "systemd-growfs-root.service".to_owned();
        }
        format!("systemd-growfs@{}.service", systemd::escape_path(self.mount_point))
    }

    /// The unit's work for OpenRC.
    fn script(&self) -> String {
        let (name, command) = (self.name(), self.command());
        let needs = if self.is_root() { "need root\n\tbefore localmount" } else { "need localmount" };
        format!(
            "\
#!/sbin/openrc-run

description=\"Grow the {name} partition and its file system to the disk\"

depend()
{{
\t{needs}
}}

start()
{{
\tebegin \"Growing the {name} file system\"
\t{command}
\teend $?
}}
"
        )
    }
}

/// systemd's own growth, which it starts where a partition or a line in fstab asks for it: ext4 takes one at a time, and
/// the other fails.
const SYSTEMD_GROWS_NOT: &str = "\
[Unit]
ConditionPathExists=!/usr/lib/vmimage/vmimage-grow
";

/// The same of cloud-init; files of other names come later and decide.
const CLOUD_INIT_GROWS_NOT: &str = "\
# Written by vmimage: vmimage-grow does both.
growpart:
  mode: 'off'
resize_rootfs: false
";

pub(super) fn install(
    editor: &mut Editor<'_>,
    os: &Os,
    program: Arc<[u8]>,
    mount_point: &str,
) -> Result<Vec<String>> {
    let growing = Growing { mount_point };
    let command = growing.command();
    let what = if growing.is_root() { "the root" } else { mount_point };
    match os.init {
        Some(Init::Systemd) => {
            let unit = growing.unit().into_bytes();
            editor.write_file(format!("{}/vmimage-grow.service", systemd::USR), unit, 0o644)?;
            systemd::enable(editor, "vmimage-grow.service")?;
            let drop_in = format!("{}/{}.d/vmimage.conf", systemd::USR, growing.service_of_systemd());
            editor.write_file(drop_in, SYSTEMD_GROWS_NOT.as_bytes(), 0o644)?;
        }
        Some(Init::OpenRc) => {
            editor.write_file("/etc/init.d/vmimage-grow", growing.script().into_bytes(), 0o755)?;
            openrc::enable(editor, "vmimage-grow", "boot")?;
        }
        // After the system's own first scripts: they make the root writable, and mount the others.
        Some(init @ Init::Sysvinit) => {
            console::add_to_inittab(editor, init, &format!("vg::bootwait:{command}"))?;
        }
        Some(init @ Init::Busybox) => console::add_to_inittab(editor, init, &format!("::wait:{command}"))?,
        None => return Ok(vec![format!("growth: the init is not known, {what} keeps its size")]),
    }
    if editor.tree().resolve(CLOUD_INIT).is_some() {
        editor.write_file(
            format!("{CLOUD_INIT}.d/00_vmimage.cfg"),
            CLOUD_INIT_GROWS_NOT.as_bytes(),
            0o644,
        )?;
    }
    editor.write_file(PROGRAM, program, 0o755)?;
    Ok(vec![format!("{PROGRAM}: installed, {what} grows with the disk")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    fn edit(files: &[(&str, &str)]) -> (crate::tree::Tree, Vec<String>) {
        edit_at(files, "/")
    }

    fn edit_at(files: &[(&str, &str)], mount_point: &str) -> (crate::tree::Tree, Vec<String>) {
        let mut tree = tree(files);
        let os = os::detect(&tree).unwrap();
        let mut editor = Editor::new(&mut tree, Time::default());
        let mut install = || install(&mut editor, &os, Arc::from(*b"program"), mount_point).unwrap();
        let notes = install();
        install();
        (tree, notes)
    }

    #[test]
    fn every_init_starts_it_once() {
        let sysvinit = [("/sbin/init", ""), ("/etc/inittab", "si::sysinit:/etc/init.d/rcS")];
        let (tree, notes) = edit(&sysvinit);
        let line = "vg::bootwait:/usr/lib/vmimage/vmimage-grow\n";
        assert_eq!(text(&tree, "/etc/inittab").unwrap(), format!("si::sysinit:/etc/init.d/rcS\n{line}"));
        assert_eq!(text(&tree, PROGRAM).unwrap(), "program");
        assert_eq!(notes.len(), 1);

        let busybox = [("/bin/busybox", ""), ("/sbin/init", "-> /bin/busybox")];
        let (tree, _) = edit(&busybox);
        assert!(text(&tree, "/etc/inittab").unwrap().ends_with("\n::wait:/usr/lib/vmimage/vmimage-grow\n"));

        let (tree, notes) = edit(&[("/sbin/init", "somebody's own")]);
        assert!(tree.lookup("/etc/cloud").is_none());
        assert!(tree.lookup(PROGRAM).is_none() && notes[0].contains("not known"), "{notes:?}");
    }

    #[test]
    fn no_unit_waits_for_the_rest_and_nobody_else_grows_the_root() {
        let systemd = [("/usr/lib/systemd/systemd", ""), ("/sbin/init", "-> /usr/lib/systemd/systemd")];
        let (tree, _) = edit(&systemd);
        let unit = text(&tree, "/usr/lib/systemd/system/vmimage-grow.service").unwrap();
        assert!(unit.contains("\nType=forking\nRemainAfterExit=yes\n"), "{unit}");
        let drop_in = "/usr/lib/systemd/system/systemd-growfs-root.service.d/vmimage.conf";
        assert!(text(&tree, drop_in).unwrap().contains(&format!("ConditionPathExists=!{PROGRAM}")));

        let cloud = [&systemd[..], &[("/etc/cloud/cloud.cfg", "growpart:\n  mode: auto\n")]].concat();
        let (tree, _) = edit(&cloud);
        let config = text(&tree, "/etc/cloud/cloud.cfg.d/00_vmimage.cfg").unwrap();
        assert!(config.contains("mode: 'off'") && config.contains("resize_rootfs: false"), "{config}");
        assert_eq!(text(&tree, CLOUD_INIT).unwrap(), "growpart:\n  mode: auto\n");
    }

    #[test]
    fn another_partition_grows_once_it_is_mounted() {
        let systemd = [("/usr/lib/systemd/systemd", ""), ("/sbin/init", "-> /usr/lib/systemd/systemd")];
        let (tree, notes) = edit_at(&systemd, "/srv");
        assert_eq!(notes, [format!("{PROGRAM}: installed, /srv grows with the disk")]);
        let unit = text(&tree, "/usr/lib/systemd/system/vmimage-grow.service").unwrap();
        for line in [
            "RequiresMountsFor=/srv",
            "ConditionPathIsReadWrite=/srv",
            "ExecStart=/usr/lib/vmimage/vmimage-grow /srv",
        ] {
            assert!(unit.lines().any(|other| other == line), "{unit}");
        }
        let drop_in = "/usr/lib/systemd/system/systemd-growfs@srv.service.d/vmimage.conf";
        assert!(text(&tree, drop_in).unwrap().contains(&format!("ConditionPathExists=!{PROGRAM}")));

        let openrc = [("/sbin/init", "-> /bin/busybox"), ("/bin/busybox", ""), ("/sbin/openrc", "")];
        let (tree, _) = edit_at(&openrc, "/srv");
        let script = text(&tree, "/etc/init.d/vmimage-grow").unwrap();
        assert!(script.contains("\tneed localmount\n"), "{script}");
        assert!(script.contains("\t/usr/lib/vmimage/vmimage-grow /srv\n"), "{script}");
    }
}
