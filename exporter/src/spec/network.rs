//! The network of a machine: its interfaces, and the names that it knows.
//!
//! ```text
//! cards by name, MAC address or driver ─▶ bonds of them ─▶ VLANs on either
//! ```
//!
//! Who configures them in the machine writes this down in its own way: `machine/network/`.

mod address;
mod problems;

use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TextFormat;
use crate::choice::by_name;

pub use address::{Host, InterfaceId, Mac, Prefix};
pub use problems::{Problem, problems};

/// What is asked of the network; nothing by default, and then every Ethernet card asks for its address by DHCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// Who configures it in the machine. `auto` is who does so in the image, else who is there; `none` leaves it as the
    /// image has it.
    /// By a flag: `--network-manager`, `VMIMAGE_NETWORK_MANAGER`.
    #[schemars(schema_with = "Manager::schema")]
    pub manager: Manager,
    /// Name servers of the machine, in place of those that DHCP tells of.
    /// By a flag: `--dns`, `VMIMAGE_DNS`.
    #[schemars(with = "Vec<String>", extend("items" = TextFormat::IpAddress.schema()), example = vec!["1.1.1.1"])]
    pub dns: Vec<IpAddr>,
    /// Domains that short names are completed with.
    /// By a flag: `--dns-search`, `VMIMAGE_DNS_SEARCH`.
    #[schemars(extend("items" = TextFormat::Domain.schema()), example = vec!["corp.example"])]
    pub search: Vec<String>,
    /// Names with their addresses, for `/etc/hosts`.
    /// By a flag: `--hosts`, `VMIMAGE_HOSTS`.
    #[schemars(with = "Vec<String>", extend("items" = TextFormat::HostAddress.schema()), example = vec!["db:10.0.0.5"])]
    pub hosts: Vec<Host>,
    /// All interfaces that the machine configures. Without this list every Ethernet card asks for its address by DHCP.
    pub interfaces: Vec<Interface>,
}

impl Network {
    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What this says, and `other` where it says nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        fn list<T>(own: Vec<T>, other: Vec<T>) -> Vec<T> {
            if own.is_empty() { other } else { own }
        }
        Self {
            manager: if self.manager == Manager::Auto { other.manager } else { self.manager },
            dns: list(self.dns, other.dns),
            search: list(self.search, other.search),
            hosts: list(self.hosts, other.hosts),
            interfaces: list(self.interfaces, other.interfaces),
        }
    }

    /// The interface that another one lies on.
    pub fn find(&self, id: &InterfaceId) -> Option<usize> {
        self.interfaces.iter().position(|interface| interface.is(id))
    }
}

/// Who configures the network of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// Who does so in the image, else who is there.
    #[default]
    Auto,
    /// systemd-networkd.
    Networkd,
    /// NetworkManager.
    NetworkManager,
    /// netplan, which has networkd do its work.
    Netplan,
    /// ifupdown of Debian, ifupdown-ng, or BusyBox.
    Ifupdown,
    /// Whoever the image has.
    None,
}

impl Manager {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Auto, Self::Networkd, Self::NetworkManager, Self::Netplan, Self::Ifupdown, Self::None];

    /// Its name: `auto`, `networkd`, `networkmanager`, `netplan`, `ifupdown`, `none`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Networkd => "networkd",
            Self::NetworkManager => "networkmanager",
            Self::Netplan => "netplan",
            Self::Ifupdown => "ifupdown",
            Self::None => "none",
        }
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::ALL })
    }
}

impl FromStr for Manager {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

/// An interface. One without `vlan` and `bond` is a card: that which all of `name`, `mac` and `driver` fit, and without
/// any of them every Ethernet card. Of several that fit, the first in the list counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interface {
    /// The name of the card, or a pattern with `*`, `?` and `[…]`. A VLAN and a bond get this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::InterfacePattern), example = &"en*")]
    pub name: Option<String>,
    /// The MAC address of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = TextFormat::MacAddress), example = &"52:54:00:12:34:57")]
    pub mac: Option<Mac>,
    /// The kernel's driver of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::KernelModule), example = &"virtio_net")]
    pub driver: Option<String>,
    /// What it gets by DHCP and router advertisements; by default `both`, and `none` with `addresses`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "Dhcp::schema")]
    pub dhcp: Option<Dhcp>,
    /// Its own addresses, each with the length of its prefix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", extend("items" = TextFormat::Prefix.schema()), example = vec!["10.0.2.50/24"])]
    pub addresses: Vec<Prefix>,
    /// The router to everywhere else, or one for IPv4 and one for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"10.0.2.2")]
    pub gateway: Option<Gateway>,
    /// Name servers to ask by way of it, in place of those that DHCP tells of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", extend("items" = TextFormat::IpAddress.schema()))]
    pub dns: Vec<IpAddr>,
    /// Its MTU in bytes; by default that of its driver, or of DHCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Makes it a VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// Makes it a bond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
}

