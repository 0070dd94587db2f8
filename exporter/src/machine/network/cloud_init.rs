//! cloud-init writes down the network that its platform tells of, over any other: where one was asked for, it is told not
//! to (<https://docs.cloud-init.io/en/latest/reference/network-config.html>, "Disabling network configuration").

use crate::error::Result;
use crate::tree::Editor;

const CONFIG: &str = "/etc/cloud/cloud.cfg";
const DISABLE: &str = "/etc/cloud/cloud.cfg.d/99-vmimage-network.cfg";

pub(super) fn leave_the_network(editor: &mut Editor<'_>) -> Result<Option<String>> {
    if editor.tree().resolve(CONFIG).is_none() {
        return Ok(None);
    }
    editor.write_file(DISABLE, *b"network:\n  config: disabled\n", 0o644)?;
    Ok(Some(format!("{DISABLE}: cloud-init leaves the network alone")))
}
