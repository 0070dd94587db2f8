//! netplan: one file, which systemd-networkd's are made of at each boot
//! (<https://netplan.readthedocs.io/en/stable/netplan-yaml/>).

use std::fmt::Write;

use super::rivals::remove;
use super::{NETPLAN, NETWORKD_SERVICE, files, label, online, resolver, systemd};
use crate::error::Result;
use crate::spec::network::{Interface, InterfaceId};
use crate::tree::Editor;

const FILE: &str = "/etc/netplan/90-vmimage.yaml";

/// Root alone may read it, or netplan complains.
pub(super) fn write(editor: &mut Editor<'_>, interfaces: &[Interface]) -> Result<Vec<String>> {
    let mut notes = remove(editor, files(editor.tree(), NETPLAN, ".yaml"));
    editor.write_file(FILE, text(interfaces).into_bytes(), 0o600)?;
    let shown: Vec<_> = interfaces.iter().map(Interface::shown).collect();
    notes.push(format!("{FILE}: {}", shown.join(", ")));
    systemd::enable(editor, NETWORKD_SERVICE)?;
    online::wait_for_carrier(editor)?;
    notes.extend(resolver::start(editor)?);
    Ok(notes)
}

/// What a text of YAML cannot be taken for anything else in. None of ours has a quotation mark in it.
fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}

fn list<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

fn text(interfaces: &[Interface]) -> String {
    let mut text = "network:\n  version: 2\n".to_owned();
    let of = |is: fn(&Interface) -> bool| {
        let all = interfaces.iter().enumerate();
        all.filter(move |(_, interface)| is(interface)).collect::<Vec<_>>()
    };
    let cards = of(Interface::is_card);
    let bonds = of(|interface| interface.bond.is_some());
    let vlans = of(|interface| interface.vlan.is_some());
    if !cards.is_empty() || !bonds.is_empty() {
        text += "  ethernets:\n";
    }
    for (at, interface) in &cards {
        text += &format!("    {}:\n      match: {}\n", label(*at), card(interface));
        text += &settings(interface);
    }
    for (at, interface) in &bonds {
        for (number, member) in members(interface).iter().enumerate() {
            text += &format!("    {}-{number:02}:\n      match: {}\n", label(*at), card_of(member));
            // Who gives the bond its addresses.
            text += "      dhcp4: false\n      dhcp6: false\n      accept-ra: false\n      link-local: []\n";
        }
    }
    text += if bonds.is_empty() { "" } else { "  bonds:\n" };
    for (at, interface) in &bonds {
        let Some((name, bond)) = interface.name.as_ref().zip(interface.bond.as_ref()) else { continue };
        let members = (0..bond.members.len()).map(|number| format!("{}-{number:02}", label(*at)));
        text += &format!("    {name}:\n      interfaces: {}\n", list(members));
        text += &format!("      parameters: {{mode: {}, mii-monitor-interval: 100}}\n", bond.mode.name());
        text += &settings(interface);
    }
    text += if vlans.is_empty() { "" } else { "  vlans:\n" };
    for (_, interface) in &vlans {
        let Some((name, vlan)) = interface.name.as_ref().zip(interface.vlan.as_ref()) else { continue };
        text += &format!("    {name}:\n      id: {}\n      link: {}\n", vlan.id, id(&vlan.link, interfaces));
        text += &settings(interface);
    }
    text
}

fn members(interface: &Interface) -> &[InterfaceId] {
    interface.bond.as_ref().map_or(&[], |bond| &bond.members)
}

/// What the file calls an interface: a card by its place, another one by its own name.
fn id(link: &InterfaceId, interfaces: &[Interface]) -> String {
    let found = interfaces.iter().enumerate().find(|(_, interface)| interface.is(link));
    match found {
        Some((at, interface)) if interface.is_card() => label(at),
        _ => link.to_string(),
    }
}

/// Without any word it would be every device, the loop-back interface among them.
fn card(interface: &Interface) -> String {
    let Interface { name, mac, driver, .. } = interface;
    let every = "e*".to_owned();
    let name = name.as_ref().or((mac.is_none() && driver.is_none()).then_some(&every));
    let mac = mac.map(|mac| mac.to_string());
    let words = [("name", name), ("macaddress", mac.as_ref()), ("driver", driver.as_ref())];
    let words = words.into_iter().filter_map(|(key, value)| Some(format!("{key}: {}", quoted(value?))));
    format!("{{{}}}", words.collect::<Vec<_>>().join(", "))
}

fn card_of(member: &InterfaceId) -> String {
    card(&match member {
        InterfaceId::Name(name) => Interface { name: Some(name.clone()), ..Interface::default() },
        InterfaceId::Mac(mac) => Interface { mac: Some(*mac), ..Interface::default() },
    })
}

fn settings(interface: &Interface) -> String {
    let mut text = String::new();
    let mut set = |key: &str, value: String| {
        let _ = writeln!(text, "      {key}: {value}");
    };
    let dhcp = interface.dhcp();
    for (key, is_v4) in [("dhcp4", true), ("dhcp6", false)] {
        set(key, dhcp.gives(is_v4).to_string());
        if dhcp.gives(is_v4) && !interface.dns.is_empty() {
            set(&format!("{key}-overrides"), "{use-dns: false}".to_owned());
        }
    }
    set("accept-ra", dhcp.gives(false).to_string());
    if !interface.addresses.is_empty() {
        set("addresses", list(&interface.addresses));
    }
    let routes: Vec<_> = interface
        .gateways()
        .iter()
        .map(|router| {
            // `default` is known since netplan 0.103 alone.
            let everywhere = if router.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            format!("{{to: {}, via: {}}}", quoted(everywhere), quoted(router))
        })
        .collect();
    if !routes.is_empty() {
        set("routes", format!("[{}]", routes.join(", ")));
    }
    if !interface.dns.is_empty() {
        set("nameservers", format!("{{addresses: {}}}", list(&interface.dns)));
    }
    if let Some(mtu) = interface.mtu {
        set("mtu", mtu.to_string());
    }
    text
}
