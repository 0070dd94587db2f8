//! ifupdown of Debian, ifupdown-ng and BusyBox: what was asked for as stanzas of interfaces(5), in the words that all
//! three know. What none of them has a word for (a second address, IPv6 beside IPv4, VLANs, bonds) is a command of the
//! stanza.
//!
//! A card that is known by its name has a stanza of that name. One by a pattern, its MAC address or its driver is looked
//! up at boot by [a program](MATCH): Debian's ifupdown asks it, as the script of a `mapping`; with OpenRC the service that
//! lists the cards does.

use std::fmt::Write;

use super::ifupdown::{self, BY_SERVICE, CLIENT, INTERFACES, SCRIPT};
use super::{LOOPBACK, label, rivals};
use crate::error::{Error, Kind, Result};
use crate::spec::network::{Interface, InterfaceId};
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

/// Prints which interface a card is.
const MATCH: &str = "/usr/lib/vmimage/vmimage-card";
/// Its head, before a case for each.
const MATCHER: &str = r#"#!/bin/sh
# usage: vmimage-card NAME
# Prints which interface a card is: the first that its name, MAC address and driver fit.
path=/sys/class/net/$1
[ -e "$path/device" ] || { echo "$1"; exit; }
driver=$(readlink "$path/device/driver")
case "$1 $(cat "$path/address") ${driver##*/}" in
"#;
/// What it prints for a card that is none of them.
const NONE: &str = "vmimage-none";
/// Stanzas for [`SERVICE_LINES`], for a card that is called so.
const STANZAS: &str = "/usr/lib/vmimage/interfaces";
const CARD: &str = "CARD";
/// The line of the service that lists a card with DHCP.
const DHCP_LINE: &str = "\t\tprintf 'iface %s inet dhcp\\n' \"$name\" >\"$file\"\n";
/// What is in its place.
const SERVICE_LINES: &str = "\
\t\tstanza=/usr/lib/vmimage/interfaces/$(/usr/lib/vmimage/vmimage-card \"$name\")
\t\t[ -e \"$stanza\" ] || continue
\t\tsed \"s/^iface CARD /iface $name /\" \"$stanza\" >\"$file\"
";

/// By what the cards are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Name,
    Mapping,
    Service,
}

pub(super) fn write(editor: &mut Editor<'_>, os: &Os, interfaces: &[Interface]) -> Result<Vec<String>> {
    let found = found(editor.tree(), os, interfaces)?;
    require_names(interfaces)?;
    let mut notes = rivals::forget_interfaces(editor)?;
    if found != Found::Name {
        editor.write_file(MATCH, matcher(interfaces).into_bytes(), 0o755)?;
    }
    if found == Found::Service {
        for (at, interface) in cards(interfaces) {
            let path = format!("{STANZAS}/{}", label(at));
            editor.write_file(path, stanza(CARD, interface).into_bytes(), 0o644)?;
        }
        ifupdown::list_at_boot(editor, &SCRIPT.replace(DHCP_LINE, SERVICE_LINES))?;
    }
    editor.write_file(INTERFACES, text(interfaces, found).into_bytes(), 0o644)?;
    let shown: Vec<_> = interfaces.iter().map(Interface::shown).collect();
    notes.push(format!("{INTERFACES}: {}", shown.join(", ")));
    if interfaces.iter().any(|interface| interface.dhcp().gives(true)) && ifupdown::limit_client(editor)? {
        notes.push(format!("{CLIENT}: the boot waits ten seconds for an address"));
    }
    notes.extend(ifupdown::start(editor, os)?);
    Ok(notes)
}

fn cards(interfaces: &[Interface]) -> impl Iterator<Item = (usize, &Interface)> {
    interfaces.iter().enumerate().filter(|(_, interface)| interface.is_card())
}

fn found(tree: &Tree, os: &Os, interfaces: &[Interface]) -> Result<Found> {
    let is_known = |interface: &Interface| {
        interface.plain_name().is_some() && interface.mac.is_none() && interface.driver.is_none()
    };
    let Some((_, card)) = cards(interfaces).find(|(_, interface)| !is_known(interface)) else {
        return Ok(Found::Name);
    };
    match os.init {
        _ if tree.resolve("/usr/bin/dpkg").is_some() => Ok(Found::Mapping),
        Some(Init::OpenRc) => Ok(Found::Service),
        _ => Err(unsupported(format!("{}: this ifupdown finds cards by their names alone", card.shown()))
            .with_hint("say the name of the card, such as eth0")),
    }
}

/// Commands of a stanza know interfaces by their names.
fn require_names(interfaces: &[Interface]) -> Result<()> {
    for interface in interfaces {
        let link = interface.vlan.iter().map(|vlan| &vlan.link);
        let members = interface.bond.iter().flat_map(|bond| &bond.members);
        for id in link.chain(members) {
            if !matches!(id, InterfaceId::Name(name) if !name.contains(['*', '?', '['])) {
                let message = format!("{}: ifupdown knows {id} by its name alone", interface.shown());
                return Err(unsupported(message).with_hint("say the name of the card, such as eth0"));
            }
        }
    }
    Ok(())
}

fn unsupported(message: String) -> Error {
    Error::new(Kind::Unsupported, "network", message)
}

