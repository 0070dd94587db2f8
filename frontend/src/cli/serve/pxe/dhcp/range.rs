//! The addresses that a lab's machines get.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::super::network::Site;
use crate::base::{Error, Result};

/// No lab has more machines.
const MOST: u32 = 4096;

/// From one address to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Range {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

impl Range {
    /// Which of the addresses that are listened on is on its network.
    pub(in super::super) fn site(&self, sites: &[Site]) -> Result<usize> {
        let at = sites.iter().position(|site| site.reaches(self.first) && site.reaches(self.last));
        let at = at.ok_or_else(|| {
            Error::user(format!("--dhcp-range {self}: is on the network of no address that is listened on"))
        })?;
        if let Some(site) = sites.iter().find(|site| self.contains(site.address)) {
            let message =
                format!("--dhcp-range {self}: has this machine's own address in it, {}", site.address);
            return Err(Error::user(message));
        }
        Ok(at)
    }

    pub(super) fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        (self.first.to_bits()..=self.last.to_bits()).map(Ipv4Addr::from_bits)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = |text: &str| text.parse().map_err(|_| format!("{text:?} is no IPv4 address"));
        let (first, last) = text.split_once('-').ok_or("two addresses with a - between them are wanted")?;
        let range = Self { first: address(first)?, last: address(last)? };
        match range.last.to_bits().checked_sub(range.first.to_bits()) {
            None => Err("its end is before its beginning".to_owned()),
            Some(MOST..) => Err(format!("it has more than {MOST} addresses")),
            Some(_) => Ok(range),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_two_addresses_in_order() {
        let range: Range = "10.9.0.100-10.9.0.102".parse().unwrap();
        assert_eq!(range.to_string(), "10.9.0.100-10.9.0.102");
        assert_eq!(range.addresses().count(), 3);
        for text in ["10.9.0.1", "10.9.0.2-10.9.0.1", "10.9.0.1-x", "10.0.0.0-10.0.16.0", ""] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_is_on_a_network_of_ours_and_is_not_our_own() {
        let sites = [[10, 8, 0, 1], [10, 9, 0, 1]].map(|address: [u8; 4]| Site {
            address: address.into(),
            netmask: [255, 255, 255, 0].into(),
            device: "br0".to_owned(),
        });
        let site =
            |text: &str| text.parse::<Range>().unwrap().site(&sites).map_err(|error| error.to_string());
        assert_eq!(site("10.9.0.100-10.9.0.102"), Ok(1));
        assert!(site("10.9.0.200-10.9.1.5").unwrap_err().contains("network of no address"));
        assert!(site("10.9.0.1-10.9.0.9").unwrap_err().contains("own address"));
    }
}
