//! systemd-networkd: a `.network` file for each interface, a `.netdev` for what is made of others (systemd.network(5),
//! systemd.netdev(5)). Of the files that fit a card the first by name counts, and so these go before all others.

use super::ini::Ini;
use super::{NETWORKD, NETWORKD_SERVICE, files, label, online, resolver, systemd};
use crate::error::Result;
use crate::spec::network::{Dhcp, Interface, InterfaceId};
use crate::tree::Editor;

/// None that is made of others: a VLAN has the MAC address of its card.
const NOT_SOFTWARE: &str = "!*";

pub(super) fn write(editor: &mut Editor<'_>, interfaces: &[Interface]) -> Result<Vec<String>> {
    let mut notes: Vec<_> = files(editor.tree(), NETWORKD, ".network")
        .into_iter()
        .map(|path| format!("{path}: for cards that are not asked for"))
        .collect();
    for (at, interface) in interfaces.iter().enumerate() {
        let path = format!("{NETWORKD}/05-{}", label(at));
        editor.write_file(format!("{path}.network"), network(interface, interfaces).bytes(), 0o644)?;
        if !interface.is_card() {
            editor.write_file(format!("{path}.netdev"), device(interface).bytes(), 0o644)?;
        }
        for (number, member) in interface.bond.iter().flat_map(|bond| &bond.members).enumerate() {
            let path = format!("{path}-{number:02}.network");
            editor.write_file(path, port(member, interface).bytes(), 0o644)?;
        }
        notes.push(format!("{path}.network: {}", interface.shown()));
    }
    notes.extend(start(editor)?);
    Ok(notes)
}

/// Have networkd run, with what it needs beside it.
pub(super) fn start(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if systemd::enable(editor, NETWORKD_SERVICE)? {
        notes.push("systemd: systemd-networkd enabled".into());
    }
    online::wait_for_any(editor)?;
    notes.extend(resolver::start(editor)?);
    Ok(notes)
}

/// The file of an interface of the list.
fn network(interface: &Interface, all: &[Interface]) -> Ini {
    let mut file = Ini::default();
    file.section("Match");
    match &interface.name {
        Some(name) if !interface.is_card() => {
            file.set("Name", name);
        }
        _ => card(&mut file, interface),
    }
    file.section("Link");
    if let Some(mtu) = interface.mtu {
        file.set("MTUBytes", mtu);
    }
    let dhcp = interface.dhcp();
    file.section("Network").set("DHCP", dhcp_word(dhcp));
    if !dhcp.gives(false) {
        file.set("IPv6AcceptRA", "no");
    }
    file.each("Address", &interface.addresses).each("Gateway", interface.gateways());
    file.list("DNS", &interface.dns, " ");
    for other in all {
        if let (Some(vlan), Some(name)) = (&other.vlan, &other.name)
            && interface.is(&vlan.link)
        {
            file.set("VLAN", name);
        }
    }
    if !interface.dns.is_empty() {
        for (section, is_v4) in [("DHCPv4", true), ("DHCPv6", false), ("IPv6AcceptRA", false)] {
            if dhcp.gives(is_v4) {
                file.section(section).set("UseDNS", "no");
            }
        }
    }
    file
}

fn card(file: &mut Ini, interface: &Interface) {
    file.set("Type", "ether").set("Kind", NOT_SOFTWARE);
    let Interface { name, mac, driver, .. } = interface;
    let mac = mac.map(|mac| mac.to_string());
    for (key, value) in [("Name", name), ("PermanentMACAddress", &mac), ("Driver", driver)] {
        if let Some(value) = value {
            file.set(key, value);
        }
    }
}

fn dhcp_word(dhcp: Dhcp) -> &'static str {
    match dhcp {
        Dhcp::Both => "yes",
        Dhcp::Ipv4 => "ipv4",
        Dhcp::Ipv6 => "ipv6",
        Dhcp::None => "no",
    }
}

/// What is made of others.
fn device(interface: &Interface) -> Ini {
    let mut file = Ini::default();
    file.section("NetDev").set("Name", interface.name.as_deref().unwrap_or_default());
    if let Some(vlan) = &interface.vlan {
        file.set("Kind", "vlan").section("VLAN").set("Id", vlan.id);
    }
    if let Some(bond) = &interface.bond {
        let section = file.set("Kind", "bond").section("Bond");
        section.set("Mode", bond.mode.name()).set("MIIMonitorSec", "100ms");
    }
    file
}

/// The file of a card of a bond.
fn port(member: &InterfaceId, bond: &Interface) -> Ini {
    let mut file = Ini::default();
    file.section("Match");
    file.set("Type", "ether").set("Kind", NOT_SOFTWARE);
    match member {
        InterfaceId::Name(name) => file.set("Name", name),
        InterfaceId::Mac(mac) => file.set("PermanentMACAddress", mac),
    };
    file.section("Network").set("Bond", bond.name.as_deref().unwrap_or_default());
    file
}