impl Interface {
    /// Whether another one means this one.
    pub fn is(&self, id: &InterfaceId) -> bool {
        match id {
            InterfaceId::Name(name) => self.name.as_ref() == Some(name),
            InterfaceId::Mac(mac) => self.mac == Some(*mac),
        }
    }

    /// Whether it is hardware.
    pub fn is_card(&self) -> bool {
        self.vlan.is_none() && self.bond.is_none()
    }

    /// Its name, if it is known before the machine boots.
    pub fn plain_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| TextFormat::InterfaceName.check(name).is_ok())
    }

    /// As a message calls it.
    pub fn shown(&self) -> String {
        let mac = self.mac.map(|mac| mac.to_string());
        let words: Vec<_> = [self.name.clone(), mac, self.driver.clone()].into_iter().flatten().collect();
        if words.is_empty() { "every Ethernet card".to_owned() } else { words.join(" ") }
    }

    /// What it gets by DHCP, said or not.
    pub fn dhcp(&self) -> Dhcp {
        self.dhcp.unwrap_or(if self.addresses.is_empty() { Dhcp::Both } else { Dhcp::None })
    }

    /// Its addresses of IPv4, or of IPv6.
    pub fn addresses_of(&self, is_v4: bool) -> impl Iterator<Item = &Prefix> {
        self.addresses.iter().filter(move |prefix| prefix.address().is_ipv4() == is_v4)
    }

    /// Its routers.
    pub fn gateways(&self) -> &[IpAddr] {
        match &self.gateway {
            None => &[],
            Some(Gateway::One(router)) => std::slice::from_ref(router),
            Some(Gateway::Both(routers)) => routers,
        }
    }

    /// Its router of IPv4, or of IPv6.
    pub fn gateway_of(&self, is_v4: bool) -> Option<IpAddr> {
        self.gateways().iter().copied().find(|router| router.is_ipv4() == is_v4)
    }
}

/// What an interface is given by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dhcp {
    /// Addresses of IPv4 and IPv6.
    Both,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone: by router advertisements, and by DHCPv6 where these say so.
    Ipv6,
    /// Nothing.
    None,
}

impl Dhcp {
    /// Whether it gets addresses of IPv4, or of IPv6.
    pub fn gives(self, is_v4: bool) -> bool {
        match self {
            Self::Both => true,
            Self::Ipv4 => is_v4,
            Self::Ipv6 => !is_v4,
            Self::None => false,
        }
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": [Self::Both, Self::Ipv4, Self::Ipv6, Self::None] })
    }
}

/// The router of an interface, or one for IPv4 and one for IPv6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Gateway {
    /// One.
    One(#[schemars(with = "String", extend("format" = TextFormat::IpAddress))] IpAddr),
    /// One for each.
    Both(#[schemars(with = "Vec<String>", extend("items" = TextFormat::IpAddress.schema()))] Vec<IpAddr>),
}

/// What makes an interface a VLAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vlan {
    /// The number in its frames, from 1 to 4094.
    pub id: u32,
    /// The interface of the list that it lies on, by the same `name` or `mac`.
    #[schemars(with = "String", extend("format" = TextFormat::InterfaceId), example = &"eth0")]
    pub link: InterfaceId,
}

/// What makes an interface a bond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bond {
    /// Its cards, by name or MAC address. They are no interfaces of the list.
    #[schemars(with = "Vec<String>", extend("items" = TextFormat::InterfaceId.schema()))]
    pub members: Vec<InterfaceId>,
    /// How they share the work; by default `active-backup`, which any switch takes.
    #[serde(default)]
    #[schemars(schema_with = "BondMode::schema")]
    pub mode: BondMode,
}

