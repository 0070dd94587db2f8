//! The program that grows the root to the disk at every boot, and the service that starts it.

use std::sync::Arc;

use super::{console, openrc, systemd};
use crate::error::Result;
use crate::tree::Editor;
use crate::tree::os::{Init, Os};

const PROGRAM: &str = "/usr/lib/vmimage/vmimage-grow";

/// Of a `cargo build` alone, or for another architecture than the frontend image's.
pub(super) const MISSING: &str = "growth: none, this vmimage has no vmimage-grow for the machine: \
    take that of the frontend image (make out/vmimage), made for its architecture";

/// After the root can be written to, before anything can fill it, and before systemd's own growth, which Debian
/// sid's starts for roots whose partition asks for it: the partition has its size by then, and ext4 takes one at a time. It
/// needs no udev: its devices are those of the kernel's devtmpfs.
const UNIT: &str = "\
[Unit]
Description=Grow the root partition and its file system to the disk
DefaultDependencies=no
After=systemd-remount-fs.service
Before=systemd-growfs-root.service local-fs.target shutdown.target
Conflicts=shutdown.target
ConditionPathIsReadWrite=/

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/vmimage/vmimage-grow
StandardOutput=journal+console

[Install]
WantedBy=local-fs.target
";

const SCRIPT: &str = "\
#!/sbin/openrc-run

description=\"Grow the root partition and its file system to the disk\"

depend()
{
\tneed root
\tbefore localmount
}

start()
{
\tebegin \"Growing the root file system\"
\t/usr/lib/vmimage/vmimage-grow
\teend $?
}
";

pub(super) fn install(editor: &mut Editor<'_>, os: &Os, program: Arc<[u8]>) -> Result<Vec<String>> {
    match os.init {
        Some(Init::Systemd) => {
            editor.write_file(format!("{}/vmimage-grow.service", systemd::USR), UNIT.as_bytes(), 0o644)?;
            systemd::enable(editor, "vmimage-grow.service")?;
        }
        Some(Init::OpenRc) => {
            editor.write_file("/etc/init.d/vmimage-grow", SCRIPT.as_bytes(), 0o755)?;
            openrc::enable(editor, "vmimage-grow", "boot")?;
        }
        // After the system's own first scripts: they make the root writable.
        Some(init @ Init::Sysvinit) => {
            console::add_to_inittab(editor, init, &format!("vg::bootwait:{PROGRAM}"))?;
        }
        Some(init @ Init::Busybox) => console::add_to_inittab(editor, init, &format!("::wait:{PROGRAM}"))?,
        None => return Ok(vec!["growth: the init is not known, the root keeps its size".into()]),
    }
    editor.write_file(PROGRAM, program, 0o755)?;
    Ok(vec![format!("{PROGRAM}: installed, the root grows with the disk")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    fn edit(files: &[(&str, &str)]) -> (crate::tree::Tree, Vec<String>) {
        let mut tree = tree(files);
        let os = os::detect(&tree).unwrap();
        let mut editor = Editor::new(&mut tree, Time::default());
        let notes = install(&mut editor, &os, Arc::from(*b"program")).unwrap();
        install(&mut editor, &os, Arc::from(*b"program")).unwrap();
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
        assert!(tree.lookup(PROGRAM).is_none() && notes[0].contains("not known"), "{notes:?}");
    }
}
