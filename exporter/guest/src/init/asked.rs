//! What is asked of each card, as the disk's builder was told it.
//!
//! Without the file every card asks for its address by DHCP. With it those that fit none of the list are left off.

use std::fs;
use std::net::IpAddr;

use serde::Deserialize;

use crate::init::modules::matches;

/// Where the disk's builder leaves it.
const PATH: &str = "/usr/lib/vmimage/network.json";

/// The list; `None`: nothing is asked.
#[derive(Debug, Default)]
pub(crate) struct Asked(Option<Vec<Interface>>);

/// What is asked of the cards that fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Interface {
    name: Option<String>,
    mac: Option<String>,
    driver: Option<String>,
    dhcp: Option<Dhcp>,
    /// `10.0.2.50/24`.
    addresses: Vec<String>,
    gateway: Option<Gateway>,
    pub(crate) mtu: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dhcp {
    Both,
    Ipv4,
    Ipv6,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Gateway {
    One(IpAddr),
    Both(Vec<IpAddr>),
}

impl Asked {
    /// What the disk says.
    pub(crate) fn read() -> Result<Self, String> {
        match fs::read(PATH) {
            Ok(text) => Self::parse(&text).map_err(|error| format!("{PATH}: {error}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{PATH}: {error}")),
        }
    }

    /// What is asked in place of that.
    pub(crate) fn of_list(list: Vec<Interface>) -> Self {
        Self(Some(list))
    }

    fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text).map(Some).map(Self)
    }

    /// The first of the list that a card fits; without a list, one that asks for all it can get.
    pub(crate) fn of(&self, name: &str, mac: &str, driver: &str) -> Option<Interface> {
        let Some(list) = &self.0 else { return Some(Interface::default()) };
        list.iter().find(|interface| interface.fits(name, mac, driver)).cloned()
    }
}

impl Interface {
    fn fits(&self, name: &str, mac: &str, driver: &str) -> bool {
        let is = |asked: &Option<String>, real: &str| asked.as_ref().is_none_or(|asked| asked == real);
        let pattern = self.name.as_ref();
        pattern.is_none_or(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
            && is(&self.mac, mac)
            && is(&self.driver, driver)
    }

    /// Whether it asks for an address of IPv4.
    pub(crate) fn asks(&self) -> bool {
        matches!(self.dhcp(), Dhcp::Both | Dhcp::Ipv4)
    }

    /// Whether it listens to routers of IPv6.
    pub(crate) fn listens(&self) -> bool {
        matches!(self.dhcp(), Dhcp::Both | Dhcp::Ipv6)
    }

    fn dhcp(&self) -> Dhcp {
        self.dhcp.unwrap_or(if self.addresses.is_empty() { Dhcp::Both } else { Dhcp::None })
    }

    /// Its own addresses, each with the length of its prefix.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.addresses.iter().filter_map(|text| {
            let (address, prefix) = text.split_once('/')?;
            Some((address.parse().ok()?, prefix.parse().ok()?))
        })
    }

    /// That none of its addresses would be passed over.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_one = |text: &String| {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
            (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
        };
        match self.addresses.iter().find(|text| is_one(text).is_none()) {
            Some(text) => {
                Err(format!("network: {text}: not an address with its prefix, such as 10.0.2.50/24"))
            }
            None => Ok(()),
        }
    }

    /// Its routers.
    pub(crate) fn gateways(&self) -> &[IpAddr] {
        match &self.gateway {
            None => &[],
            Some(Gateway::One(router)) => std::slice::from_ref(router),
            Some(Gateway::Both(routers)) => routers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_what_it_fits_first() {
        let list = br#"[{"mac":"52:54:00:00:00:01","addresses":["10.0.2.50/24","fd00::5/64"],"gateway":"10.0.2.2",
            "mtu":1400},{"name":"en*","driver":"e1000","dhcp":"ipv6"},{"name":"eth[0-3]","gateway":["10.0.0.1","fd00::1"],
            "dhcp":"both","dns":["1.1.1.1"]}]"#;
        let asked = Asked::parse(list).unwrap();
        let one = asked.of("eth0", "52:54:00:00:00:01", "virtio_net").unwrap();
        let own: Vec<_> = one.addresses().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
        assert_eq!((own, one.mtu), (vec!["10.0.2.50/24".to_owned(), "fd00::5/64".to_owned()], Some(1400)));
        assert!(!one.asks() && !one.listens() && one.gateways().len() == 1);
        let two = asked.of("enp1s0", "52:54:00:00:00:02", "e1000").unwrap();
        assert!(!two.asks() && two.listens() && two.gateways().is_empty());
        let three = asked.of("eth3", "52:54:00:00:00:02", "e1000").unwrap();
        assert!(three.asks() && three.listens() && three.gateways().len() == 2);
        for (name, driver) in [("enp1s0", "virtio_net"), ("eth4", "e1000")] {
            assert_eq!(asked.of(name, "52:54:00:00:00:02", driver), None);
        }
        let all = Asked::default().of("eth9", "", "").unwrap();
        assert!(all.asks() && all.listens());
        assert!(Asked::parse(b"{}").is_err());
    }
}
