//! What is wrong with a network: all of it at once, each with the key that says it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Dhcp, Interface, InterfaceId, Manager, Network};
use crate::spec::TextFormat;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place of its interface in the list; `None`: it is about the whole.
    pub interface: Option<usize>,
    /// The key: of the interface, or of the network. Empty: the interface as such.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
}

/// The numbers of VLANs; 0 and 4095 have other meanings (IEEE 802.1Q).
const VLANS: std::ops::RangeInclusive<u32> = 1..=4094;
/// The least that IPv4 works with is 68 bytes (RFC 791), and IPv6 with 1280 (RFC 8200).
const MTUS: std::ops::RangeInclusive<u32> = 68..=65_535;
const MTU_OF_IPV6: u32 = 1280;
/// More than any machine has, and as many as the names of files are numbered for.
const MOST: usize = 256;

/// All that is wrong with a network by itself, whoever configures it.
pub fn problems(network: &Network) -> Vec<Problem> {
    let mut search = Search { network, found: Vec::new() };
    if network.manager == Manager::None && !network.interfaces.is_empty() {
        search.add(
            None,
            "manager",
            "manager is none, and there are interfaces that somebody has to configure",
        );
    }
    if network.interfaces.len() > MOST {
        search.add(None, "interfaces", format!("{} interfaces, more than {MOST}", network.interfaces.len()));
    }
    for (at, interface) in network.interfaces.iter().enumerate() {
        search.addresses(at, interface);
        search.gateways(at, interface);
        search.servers(at, interface);
        search.mtu(at, interface);
        search.software(at, interface);
    }
    search.same_interfaces();
    search.members();
    search.found
}

struct Search<'a> {
    network: &'a Network,
    found: Vec<Problem>,
}

