//! Where machines are answered: addresses of this machine, each with the network it is on.

use std::net::Ipv4Addr;

use if_addrs::IfAddr;

use crate::base::{Error, Result};

/// An address of this machine, and the network it is on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Site {
    pub(super) address: Ipv4Addr,
    pub(super) netmask: Ipv4Addr,
    /// The interface: `eth0`.
    pub(super) device: String,
}

impl Site {
    /// Whether an address is on the same network.
    pub(super) fn reaches(&self, other: Ipv4Addr) -> bool {
        let network = |address: Ipv4Addr| address.to_bits() & self.netmask.to_bits();
        network(other) == network(self.address)
    }
}

/// The addresses that are asked for; all of an interface if none is named.
pub(super) fn find(listen: &[Ipv4Addr], interface: Option<&str>) -> Result<Vec<Site>> {
    choose(&all()?, listen, interface)
}

/// All addresses of IPv4 that this machine has.
fn all() -> Result<Vec<Site>> {
    let interfaces = if_addrs::get_if_addrs()
        .map_err(|error| Error::user("the addresses of this machine: cannot be read").because(error))?;
    let sites = interfaces.into_iter().filter_map(|interface| match interface.addr {
        IfAddr::V4(address) => Some(Site {
            address: address.ip,
            netmask: address.netmask,
            // A second address may have a label behind the name.
            device: interface.name.split(':').next().unwrap_or_default().to_owned(),
        }),
        IfAddr::V6(_) => None,
    });
    Ok(sites.collect())
}

fn choose(all: &[Site], listen: &[Ipv4Addr], interface: Option<&str>) -> Result<Vec<Site>> {
    let is_on = |site: &&Site| interface.is_none_or(|name| site.device == name);
    if listen.is_empty() {
        let sites: Vec<_> = all.iter().filter(is_on).cloned().collect();
        let name = interface.unwrap_or_default();
        return match sites.is_empty() {
            true => Err(Error::user(format!("{name}: has no IPv4 address here")).with_hint(known(all))),
            false => Ok(sites),
        };
    }
    let mut sites: Vec<Site> = Vec::new();
    for address in listen {
        let site = all.iter().find(|site| site.address == *address);
        let site = site.ok_or_else(|| unknown(all, *address))?;
        if !is_on(&site) {
            return Err(Error::user(format!(
                "{address}: is on {}, not on {}",
                site.device,
                interface.unwrap_or_default()
            )));
        }
        if !sites.contains(site) {
            sites.push(site.clone());
        }
    }
    Ok(sites)
}

/// Whether the site is the one that hears the broadcasts of its interface, which come to one only: the site that has
/// addresses to give, or else the first.
pub(super) fn hears_broadcasts(sites: &[Site], at: usize, with_range: Option<usize>) -> bool {
    let Some(site) = sites.get(at) else { return false };
    let is_on_it = |other: &Site| other.device == site.device;
    let with_range = with_range.filter(|&other| sites.get(other).is_some_and(is_on_it));
    with_range.or_else(|| sites.iter().position(is_on_it)) == Some(at)
}

fn unknown(all: &[Site], address: Ipv4Addr) -> Error {
    let message = match address.is_unspecified() {
        true => format!("{address}: would be every network of this machine"),
        false => format!("{address}: is no address of this machine"),
    };
    Error::user(message).with_hint(known(all))
}

fn known(all: &[Site]) -> String {
    let names: Vec<_> = all.iter().map(|site| format!("{} ({})", site.address, site.device)).collect();
    format!("name one of its own: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Site> {
        let site = |address: [u8; 4], device: &str| Site {
            address: address.into(),
            netmask: [255, 255, 255, 0].into(),
            device: device.to_owned(),
        };
        vec![site([127, 0, 0, 1], "lo"), site([10, 9, 0, 1], "br0"), site([10, 9, 1, 1], "br0")]
    }

    #[test]
    fn only_what_was_asked_for_is_listened_on() {
        let find = |listen: &[[u8; 4]], interface| {
            let listen: Vec<_> = listen.iter().copied().map(Ipv4Addr::from).collect();
            choose(&all(), &listen, interface)
                .map(|sites| sites.iter().map(|site| site.address.octets()).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(find(&[[10, 9, 0, 1], [10, 9, 0, 1]], None), Ok(vec![[10, 9, 0, 1]]));
        assert_eq!(find(&[], Some("br0")), Ok(vec![[10, 9, 0, 1], [10, 9, 1, 1]]));
        assert_eq!(find(&[[10, 9, 1, 1]], Some("br0")), Ok(vec![[10, 9, 1, 1]]));
        for (listen, interface, part) in [
            (&[[10, 9, 0, 2]][..], None, "is no address of this machine"),
            (&[[0, 0, 0, 0]], None, "every network"),
            (&[[127, 0, 0, 1]], Some("br0"), "is on lo, not on br0"),
            (&[], Some("eth9"), "eth9: has no IPv4 address"),
        ] {
            let error = find(listen, interface).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn one_site_of_an_interface_hears_its_broadcasts() {
        let sites = all();
        let hears = |with_range| [0, 1, 2].map(|at| hears_broadcasts(&sites, at, with_range));
        assert_eq!(hears(None), [true, true, false]);
        assert_eq!(hears(Some(1)), [true, true, false]);
        assert_eq!(hears(Some(2)), [true, false, true], "whoever has addresses hears who asks for one");
        assert_eq!(hears(Some(0)), [true, true, false]);
    }

    #[test]
    fn a_network_ends_at_its_mask() {
        let site = &all()[1];
        assert!(site.reaches([10, 9, 0, 77].into()) && !site.reaches([10, 9, 1, 77].into()));
    }
}
