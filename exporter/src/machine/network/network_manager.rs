//! NetworkManager: a keyfile for each interface, which root alone may read or it is ignored (nm-settings-keyfile(5)).

use std::net::IpAddr;

use super::ini::Ini;
use super::{NETWORK_MANAGER, files, label, openrc, systemd};
use crate::error::{Error, Kind, Result};
use crate::spec::TextFormat;
use crate::spec::network::{Interface, InterfaceId, Mac};
use crate::tree::Editor;

const CONNECTIONS: &str = "/etc/NetworkManager/system-connections";
const SETTINGS: &str = "/etc/NetworkManager/conf.d/90-vmimage.conf";
/// Cards that are not asked for get no connection of NetworkManager's own.
const NOTHING_ELSE: &str = "[main]\nno-auto-default=*\n";
/// Ubuntu's, by which it leaves all cards to netplan unless there is an empty one in /etc.
const UNMANAGED: &str = "NetworkManager/conf.d/10-globally-managed-devices.conf";
/// The image's own connections have 0.
const PRIORITY: u32 = 100;

/// With no interfaces it takes every card, as it does by itself.
pub(super) fn write(editor: &mut Editor<'_>, interfaces: &[Interface]) -> Result<Vec<String>> {
    let mut notes: Vec<_> = files(editor.tree(), CONNECTIONS, "")
        .into_iter()
        .filter(|_| !interfaces.is_empty())
        .map(|path| format!("{path}: for cards that are not asked for"))
        .collect();
    for (at, interface) in interfaces.iter().enumerate() {
        let name = label(at);
        let path = format!("{CONNECTIONS}/{name}.nmconnection");
        editor.write_file(&path, connection(&name, interface)?.bytes(), 0o600)?;
        for (number, member) in interface.bond.iter().flat_map(|bond| &bond.members).enumerate() {
            let name = format!("{name}-{number:02}");
            let path = format!("{CONNECTIONS}/{name}.nmconnection");
            editor.write_file(path, port(&name, member, interface).bytes(), 0o600)?;
        }
        notes.push(format!("{path}: {}", interface.shown()));
    }
    if !interfaces.is_empty() {
        editor.write_file(SETTINGS, NOTHING_ELSE.as_bytes(), 0o644)?;
    }
    if editor.tree().resolve(format!("/usr/lib/{UNMANAGED}")).is_some() {
        editor.write_file(format!("/etc/{UNMANAGED}"), *b"", 0o644)?;
    }
    notes.extend(start(editor)?);
    Ok(notes)
}

fn start(editor: &mut Editor<'_>) -> Result<Option<String>> {
    let is_new = systemd::enable(editor, NETWORK_MANAGER)?;
    let is_new = openrc::enable(editor, "networkmanager", "default")? || is_new;
    Ok(is_new.then(|| "NetworkManager: enabled".to_owned()))
}

fn head(file: &mut Ini, name: &str, kind: &str) {
    file.section("connection").set("id", name).set("type", kind).set("autoconnect-priority", PRIORITY);
}

/// The file of an interface of the list.
fn connection(label: &str, interface: &Interface) -> Result<Ini> {
    let mut file = Ini::default();
    match (&interface.vlan, &interface.bond) {
        (Some(vlan), _) => {
            head(&mut file, label, "vlan");
            file.set("interface-name", interface.name.as_deref().unwrap_or_default());
            let (parent, mac) = parent(&vlan.link)?;
            ethernet(&mut file, mac, interface.mtu);
            file.section("vlan").set("id", vlan.id);
            if let Some(parent) = parent {
                file.set("parent", parent);
            }
        }
        (_, Some(bond)) => {
            head(&mut file, label, "bond");
            file.set("interface-name", interface.name.as_deref().unwrap_or_default());
            ethernet(&mut file, None, interface.mtu);
            file.section("bond").set("mode", bond.mode.name()).set("miimon", 100);
        }
        (None, None) => card(&mut file, label, interface),
    }
    for (section, is_v4) in [("ipv4", true), ("ipv6", false)] {
        addresses(&mut file, section, interface, is_v4);
    }
    Ok(file)
}

fn card(file: &mut Ini, label: &str, interface: &Interface) {
    head(file, label, "ethernet");
    if let Some(name) = interface.plain_name() {
        file.set("interface-name", name);
    } else if interface.mac.is_none() {
        // For several cards at once.
        file.set("multi-connect", 3);
    }
    file.section("match");
    if let Some(pattern) = interface.name.as_deref().filter(|_| interface.plain_name().is_none()) {
        file.set("interface-name", format!("{pattern};"));
    }
    if let Some(driver) = &interface.driver {
        file.set("driver", format!("{driver};"));
    }
    ethernet(file, interface.mac, interface.mtu);
}

/// What a VLAN lies on: a name, or the MAC address that its own section of Ethernet says.
fn parent(link: &InterfaceId) -> Result<(Option<&str>, Option<Mac>)> {
    match link {
        InterfaceId::Mac(mac) => Ok((None, Some(*mac))),
        InterfaceId::Name(name) if TextFormat::InterfaceName.check(name).is_ok() => Ok((Some(name), None)),
        InterfaceId::Name(pattern) => {
            let message =
                format!("NetworkManager knows what a VLAN lies on by its name, and {pattern} is a pattern");
            Err(Error::new(Kind::Unsupported, "network", message)
                .with_hint("say the name of the card, such as eth0, or its MAC address"))
        }
    }
}

fn ethernet(file: &mut Ini, mac: Option<Mac>, mtu: Option<u32>) {
    file.section("ethernet");
    if let Some(mac) = mac {
        file.set("mac-address", mac);
    }
    if let Some(mtu) = mtu {
        file.set("mtu", mtu);
    }
}

fn addresses(file: &mut Ini, section: &'static str, interface: &Interface, is_v4: bool) {
    let gets_some = interface.dhcp().gives(is_v4);
    let own: Vec<_> = interface.addresses_of(is_v4).collect();
    let method = match (gets_some, own.is_empty(), is_v4) {
        (true, _, _) => "auto",
        (false, false, _) => "manual",
        (false, true, true) => "disabled",
        (false, true, false) => "link-local",
    };
    file.section(section).set("method", method);
    for (number, prefix) in own.iter().enumerate() {
        file.set(&format!("address{}", number + 1), prefix);
    }
    if let Some(router) = interface.gateway_of(is_v4) {
        file.set("gateway", router);
    }
    let servers: Vec<&IpAddr> = interface.dns.iter().filter(|server| server.is_ipv4() == is_v4).collect();
    file.list("dns", &servers, ";");
    if gets_some && !interface.dns.is_empty() {
        file.set("ignore-auto-dns", "true");
    }
}

/// The file of a card of a bond.
fn port(label: &str, member: &InterfaceId, bond: &Interface) -> Ini {
    let mut file = Ini::default();
    head(&mut file, label, "ethernet");
    if let InterfaceId::Name(name) = member {
        file.set("interface-name", name);
    }
    // Their names of NetworkManager 1.46, which takes the old ones as well.
    file.set("master", bond.name.as_deref().unwrap_or_default()).set("slave-type", "bond");
    if let InterfaceId::Mac(mac) = member {
        file.section("ethernet").set("mac-address", mac);
    }
    file
}
