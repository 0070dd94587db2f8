//! The network of this machine, as whoever configures it in the installed system reads it: the same files as
//! `exporter/src/machine/network` writes, by names that go before those.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use serde::Serialize;

use super::files::{Owner, System};
use crate::medium::install::config::{Dhcp, Interface};

const OWN: &str = "/usr/lib/vmimage/network.json";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const SECRET: Owner = Owner { mode: 0o600, ..Owner::ROOT };
/// More than that of the image's own, which is 100.
const PRIORITY: u32 = 200;

/// Returns the files that were written.
///
/// # Errors
/// What the manager cannot do, or that there is none.
pub(super) fn write(system: &System, manager: &str, interfaces: &[Interface]) -> Result<Vec<String>, String> {
    let files = files(manager, interfaces)?;
    let mut notes = Vec::new();
    for File { path, text, owner } in files {
        system.write(&path, text.as_bytes(), owner)?;
        notes.push(format!("{path}: written"));
    }
    Ok(notes)
}

/// Whether the manager can do what is asked.
pub(super) fn check(manager: &str, interfaces: &[Interface]) -> Result<(), String> {
    files(manager, interfaces).map(drop)
}

#[derive(Debug, PartialEq, Eq)]
struct File {
    path: String,
    text: String,
    owner: Owner,
}

fn files(manager: &str, interfaces: &[Interface]) -> Result<Vec<File>, String> {
    let each = |one: fn(usize, &Interface) -> Result<Vec<File>, String>| {
        let all = interfaces.iter().enumerate().map(|(at, interface)| one(at, interface));
        all.collect::<Result<Vec<_>, _>>().map(|files| files.concat_all())
    };
    match manager {
        "networkd" | "netplan" => each(|at, interface| Ok(vec![networkd(at, interface)])),
        "networkmanager" => each(|at, interface| Ok(vec![network_manager(at, interface)])),
        "wicked" => each(wicked),
        "ifupdown" => ifupdown(interfaces),
        "own" => own(interfaces),
        other => Err(format!(
            "interfaces: nobody that is known here configures the network of this system ({other})\nhint: leave interfaces out, \
             and put them into the image"
        )),
    }
}

trait ConcatAll {
    fn concat_all(self) -> Vec<File>;
}

impl ConcatAll for Vec<Vec<File>> {
    fn concat_all(self) -> Vec<File> {
        self.into_iter().flatten().collect()
    }
}

fn public(path: impl Into<String>, text: String) -> File {
    File { path: path.into(), text, owner: Owner::ROOT }
}

/// systemd.network(5): of the files that fit a card the first by name counts.
fn networkd(at: usize, interface: &Interface) -> File {
    let Interface { name, mac, gateway, addresses, dns, .. } = interface;
    let mut text = "[Match]\nType=ether\nKind=!*\n".to_owned();
    key(&mut text, "Name", name.iter());
    key(&mut text, "PermanentMACAddress", mac.iter());
    let dhcp = interface.dhcp();
    let word = match dhcp {
        Dhcp::Both => "yes",
        Dhcp::Ipv4 => "ipv4",
        Dhcp::Ipv6 => "ipv6",
        Dhcp::None => "no",
    };
    let _ = write!(text, "\n[Network]\nDHCP={word}\n");
    if !dhcp.gives(false) {
        text += "IPv6AcceptRA=no\n";
    }
    key(&mut text, "Address", addresses.iter());
    key(&mut text, "Gateway", gateway.iter());
    key(&mut text, "DNS", dns.iter());
    for (section, is_v4) in [("DHCPv4", true), ("DHCPv6", false), ("IPv6AcceptRA", false)] {
        if !dns.is_empty() && dhcp.gives(is_v4) {
            let _ = write!(text, "\n[{section}]\nUseDNS=no\n");
        }
    }
    public(format!("/etc/systemd/network/04-installed-{at:02}.network"), text)
}

