//! Of two who configure one card, nobody knows who wins: beside the manager that was chosen, the others are switched
//! off.

use super::ifupdown::INTERFACES;
use super::{LOOPBACK, NETPLAN, files, has_card, openrc, read, systemd};
use crate::error::Result;
use crate::spec::network::Manager;
use crate::tree::Editor;

/// Services that configure cards, and those that are no service's without them.
const SERVICES: [(Option<Manager>, &[&str]); 5] = [
    (Some(Manager::NetworkManager), &["NetworkManager", "NetworkManager-wait-online"]),
    (Some(Manager::Networkd), &["systemd-networkd", "systemd-networkd-wait-online"]),
    (None, &["dhcpcd"]),
    (None, &["connman"]),
    (None, &["wicked"]),
];

/// Switch off whoever is not `manager`; a line for each.
pub(super) fn stop(editor: &mut Editor<'_>, manager: Manager) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    // netplan has networkd do its work.
    let works = if manager == Manager::Netplan { Manager::Networkd } else { manager };
    for (_, services) in SERVICES.into_iter().filter(|(of, _)| *of != Some(works)) {
        let stopped = |service: &&&str| {
            let by_systemd = systemd::disable(editor, &format!("{service}.service"));
            openrc::disable(editor, &service.to_lowercase()) || by_systemd
        };
        let stopped: Vec<_> = services.iter().filter(stopped).collect();
        notes.extend(
            stopped
                .first()
                .map(|service| format!("{service}: switched off, {} configures the network", manager.name())),
        );
    }
    if manager != Manager::Ifupdown {
        notes.extend(forget_interfaces(editor)?);
    }
    if manager != Manager::Netplan {
        notes.extend(remove(editor, files(editor.tree(), NETPLAN, ".yaml")));
    }
    Ok(notes)
}

/// Cards of ifupdown.
pub(super) fn forget_interfaces(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if has_card(&read(editor.tree(), INTERFACES)?) {
        editor.write_file(INTERFACES, LOOPBACK.as_bytes(), 0o644)?;
        notes.push(format!("{INTERFACES}: the image's own interfaces are left out"));
    }
    let mut others = Vec::new();
    for path in files(editor.tree(), &format!("{INTERFACES}.d"), "") {
        if has_card(&read(editor.tree(), &path)?) {
            others.push(path);
        }
    }
    notes.extend(remove(editor, others));
    Ok(notes)
}

/// A line for each that was there.
pub(super) fn remove(editor: &mut Editor<'_>, paths: Vec<String>) -> Vec<String> {
    let removed = paths.into_iter().filter(|path| editor.remove(path));
    removed.map(|path| format!("{path}: removed, the network is as it was asked for")).collect()
}
