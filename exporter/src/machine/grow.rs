//! The program that grows the root to the disk at every boot, and the service that starts it.

use std::sync::Arc;

use super::{openrc, systemd};
use crate::error::Result;
use crate::tree::Editor;
use crate::tree::os::{Init, Os};

const PROGRAM: &str = "/usr/lib/vmimage/vmimage-grow";

/// After the root can be written to, before anything can fill it. It needs no udev: its devices are
/// those of the kernel's devtmpfs.
const UNIT: &str = "\
[Unit]
Description=Grow the root partition and its file system to the disk
DefaultDependencies=no
After=systemd-remount-fs.service
Before=local-fs.target shutdown.target
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
        _ => return Ok(vec!["growth: neither systemd nor OpenRC, the root keeps its size".into()]),
    }
    editor.write_file(PROGRAM, program, 0o755)?;
    Ok(vec![format!("{PROGRAM}: installed, the root grows with the disk")])
}