impl Search<'_> {
    fn add(&mut self, interface: Option<usize>, key: &'static str, message: impl Into<String>) {
        self.found.push(Problem { interface, key, message: message.into() });
    }

    fn addresses(&mut self, at: usize, interface: &Interface) {
        let mut met = BTreeSet::new();
        for prefix in &interface.addresses {
            let (first, last) = prefix.ends();
            let address = prefix.address();
            let has_ends = address.is_ipv4() && prefix.length() < 31;
            let why = match address {
                _ if !met.insert(address) => "is there twice",
                _ if address.is_unspecified() || address.is_multicast() || address.is_loopback() => {
                    "is no address of a machine"
                }
                _ if has_ends && address == first => "is the address of its network",
                _ if has_ends && address == last => "is the broadcast address of its network",
                _ => continue,
            };
            self.add(Some(at), "addresses", format!("{prefix} {why}"));
        }
    }

    fn gateways(&mut self, at: usize, interface: &Interface) {
        for is_v4 in [true, false] {
            let routers: Vec<_> =
                interface.gateways().iter().filter(|router| router.is_ipv4() == is_v4).collect();
            if routers.len() > 1 {
                let version = if is_v4 { 4 } else { 6 };
                self.add(Some(at), "gateway", format!("two gateways of IPv{version}: an interface has one"));
            }
            for router in routers.into_iter().take(1) {
                if let Some(why) = unreachable(interface, *router) {
                    self.add(Some(at), "gateway", format!("{router} {why}"));
                }
            }
        }
    }

    fn servers(&mut self, at: usize, interface: &Interface) {
        for server in &interface.dns {
            let is_v4 = server.is_ipv4();
            if !interface.dhcp().gives(is_v4) && interface.addresses_of(is_v4).next().is_none() {
                let message = format!("{server} is not reached by way of it: it has no address of that kind");
                self.add(Some(at), "dns", message);
            }
        }
    }

    fn mtu(&mut self, at: usize, interface: &Interface) {
        let Some(mtu) = interface.mtu else { return };
        let is_asked = interface.dhcp.is_some_and(|dhcp| dhcp.gives(false));
        let has_v6 = is_asked || interface.addresses_of(false).next().is_some();
        if !MTUS.contains(&mtu) {
            self.add(Some(at), "mtu", format!("{mtu} is no MTU: it is from 68 to 65535 bytes"));
        } else if has_v6 && mtu < MTU_OF_IPV6 {
            self.add(Some(at), "mtu", format!("{mtu} is too small: IPv6 takes {MTU_OF_IPV6} bytes or more"));
        }
    }

    /// VLANs and bonds.
    fn software(&mut self, at: usize, interface: &Interface) {
        if interface.is_card() {
            return;
        }
        if interface.vlan.is_some() && interface.bond.is_some() {
            self.add(Some(at), "bond", "a VLAN is no bond: it may lie on one");
        }
        if interface.plain_name().is_none() {
            self.add(
                Some(at),
                "name",
                "a VLAN and a bond need a name of their own, at most 15 letters, digits, -, _ and .",
            );
        }
        for (key, is_said) in [("mac", interface.mac.is_some()), ("driver", interface.driver.is_some())] {
            if is_said {
                self.add(Some(at), key, format!("{key} is for cards, and this is made of others"));
            }
        }
        if let Some(vlan) = &interface.vlan {
            if !VLANS.contains(&vlan.id) {
                self.add(
                    Some(at),
                    "vlan",
                    format!("{} is no number of a VLAN: they are from 1 to 4094", vlan.id),
                );
            }
            match self.network.find(&vlan.link).and_then(|link| self.network.interfaces.get(link)) {
                Some(link) if link.vlan.is_none() => {}
                Some(_) => self.add(Some(at), "vlan", format!("{} is a VLAN itself", vlan.link)),
                None => self.add(
                    Some(at),
                    "vlan",
                    format!("{} is none of the interfaces, by name or mac", vlan.link),
                ),
            }
        }
        if interface.bond.as_ref().is_some_and(|bond| bond.members.is_empty()) {
            self.add(Some(at), "bond", "a bond has members");
        }
    }

    /// Of two that mean the same, the second is never reached.
    fn same_interfaces(&mut self) {
        let mut met = BTreeSet::new();
        for (at, interface) in self.network.interfaces.iter().enumerate() {
            let Interface { name, mac, driver, .. } = interface;
            if !met.insert((name, mac, driver)) {
                let key = if name.is_some() {
                    "name"
                } else if mac.is_some() {
                    "mac"
                } else {
                    "driver"
                };
                self.add(Some(at), key, format!("{} is there for the second time", interface.shown()));
            }
        }
    }

    /// A card is in one bond, and is nothing else.
    fn members(&mut self) {
        let mut met = BTreeSet::new();
        for (at, interface) in self.network.interfaces.iter().enumerate() {
            for member in interface.bond.iter().flat_map(|bond| &bond.members) {
                let is_pattern = matches!(member, InterfaceId::Name(name) if TextFormat::InterfaceName.check(name).is_err());
                let why = match member {
                    _ if is_pattern => "is a pattern: a member is one card",
                    _ if !met.insert(member) => "is a member for the second time",
                    _ if self.network.find(member).is_some() => {
                        "is an interface of the list: a member has no addresses of its own"
                    }
                    _ => continue,
                };
                self.add(Some(at), "bond", format!("{member} {why}"));
            }
        }
    }
}

