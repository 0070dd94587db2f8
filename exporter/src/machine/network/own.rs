//! vmimage's own init: it is told in a file what is asked of each card, and makes the rest by itself
//! (`exporter/guest/src/init/network.rs`).

use super::{names, resolver};
use crate::error::{Error, Kind, Result};
use crate::spec::network::{Interface, Manager, Network};
use crate::tree::Editor;

/// Where it looks.
const DESCRIPTION: &str = "/usr/lib/vmimage/network.json";

/// Tell vmimage's own init. Returns what was changed, a line for each change.
///
/// # Errors
/// What it cannot do.
pub(in crate::machine) fn install(editor: &mut Editor<'_>, network: &Network) -> Result<Vec<String>> {
    super::check(network)?;
    require(network)?;
    let mut notes = names::forget(editor, network)?;
    if !network.interfaces.is_empty() {
        let failed = |error: serde_json::Error| Error::new(Kind::Input, DESCRIPTION, error.to_string());
        let text = serde_json::to_vec(&network.interfaces).map_err(failed)?;
        editor.write_file(DESCRIPTION, text, 0o644)?;
        let shown: Vec<_> = network.interfaces.iter().map(Interface::shown).collect();
        notes.push(format!("{DESCRIPTION}: {}", shown.join(", ")));
    }
    notes.extend(names::write_plainly(editor, network)?);
    if !names::are_asked(network) {
        notes.extend(resolver::note(editor.tree())?);
    }
    Ok(notes)
}

fn require(network: &Network) -> Result<()> {
    let refused = |message: String| {
        Err(Error::new(Kind::Unsupported, "network", message)
            .with_hint("take the distribution's init and one of its managers"))
    };
    if network.manager != Manager::Auto {
        return refused(format!("{} is not started: the init is vmimage's own", network.manager.name()));
    }
    for interface in &network.interfaces {
        let what = match interface {
            Interface { vlan: Some(_), .. } => "VLANs",
            Interface { bond: Some(_), .. } => "bonds",
            _ => continue,
        };
        return refused(format!("{}: vmimage's own init makes no {what}", interface.shown()));
    }
    Ok(())
}
