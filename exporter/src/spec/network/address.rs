//! Addresses as they are written: with a prefix, of a card, of a host.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::spec::TextFormat;

/// An address, and the length of the prefix that is its network: `10.0.2.50/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many of its bits are the network.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The mask that stands for the length, of IPv4.
    pub fn netmask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(self.length.min(32))).unwrap_or(0))
    }

    /// The first address and the last one of its network.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        match self.address {
            IpAddr::V4(address) => {
                let (bits, mask) = (address.to_bits(), self.netmask().to_bits());
                (Ipv4Addr::from_bits(bits & mask).into(), Ipv4Addr::from_bits(bits | !mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                let bits = address.to_bits();
                (Ipv6Addr::from_bits(bits & mask).into(), Ipv6Addr::from_bits(bits | !mask).into())
            }
        }
    }

    /// Whether its network has this address.
    pub fn contains(&self, other: IpAddr) -> bool {
        let (first, last) = self.ends();
        self.address.is_ipv4() == other.is_ipv4() && (first..=last).contains(&other)
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address with the length of its prefix, such as 10.0.2.50/24");
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.parse().ok().filter(|length| *length <= most).ok_or_else(wrong)?;
        Ok(Self { address, length })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The address of a card in Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = String;

    /// Of a card, and so of no group of them.
    fn from_str(text: &str) -> Result<Self, String> {
        let byte = |digits: &str| {
            let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let bytes: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let is_of_one = |bytes: &[u8; 6]| bytes[0] & 1 == 0;
        bytes.filter(is_of_one).map(Self).ok_or_else(|| format!("{text:?} is no MAC address of a card"))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What tells one interface from the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum InterfaceId {
    /// Its name.
    Name(String),
    /// Its MAC address.
    Mac(Mac),
}

impl FromStr for InterfaceId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(mac) = text.parse() {
            return Ok(Self::Mac(mac));
        }
        let expected = |expected| format!("{text:?} is neither a MAC address of a card nor {expected}");
        TextFormat::InterfacePattern.check(text).map_err(expected)?;
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// A name with its address, as `docker run --add-host` takes it: `db:10.0.0.5`, `db=fd00::5`, `db:[fd00::5]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host {
    name: String,
    address: IpAddr,
}

impl Host {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no name with its address, such as db:10.0.0.5");
        let (name, address) = text.split_once([':', '=']).ok_or_else(wrong)?;
        TextFormat::Hostname.check(name).map_err(|_| wrong())?;
        let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
        let address = bare.unwrap_or(address).parse().map_err(|_| wrong())?;
        Ok(Self { name: name.to_owned(), address })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.address)
    }
}

macro_rules! as_text {
    ($($kind:ident)*) => {$(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(Prefix Mac InterfaceId Host);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_network() {
        for (text, mask, first, last) in [
            ("10.0.2.50/24", "255.255.255.0", "10.0.2.0", "10.0.2.255"),
            ("10.0.2.50/0", "0.0.0.0", "0.0.0.0", "255.255.255.255"),
            ("10.0.2.50/32", "255.255.255.255", "10.0.2.50", "10.0.2.50"),
            ("fd00::5/64", "255.255.255.255", "fd00::", "fd00::ffff:ffff:ffff:ffff"),
            ("fd00::5/128", "255.255.255.255", "fd00::5", "fd00::5"),
            ("fd00::5/0", "0.0.0.0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!((prefix.to_string(), prefix.netmask().to_string()), (text.into(), mask.into()));
            let (from, to) = prefix.ends();
            assert_eq!((from.to_string(), to.to_string()), (first.into(), last.into()), "{text}");
            assert!(
                prefix.contains(from)
                    && prefix.contains(to)
                    && !prefix.contains("192.0.2.1".parse().unwrap()) | (first == "0.0.0.0")
            );
        }
        for wrong in ["", "10.0.2.50", "10.0.2.50/33", "fd00::1/129", "10.0.2/24", "10.0.2.50/255.255.255.0"]
        {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_card_is_known_by_its_mac_and_others_by_their_names() {
        let id = |text: &str| text.parse::<InterfaceId>();
        assert!(
            matches!(id("52:54:00:AB:cd:01"), Ok(InterfaceId::Mac(mac)) if mac.to_string() == "52:54:00:ab:cd:01")
        );
        assert_eq!(id("eth0.5"), Ok(InterfaceId::Name("eth0.5".into())));
        for wrong in ["", "01:00:5e:00:00:01", "52:54:00:ab:cd", "a b", "sixteen-letters-"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
        for wrong in ["+2:54:00:ab:cd:01", "52:54:00:ab:cd:01:02", "5254:00:ab:cd:01"] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_written_as_docker_takes_it() {
        for (text, shown) in [
            ("db:10.0.0.5", "db:10.0.0.5"),
            ("db=fd00::5", "db:fd00::5"),
            ("db:[fd00::5]", "db:fd00::5"),
            ("a.b:::1", "a.b:::1"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), shown);
        }
        for wrong in ["", "db", "db:", ":10.0.0.5", "d b:10.0.0.5", "db:host-gateway", "db\n:::1"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }
}