/// Why an interface does not get to a router.
fn unreachable(interface: &Interface, router: IpAddr) -> Option<&'static str> {
    let is_v4 = router.is_ipv4();
    let is_local = matches!(router, IpAddr::V6(router) if router.is_unicast_link_local());
    let has_own = interface.addresses_of(is_v4).next().is_some();
    if interface.addresses.iter().any(|prefix| prefix.address() == router) {
        return Some("is the interface itself");
    }
    let reaches = is_local || interface.addresses.iter().any(|prefix| prefix.contains(router));
    match (interface.dhcp(), has_own) {
        (_, true) if reaches => None,
        (_, true) => Some("is in none of the networks of its addresses"),
        (Dhcp::None, false) => Some("is of no use: it has no address of that kind"),
        (dhcp, false) if dhcp.gives(is_v4) => Some("is for addresses of one's own: DHCP tells of a gateway"),
        _ => Some("is of no use: it has no address of that kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a network: `INTERFACE.KEY: MESSAGE`.
    fn said(network: &str) -> Vec<String> {
        let network: Network = serde_json::from_str(network).unwrap();
        let shown = |Problem { interface, key, message }| {
            let at = interface.map(|at: usize| format!("{at}.")).unwrap_or_default();
            format!("{at}{key}: {message}")
        };
        problems(&network).into_iter().map(shown).collect()
    }

    fn interfaces(list: &str) -> Vec<String> {
        said(&format!(r#"{{"interfaces":[{list}]}}"#))
    }

    #[test]
    fn what_goes_together_has_no_problems() {
        for list in [
            r#"{"name":"en*"}"#,
            r#"{}"#,
            r#"{"addresses":["10.0.2.50/24","fd00::5/64"],"gateway":["10.0.2.2","fe80::1"],"mtu":1280}"#,
            r#"{"addresses":["192.0.2.0/31"],"gateway":"192.0.2.1","mtu":576}"#,
            r#"{"mac":"52:54:00:00:00:01","dhcp":"none"},{"name":"lan","vlan":{"id":4094,"link":"52:54:00:00:00:01"}}"#,
            r#"{"name":"bond0","bond":{"members":["eth0","52:54:00:00:00:01"]}},{"name":"v","vlan":{"id":1,"link":"bond0"}}"#,
            r#"{"name":"eth0","driver":"e1000"},{"name":"eth0","driver":"virtio_net"}"#,
        ] {
            assert_eq!(interfaces(list), [""; 0], "{list}");
        }
    }

    #[test]
    fn all_that_does_not_is_said_at_once() {
        for (list, expected) in [
            (
                r#"{"addresses":["10.0.2.0/24","10.0.2.255/24","127.0.0.1/8","::/64","10.0.3.1/24","10.0.3.1/25"]}"#,
                &[
                    "0.addresses: 10.0.2.0/24 is the address of its network",
                    "0.addresses: 10.0.2.255/24 is the broadcast",
                    "0.addresses: 127.0.0.1/8 is no address",
                    "0.addresses: ::/64 is no address",
                    "0.addresses: 10.0.3.1/25 is there twice",
                ][..],
            ),
            (
                r#"{"addresses":["10.0.2.50/24"],"gateway":["10.0.3.1","fd00::1"]}"#,
                &["0.gateway: 10.0.3.1 is in none of the networks", "0.gateway: fd00::1 is of no use"],
            ),
            (
                r#"{"addresses":["10.0.2.50/24"],"gateway":["10.0.2.1","10.0.2.2"]},{"name":"a","gateway":"10.0.2.2"}"#,
                &["0.gateway: two gateways of IPv4", "1.gateway: 10.0.2.2 is for addresses of one's own"],
            ),
            (
                r#"{"addresses":["10.0.2.50/24"],"gateway":"10.0.2.50"}"#,
                &["0.gateway: 10.0.2.50 is the interface itself"],
            ),
            (
                r#"{"dhcp":"ipv4","dns":["1.1.1.1","fd00::3"]}"#,
                &["0.dns: fd00::3 is not reached by way of it"],
            ),
            (
                r#"{"mtu":67},{"name":"a","mtu":1000,"dhcp":"both"}"#,
                &["0.mtu: 67 is no MTU", "1.mtu: 1000 is too small"],
            ),
            (
                r#"{"name":"a*","mac":"52:54:00:00:00:01","vlan":{"id":0,"link":"b"},"bond":{"members":[]}}"#,
                &[
                    "0.bond: a VLAN is no bond",
                    "0.name: a VLAN and a bond need",
                    "0.mac: mac is for cards",
                    "0.vlan: 0 is no number",
                    "0.vlan: b is none of the interfaces",
                    "0.bond: a bond has members",
                ],
            ),
            (
                r#"{"name":"eth0"},{"name":"a","vlan":{"id":5,"link":"eth0"}},{"name":"b","vlan":{"id":6,"link":"a"}}"#,
                &["2.vlan: a is a VLAN itself"],
            ),
            (
                r#"{"name":"a"},{"name":"a"},{},{},{"mac":"52:54:00:00:00:01"},{"mac":"52:54:00:00:00:01"}"#,
                &[
                    "1.name: a is there for the second",
                    "3.driver: every Ethernet card is there",
                    "5.mac: 52:54:00:00:00:01 is",
                ],
            ),
            (
                r#"{"name":"eth0"},{"name":"bond0","bond":{"members":["eth0","eth1","eth1","e*"]}}"#,
                &[
                    "1.bond: eth0 is an interface of the list",
                    "1.bond: eth1 is a member for the second",
                    "1.bond: e* is a pattern",
                ],
            ),
        ] {
            let said = interfaces(list);
            assert_eq!(said.len(), expected.len(), "{said:?}");
            for (said, expected) in said.iter().zip(expected) {
                assert!(said.starts_with(expected), "{said}: {expected}");
            }
        }
        let none = said(r#"{"manager":"none","interfaces":[{}]}"#);
        assert!(none.len() == 1 && none[0].starts_with("manager: manager is none"), "{none:?}");
    }
}