/// How the cards of a bond share its work (`mode` of the kernel's bonding.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub enum BondMode {
    BalanceRr,
    #[default]
    ActiveBackup,
    BalanceXor,
    Broadcast,
    #[serde(rename = "802.3ad")]
    Lacp,
    BalanceTlb,
    BalanceAlb,
}

impl BondMode {
    const ALL: [Self; 7] = [
        Self::BalanceRr,
        Self::ActiveBackup,
        Self::BalanceXor,
        Self::Broadcast,
        Self::Lacp,
        Self::BalanceTlb,
        Self::BalanceAlb,
    ];

    /// The kernel's name, which every manager takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::BalanceRr => "balance-rr",
            Self::ActiveBackup => "active-backup",
            Self::BalanceXor => "balance-xor",
            Self::Broadcast => "broadcast",
            Self::Lacp => "802.3ad",
            Self::BalanceTlb => "balance-tlb",
            Self::BalanceAlb => "balance-alb",
        }
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::ALL })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_is_written_of_it() {
        let text = r#"{"manager":"networkd","dns":["1.1.1.1"],"search":["corp.example"],"hosts":["db:10.0.0.5"],
            "interfaces":[{"name":"en*","dhcp":"ipv4","gateway":["10.0.2.2","fd00::1"],"mtu":1400},
            {"name":"bond0","addresses":["10.0.3.5/24"],"gateway":"10.0.3.1",
            "bond":{"members":["eth1","52:54:00:12:34:57"],"mode":"802.3ad"}},
            {"name":"lan","vlan":{"id":5,"link":"bond0"}}]}"#;
        let network: Network = serde_json::from_str(text).unwrap();
        let again = serde_json::to_string(&network).unwrap();
        assert_eq!(again, text.split('\n').map(str::trim).collect::<String>());
        assert_eq!(network.find(&InterfaceId::Name("bond0".into())), Some(1));
        let [card, bond, vlan] = &network.interfaces[..] else { panic!("three") };
        assert!(card.is_card() && !bond.is_card() && !vlan.is_card());
        assert_eq!((card.dhcp(), bond.dhcp(), vlan.dhcp()), (Dhcp::Ipv4, Dhcp::None, Dhcp::Both));
        assert_eq!((card.plain_name(), bond.plain_name()), (None, Some("bond0")));
        assert_eq!(card.gateway_of(false), Some("fd00::1".parse().unwrap()));
        for manager in Manager::ALL {
            assert_eq!(serde_json::to_string(&manager).unwrap(), format!("{:?}", manager.name()));
        }
        for mode in BondMode::ALL {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("{:?}", mode.name()));
        }
    }

    #[test]
    fn what_is_said_goes_before_what_is_said_elsewhere() {
        let read = |text: &str| serde_json::from_str::<Network>(text).unwrap();
        let label = read(r#"{"manager":"ifupdown","dns":["1.1.1.1"],"search":["a.example"]}"#);
        let file = read(r#"{"dns":["9.9.9.9"],"hosts":["db:10.0.0.5"]}"#);
        let both = read(
            r#"{"manager":"ifupdown","dns":["9.9.9.9"],"search":["a.example"],"hosts":["db:10.0.0.5"]}"#,
        );
        assert_eq!(file.or(label), both);
        assert!(Network::default().or(Network::default()).is_default());
    }

    #[test]
    fn what_is_no_key_or_no_value_of_one_is_refused() {
        for (text, said) in [
            (r#"{"manager":"wicked"}"#, "unknown variant `wicked`"),
            (r#"{"dns":["one"]}"#, "invalid IP address"),
            (r#"{"interfaces":[{"adress":"10.0.0.1/8"}]}"#, "unknown field `adress`"),
            (r#"{"interfaces":[{"addresses":["10.0.0.1"]}]}"#, "such as 10.0.2.50/24"),
            (r#"{"interfaces":[{"vlan":{"id":5}}]}"#, "missing field `link`"),
            (r#"{"interfaces":[{"bond":{"members":[],"mode":"fast"}}]}"#, "unknown variant `fast`"),
        ] {
            let error = serde_json::from_str::<Network>(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