/// nm-settings-keyfile(5).
fn network_manager(at: usize, interface: &Interface) -> File {
    let label = format!("installed-{at:02}");
    let mut text = format!("[connection]\nid={label}\ntype=ethernet\nautoconnect-priority={PRIORITY}\n");
    match (&interface.name, &interface.mac) {
        (Some(name), _) => key(&mut text, "interface-name", [name]),
        // For several cards at once.
        (None, None) => key(&mut text, "multi-connect", [3]),
        (None, Some(_)) => {}
    }
    text += "\n[ethernet]\n";
    key(&mut text, "mac-address", interface.mac.iter());
    for (section, is_v4) in [("ipv4", true), ("ipv6", false)] {
        let addresses: Vec<_> =
            interface.prefixes().filter(|(address, _)| address.is_ipv4() == is_v4).collect();
        let method = match (interface.dhcp().gives(is_v4), addresses.is_empty(), is_v4) {
            (true, _, _) => "auto",
            (false, false, _) => "manual",
            (false, true, true) => "disabled",
            (false, true, false) => "link-local",
        };
        let _ = write!(text, "\n[{section}]\nmethod={method}\n");
        for (number, (address, prefix)) in (1..).zip(addresses) {
            let _ = writeln!(text, "address{number}={address}/{prefix}");
        }
        key(&mut text, "gateway", of_family(&interface.gateway, is_v4));
        let servers: String = of_family(&interface.dns, is_v4).map(|server| format!("{server};")).collect();
        if !servers.is_empty() {
            let _ = writeln!(text, "dns={servers}");
        }
        if interface.dhcp().gives(is_v4) && !interface.dns.is_empty() {
            text += "ignore-auto-dns=true\n";
        }
    }
    File { path: format!("/etc/NetworkManager/system-connections/{label}.nmconnection"), text, owner: SECRET }
}

/// ifcfg(5), ifroute(5): a card by its name.
fn wicked(_: usize, interface: &Interface) -> Result<Vec<File>, String> {
    let name = name_of(interface, "wicked")?;
    let protocol = match (interface.dhcp(), interface.addresses.is_empty()) {
        (Dhcp::Both, true) => "dhcp",
        (Dhcp::Both, false) => "dhcp+static",
        (Dhcp::Ipv4, _) => "dhcp4",
        (Dhcp::Ipv6, _) => "dhcp6",
        (Dhcp::None, _) => "static",
    };
    let mut text = format!("STARTMODE='auto'\nBOOTPROTO='{protocol}'\n");
    for (number, address) in interface.addresses.iter().enumerate() {
        let end = if number == 0 { String::new() } else { format!("_{number}") };
        let _ = writeln!(text, "IPADDR{end}='{address}'");
    }
    let mut files = vec![public(format!("/etc/sysconfig/network/ifcfg-{name}"), text)];
    if !interface.gateway.is_empty() {
        let routes = interface.gateway.iter().map(|router| format!("default {router} - {name}\n")).collect();
        files.push(public(format!("/etc/sysconfig/network/ifroute-{name}"), routes));
    }
    files.extend(resolver(&interface.dns));
    Ok(files)
}

/// interfaces(5), in the words that all of its readers know; what none has a word for are commands.
fn ifupdown(interfaces: &[Interface]) -> Result<Vec<File>, String> {
    let mut text = "auto lo\niface lo inet loopback\n".to_owned();
    for interface in interfaces {
        let name = name_of(interface, "ifupdown")?;
        let is_v4 = |(address, _): &(IpAddr, u8)| address.is_ipv4();
        let own: Vec<_> = interface.prefixes().filter(is_v4).collect();
        let asks = interface.dhcp().gives(true);
        let method = match (asks, own.is_empty()) {
            (true, _) => "dhcp",
            (false, false) => "static",
            (false, true) => "manual",
        };
        let _ = write!(text, "\nauto {name}\niface {name} inet {method}\n");
        if let Some((address, prefix)) = own.first().filter(|_| !asks) {
            let _ = write!(text, "    address {address}\n    netmask {}\n", netmask(*prefix));
            of_family(&interface.gateway, true).for_each(|router| text += &format!("    gateway {router}\n"));
        }
        if method == "manual" {
            text += "    up ip link set dev $IFACE up\n";
        }
        for (address, prefix) in own.iter().skip(usize::from(!asks)) {
            let _ = writeln!(text, "    up ip addr add {address}/{prefix} dev $IFACE");
        }
        for (address, prefix) in interface.prefixes().filter(|it| !is_v4(it)) {
            let _ = writeln!(text, "    up ip -6 addr add {address}/{prefix} dev $IFACE");
        }
        for router in of_family(&interface.gateway, false) {
            let _ = writeln!(text, "    up ip -6 route replace default via {router} dev $IFACE");
        }
    }
    let dns: Vec<_> = interfaces.iter().flat_map(|interface| interface.dns.iter().copied()).collect();
    let mut files = vec![public("/etc/network/interfaces", text)];
    files.extend(resolver(&dns));
    Ok(files)
}

