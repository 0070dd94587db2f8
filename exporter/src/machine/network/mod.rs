//! The network of the machine: as the image has it, by DHCP, or as it was asked for.
//!
//! ```text
//! nothing asked ─▶ automatic: who configured a network keeps it, else DHCP on every Ethernet card
//! [network]     ─▶ choice: who configures it ─▶ rivals: nobody else does ─▶ written in the manager's own words
//! dns, hosts    ─▶ names: in the words of whoever keeps /etc/resolv.conf
//! ```
//!
//! | manager | where | of the image's own |
//! |---|---|---|
//! | [networkd] | `/etc/systemd/network/05-vmimage-*` | stays for other cards, and is named |
//! | [NetworkManager](network_manager) | `/etc/NetworkManager/system-connections/` | stays for other cards, and is named |
//! | [netplan] | `/etc/netplan/90-vmimage.yaml` | goes: two files about one card would be mixed |
//! | [ifupdown](interfaces) | `/etc/network/interfaces` | goes, for the same reason |
//! | [vmimage's own init](own) | `/usr/lib/vmimage/network.json` | is read by nobody |

use super::{Texts, fields, lines, openrc, read, systemd};
use crate::error::{Error, Kind, Result};
use crate::spec::network::{Interface, Manager, Network, problems};
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

mod automatic;
mod choice;
mod cloud_init;
mod ifupdown;
mod ini;
mod interfaces;
mod names;
mod netplan;
mod network_manager;
mod networkd;
mod online;
mod own;
pub(super) mod resolver;
mod rivals;

pub(super) use own::install as install_for_own_init;

const NETWORKD: &str = "/etc/systemd/network";
const NETWORKD_SERVICE: &str = "systemd-networkd.service";
const NETWORK_MANAGER: &str = "NetworkManager.service";
const NETPLAN: &str = "/etc/netplan";

const LOOPBACK: &str = "\
auto lo
iface lo inet loopback

";

/// Configure the network as far as it is asked for, and else as the image has it. Returns a line for each change.
///
/// # Errors
/// What the network manager of the image cannot do, and if links lead a file that is written nowhere.
pub fn configure(editor: &mut Editor<'_>, os: &Os, network: &Network) -> Result<Vec<String>> {
    check(network)?;
    let mut notes = names::forget(editor, network)?;
    notes.extend(match (network.manager, &network.interfaces[..]) {
        (Manager::None, _) => vec!["network: left as the image has it".to_owned()],
        (Manager::Auto, []) => automatic::configure(editor, os)?,
        _ => as_asked(editor, os, network)?,
    });
    notes.extend(names::write(editor, os, network)?);
    if os.init == Some(Init::Systemd) {
        notes.extend(resolver::advise(editor.tree())?);
    }
    Ok(notes)
}

/// Who configures the network of a machine that is made, as an installer names it: `networkd`, `networkmanager`, `ifupdown`,
/// `wicked`, `own` or `none`.
pub fn owner(tree: &Tree, is_own_init: bool) -> Result<&'static str> {
    let is_on = |unit: &str| systemd::is_enabled(tree, unit);
    Ok(match automatic::configured_by(tree)? {
        _ if is_own_init => "own",
        Some("NetworkManager") => "networkmanager",
        Some(owner) if owner == ifupdown::INTERFACES => "ifupdown",
        // It writes files of networkd, beside which others count.
        Some(NETPLAN) => "networkd",
        Some(_) => "none",
        None if is_on(NETWORKD_SERVICE) => "networkd",
        None if is_on("wicked.service") => "wicked",
        None if ifupdown::lists_at_boot(tree) => "ifupdown",
        None => "none",
    })
}

/// All that is wrong with it by itself.
fn check(network: &Network) -> Result<()> {
    let messages: Vec<_> = problems(network).into_iter().map(|problem| problem.message).collect();
    if messages.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Input, "network", messages.join("; ")))
}

fn as_asked(editor: &mut Editor<'_>, os: &Os, network: &Network) -> Result<Vec<String>> {
    let manager = choice::choose(editor.tree(), os, network.manager)?;
    let is_owner = choice::owner(editor.tree())? == Some(manager);
    let mut notes = rivals::stop(editor, manager)?;
    notes.extend(match (manager, &network.interfaces[..]) {
        (_, []) if is_owner => automatic::configure(editor, os)?,
        (Manager::NetworkManager, list) => network_manager::write(editor, list)?,
        (Manager::Netplan, []) => netplan::write(editor, &[Interface::default()])?,
        (Manager::Netplan, list) => netplan::write(editor, list)?,
        (Manager::Ifupdown, []) => ifupdown::configure(editor, os)?,
        (Manager::Ifupdown, list) => interfaces::write(editor, os, list)?,
        (_, []) => automatic::by_networkd(editor)?,
        (_, list) => networkd::write(editor, list)?,
    });
    notes.extend(cloud_init::leave_the_network(editor)?);
    Ok(notes)
}

/// What the files for an interface are called by, in the order of the list.
fn label(at: usize) -> String {
    format!("vmimage-{at:03}")
}

/// Whether a text of interfaces(5) has more than the loop-back interface.
fn has_card(text: &[u8]) -> bool {
    let is_card =
        |fields: Vec<String>| matches!(&fields[..], [word, name, ..] if word == "iface" && name != "lo");
    lines(text).map(fields).any(is_card)
}

/// The files of a directory whose names end so.
fn files(tree: &Tree, directory: &str, ending: &str) -> Vec<String> {
    let names = tree.children(directory).filter_map(|(name, _)| std::str::from_utf8(name).ok());
    names.filter(|name| name.ends_with(ending)).map(|name| format!("{directory}/{name}")).collect()
}

#[cfg(test)]
mod tests;