/// `/etc/network/interfaces`: cards, then bonds, then what lies on either.
fn text(interfaces: &[Interface], found: Found) -> String {
    let mut text = LOOPBACK.to_owned();
    match found {
        Found::Name => {}
        Found::Mapping => text += &mapping(interfaces),
        Found::Service => text += BY_SERVICE,
    }
    for (at, interface) in cards(interfaces) {
        match (found, &interface.name) {
            (Found::Name, Some(name)) => text += &format!("auto {name}\n{}", stanza(name, interface)),
            (Found::Mapping, _) => text += &stanza(&label(at), interface),
            _ => {}
        }
    }
    let software = |is: fn(&&Interface) -> bool| interfaces.iter().filter(is);
    let bonds = software(|interface| interface.bond.is_some());
    for interface in bonds.chain(software(|interface| interface.vlan.is_some())) {
        let name = interface.name.as_deref().unwrap_or_default();
        text += &format!("auto {name}\n{}", stanza(name, interface));
    }
    text
}

/// Every card that may be one of them is turned on by the stanza that the program names.
fn mapping(interfaces: &[Interface]) -> String {
    let names = cards(interfaces).map(|(_, interface)| interface.name.as_deref());
    let mut patterns: Vec<_> =
        names.flat_map(|name| name.map_or(vec!["en*", "eth*"], |name| vec![name])).collect();
    patterns.sort_unstable();
    patterns.dedup();
    let auto: Vec<_> = patterns.iter().map(|pattern| format!("/{pattern}")).collect();
    format!(
        "mapping {}\n    script {MATCH}\nauto {}\niface {NONE} inet manual\n",
        patterns.join(" "),
        auto.join(" ")
    )
}

/// A pattern of `case` for each card: its name, MAC address and driver. What has no hardware is called by its own name.
fn matcher(interfaces: &[Interface]) -> String {
    let mut text = MATCHER.to_owned();
    for (at, interface) in cards(interfaces) {
        let any = || "*".to_owned();
        let name = interface.name.clone().unwrap_or_else(any);
        let mac = interface.mac.map_or_else(any, |mac| mac.to_string());
        let driver = interface.driver.clone().unwrap_or_else(any);
        let _ = writeln!(text, "{name}' '{mac}' '{driver}) echo {} ;;", label(at));
    }
    text + &format!("*) echo {NONE} ;;\nesac\n")
}

/// One stanza, of IPv4; what else there is are commands.
fn stanza(name: &str, interface: &Interface) -> String {
    let own = interface.addresses_of(true).collect::<Vec<_>>();
    let gets_some = interface.dhcp().gives(true);
    let method = match (gets_some, own.is_empty()) {
        (true, _) => "dhcp",
        (false, false) => "static",
        (false, true) => "manual",
    };
    let mut lines = Vec::new();
    if let Some(first) = own.first().filter(|_| !gets_some) {
        lines.push(format!("address {}", first.address()));
        lines.push(format!("netmask {}", first.netmask()));
        lines.extend(interface.gateway_of(true).map(|router| format!("gateway {router}")));
    }
    lines.extend(made_of_others(name, interface));
    if let Some(mtu) = interface.mtu {
        lines.push(format!("pre-up ip link set dev $IFACE mtu {mtu}"));
    }
    if !interface.dhcp().gives(false) {
        lines.push("pre-up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || :".to_owned());
    }
    if method == "manual" {
        lines.push("up ip link set dev $IFACE up".to_owned());
    }
    let further = own.iter().skip(usize::from(!gets_some));
    lines.extend(further.map(|prefix| format!("up ip addr add {prefix} dev $IFACE")));
    if let Some(router) = interface.gateway_of(true).filter(|_| gets_some) {
        lines.push(format!("up ip route replace default via {router} dev $IFACE"));
    }
    let v6 = interface.addresses_of(false);
    lines.extend(v6.map(|prefix| format!("up ip -6 addr add {prefix} dev $IFACE")));
    if let Some(router) = interface.gateway_of(false) {
        lines.push(format!("up ip -6 route replace default via {router} dev $IFACE"));
    }
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("iface {name} inet {method}\n{lines}\n")
}

/// The commands that make an interface of others.
fn made_of_others(name: &str, interface: &Interface) -> Vec<String> {
    let there = format!("[ -e /sys/class/net/{name} ]");
    let mut lines = Vec::new();
    if let Some(vlan) = &interface.vlan {
        let link = &vlan.link;
        lines.push(format!("pre-up ip link set dev {link} up"));
        lines.push(format!("pre-up {there} || ip link add link {link} name {name} type vlan id {}", vlan.id));
    }
    if let Some(bond) = &interface.bond {
        // The driver may make one of this name as soon as it is loaded.
        lines.push(format!("pre-up {there} || ip link add {name} type bond || {there}"));
        let options = format!("/sys/class/net/{name}/bonding");
        lines.push(format!("pre-up echo {} >{options}/mode", bond.mode.name()));
        lines.push(format!("pre-up echo 100 >{options}/miimon"));
        for member in &bond.members {
            lines.push(format!("pre-up ip link set dev {member} down"));
            lines.push(format!("pre-up ip link set dev {member} master {name}"));
        }
    }
    if !interface.is_card() {
        lines.push(format!("post-down ip link del dev {name} || :"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_asks_for_the_stanza_of_a_card() {
        let script = SCRIPT.replace(DHCP_LINE, SERVICE_LINES);
        assert!(script.contains("continue\n") && !script.contains("inet dhcp"), "{script}");
        assert!(
            SERVICE_LINES.contains(MATCH) && SERVICE_LINES.contains(STANZAS) && SERVICE_LINES.contains(CARD)
        );
    }
}