/// What vmimage's own init reads (`exporter/guest/src/init/asked.rs`).
#[derive(Serialize)]
struct Asked<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    dhcp: &'static str,
    addresses: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    gateway: &'a [IpAddr],
}

fn own(interfaces: &[Interface]) -> Result<Vec<File>, String> {
    let list: Vec<_> = interfaces
        .iter()
        .map(|interface| Asked {
            name: interface.name.as_deref(),
            mac: interface.mac.as_ref().map(|mac| mac.to_lowercase()),
            dhcp: match interface.dhcp() {
                Dhcp::Both => "both",
                Dhcp::Ipv4 => "ipv4",
                Dhcp::Ipv6 => "ipv6",
                Dhcp::None => "none",
            },
            addresses: &interface.addresses,
            gateway: &interface.gateway,
        })
        .collect();
    let text = serde_json::to_string(&list).map_err(|error| format!("{OWN}: {error}"))?;
    let dns: Vec<_> = interfaces.iter().flat_map(|interface| interface.dns.iter().copied()).collect();
    let mut files = vec![public(OWN, text)];
    files.extend(resolver(&dns));
    Ok(files)
}

/// One list for all cards, where no other place has it.
fn resolver(servers: &[IpAddr]) -> Option<File> {
    let text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    (!text.is_empty()).then(|| public(RESOLV_CONF, text))
}

fn name_of<'a>(interface: &'a Interface, manager: &str) -> Result<&'a str, String> {
    match (&interface.name, &interface.mac) {
        (Some(name), None) => Ok(name),
        _ => Err(format!(
            "interfaces: {manager} knows a card by its name alone\nhint: say the name that it has in the installed system, such \
             as eth0 or enp1s0, and no MAC address"
        )),
    }
}

fn of_family(addresses: &[IpAddr], is_v4: bool) -> impl Iterator<Item = &IpAddr> {
    addresses.iter().filter(move |address| address.is_ipv4() == is_v4)
}

fn netmask(prefix: u8) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0))
}

