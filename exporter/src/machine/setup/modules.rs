//! Kernel modules that are loaded at boot.

use crate::error::Result;
use crate::tree::Editor;

const MODULES: &str = "/etc/modules-load.d/vmimage.conf";

/// systemd, OpenRC and vmimage's own init read the same folder.
pub(super) fn load(editor: &mut Editor<'_>, asked: &[String]) -> Result<Option<String>> {
    if asked.is_empty() {
        return Ok(None);
    }
    editor.write_file(MODULES, format!("{}\n", asked.join("\n")).into_bytes(), 0o644)?;
    Ok(Some(format!("{MODULES}: {}", asked.join(", "))))
}