/// A line for each value.
fn key<T: Display>(text: &mut String, key: &str, values: impl IntoIterator<Item = T>) {
    for value in values {
        let _ = writeln!(text, "{key}={value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces(text: &str) -> Vec<Interface> {
        let table: toml::Table = toml::from_str(text).unwrap();
        table["interfaces"].clone().try_into().unwrap()
    }

    fn fixed() -> Vec<Interface> {
        interfaces(
            "[[interfaces]]\nname = 'eth0'\naddresses = ['10.0.2.50/24', '10.0.2.51/20', 'fd00::5/64']\n\
             gateway = ['10.0.2.2', 'fd00::1']\ndns = ['10.0.2.3']\n",
        )
    }

    #[test]
    fn each_manager_has_its_own_format() {
        let text = |manager: &str| {
            let files = files(manager, &fixed()).unwrap();
            files.iter().map(|file| format!("{}\n{}", file.path, file.text)).collect::<Vec<_>>().join("--\n")
        };
        assert_eq!(
            text("networkd"),
            "/etc/systemd/network/04-installed-00.network\n[Match]\nType=ether\nKind=!*\nName=eth0\n\n[Network]\nDHCP=no\n\
             IPv6AcceptRA=no\nAddress=10.0.2.50/24\nAddress=10.0.2.51/20\nAddress=fd00::5/64\nGateway=10.0.2.2\n\
             Gateway=fd00::1\nDNS=10.0.2.3\n"
        );
        assert_eq!(
            text("networkmanager"),
            "/etc/NetworkManager/system-connections/installed-00.nmconnection\n[connection]\nid=installed-00\ntype=ethernet\n\
             autoconnect-priority=200\ninterface-name=eth0\n\n[ethernet]\n\n[ipv4]\nmethod=manual\naddress1=10.0.2.50/24\n\
             address2=10.0.2.51/20\ngateway=10.0.2.2\ndns=10.0.2.3;\n\n[ipv6]\nmethod=manual\naddress1=fd00::5/64\n\
             gateway=fd00::1\n"
        );
        assert_eq!(
            text("ifupdown"),
            "/etc/network/interfaces\nauto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n    address 10.0.2.50\n    \
             netmask 255.255.255.0\n    gateway 10.0.2.2\n    up ip addr add 10.0.2.51/20 dev $IFACE\n    up ip -6 addr add \
             fd00::5/64 dev $IFACE\n    up ip -6 route replace default via fd00::1 dev $IFACE\n--\n/etc/resolv.conf\n\
             nameserver 10.0.2.3\n"
        );
        assert_eq!(
            text("wicked"),
            "/etc/sysconfig/network/ifcfg-eth0\nSTARTMODE='auto'\nBOOTPROTO='static'\nIPADDR='10.0.2.50/24'\n\
             IPADDR_1='10.0.2.51/20'\nIPADDR_2='fd00::5/64'\n--\n/etc/sysconfig/network/ifroute-eth0\ndefault 10.0.2.2 - \
             eth0\ndefault fd00::1 - eth0\n--\n/etc/resolv.conf\nnameserver 10.0.2.3\n"
        );
        assert_eq!(
            text("own"),
            "/usr/lib/vmimage/network.json\n[{\"name\":\"eth0\",\"dhcp\":\"none\",\"addresses\":[\"10.0.2.50/24\",\
             \"10.0.2.51/20\",\"fd00::5/64\"],\"gateway\":[\"10.0.2.2\",\"fd00::1\"]}]--\n/etc/resolv.conf\n\
             nameserver 10.0.2.3\n"
        );
        assert!(files("none", &fixed()).unwrap_err().contains("nobody that is known here"));
    }

    #[test]
    fn a_card_by_its_address_asks_by_dhcp() {
        let cards =
            interfaces("[[interfaces]]\nmac = '52:54:00:12:34:56'\ndhcp = 'ipv4'\ndns = ['10.0.2.3']\n");
        let networkd = networkd(0, &cards[0]).text;
        assert!(
            networkd.contains("PermanentMACAddress=52:54:00:12:34:56\n\n[Network]\nDHCP=ipv4\n"),
            "{networkd}"
        );
        assert!(networkd.ends_with("\n[DHCPv4]\nUseDNS=no\n"), "{networkd}");
        let manager = network_manager(0, &cards[0]);
        assert!(manager.text.contains("mac-address=52:54:00:12:34:56\n") && manager.owner.mode == 0o600);
        assert!(
            manager.text.contains("ignore-auto-dns=true\n\n[ipv6]\nmethod=link-local\n"),
            "{}",
            manager.text
        );
        for manager in ["ifupdown", "wicked"] {
            assert!(files(manager, &cards).unwrap_err().contains("by its name alone"), "{manager}");
        }
    }

    #[test]
    fn a_prefix_is_a_mask_too() {
        let masks = [0, 8, 20, 32].map(|prefix| netmask(prefix).to_string());
        assert_eq!(masks, ["0.0.0.0", "255.0.0.0", "255.255.240.0", "255.255.255.255"]);
    }
}
