//! The kernel's words for the network (Documentation/admin-guide/nfs/nfsroot.rst), as far as a medium has a use for them, and the
//! two forms that dracut has beside them (dracut.cmdline(7)).
//!
//! ```text
//! ip=CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:AUTOCONF:DNS0:DNS1:NTP     ip=AUTOCONF     ip=DEVICE:AUTOCONF
//! BOOTIF=01-MAC     nameserver=ADDRESS
//! ```

use std::net::{IpAddr, Ipv4Addr};

use crate::init::words::Words;

/// What `autoconf` may be to ask by DHCP; other protocols are long gone, and are taken for it as dracut does.
const ASKING: [&str; 5] = ["dhcp", "on", "any", "both", "bootp"];
const NOT_ASKING: [&str; 2] = ["none", "off"];
/// The kind of hardware that `BOOTIF` begins with: Ethernet (ARPHRD_ETHER).
const ETHERNET: &str = "01-";

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    cards: Vec<Card>,
    /// The address of the card that the firmware has booted from.
    booted: Option<String>,
    /// Name servers, in the place of what DHCP says.
    pub(super) servers: Vec<IpAddr>,
}

/// What is asked of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    /// `None`: of any.
    device: Option<String>,
    pub(super) how: How,
}

/// How a card comes to its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    Dhcp,
    Fixed { address: IpAddr, prefix: u8, gateway: Option<IpAddr> },
}

impl Asked {
    /// # Errors
    /// The word that makes no sense, with what is wrong with it.
    pub(super) fn parse(words: &Words) -> Result<Self, String> {
        let mut asked = Self { booted: words.value("BOOTIF").map(mac).transpose()?, ..Self::default() };
        for (name, value) in words.all().filter_map(|word| word.split_once('=')) {
            let wrong = |reason| format!("{name}={value}: {reason}");
            match name {
                "ip" => asked.add(value).map_err(wrong)?,
                "nameserver" => asked.servers.push(address(value).map_err(wrong)?),
                _ => {}
            }
        }
        Ok(asked)
    }

    fn add(&mut self, value: &str) -> Result<(), String> {
        let fields = fields(value)?;
        let field = |at: usize| fields.get(at).map(String::as_str).filter(|field| !field.is_empty());
        let is_address = |text: &str| address(text).is_ok();
        match (field(0), fields.len()) {
            (Some(word), 1) if !is_address(word) => {
                self.cards.extend(autoconf(word)?.map(|how| Card { device: None, how }))
            }
            (Some(device), 2..=4) if !is_address(device) => {
                let how = autoconf(field(1).unwrap_or("dhcp"))?;
                self.cards.extend(how.map(|how| Card { device: Some(device.to_owned()), how }));
            }
            (Some(client), _) => {
                let how = fixed(client, field(2), field(3))?;
                self.cards.push(Card { device: field(5).map(str::to_owned), how });
            }
            (None, _) => {
                let how = autoconf(field(6).unwrap_or("dhcp"))?;
                self.cards.extend(how.map(|how| Card { device: field(5).map(str::to_owned), how }));
            }
        }
        for server in [field(7), field(8)].into_iter().flatten() {
            self.servers.push(address(server)?);
        }
        Ok(())
    }

    /// What is asked of a card with this name and this address of its hardware: by its name before all else, by that of
    /// the card that was booted from next.
    pub(super) fn of(&self, name: &str, mac: &str) -> Option<How> {
        if let Some(card) = self.cards.iter().find(|card| card.device.as_deref() == Some(name)) {
            return Some(card.how.clone());
        }
        if self.booted.as_ref().is_some_and(|booted| booted != mac) {
            return None;
        }
        match self.cards.iter().find(|card| card.device.is_none()) {
            Some(card) => Some(card.how.clone()),
            // Only what is named is used, where something is.
            None => self.cards.is_empty().then_some(How::Dhcp),
        }
    }

    /// The card that is asked for, for a person.
    pub(super) fn show(&self) -> String {
        let names: Vec<_> = self.cards.iter().filter_map(|card| card.device.clone()).collect();
        match (&self.booted, names.is_empty()) {
            (_, false) => format!("a card called {}", names.join(" or ")),
            (Some(mac), true) => format!("a card with the address {mac} (BOOTIF=)"),
            (None, true) => "a card".to_owned(),
        }
    }
}

/// Between colons; those of an IPv6 are in brackets.
fn fields(value: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut is_bracketed) = (vec![String::new()], false);
    for character in value.chars() {
        match (character, fields.last_mut()) {
            ('[', _) => is_bracketed = true,
            (']', _) => is_bracketed = false,
            (':', _) if !is_bracketed => fields.push(String::new()),
            (other, Some(field)) => field.push(other),
            (_, None) => {}
        }
    }
    match is_bracketed || fields.len() > 10 {
        true => Err("is not CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:AUTOCONF, DEVICE:AUTOCONF or AUTOCONF"
            .to_owned()),
        false => Ok(fields),
    }
}

/// `None`: none is configured.
fn autoconf(word: &str) -> Result<Option<How>, String> {
    match word {
        word if ASKING.contains(&word) => Ok(Some(How::Dhcp)),
        word if NOT_ASKING.contains(&word) => Ok(None),
        word => Err(format!(
            "{word} is neither an address nor one of {} and {}",
            ASKING.join(", "),
            NOT_ASKING.join(", ")
        )),
    }
}

fn fixed(client: &str, gateway: Option<&str>, netmask: Option<&str>) -> Result<How, String> {
    let address = address(client)?;
    let gateway = gateway.map(self::address).transpose()?;
    if gateway.is_some_and(|gateway| gateway.is_ipv4() != address.is_ipv4()) {
        return Err("the gateway is of another kind than the address".to_owned());
    }
    let prefix = match (netmask, address) {
        (Some(mask), _) => prefix(mask, address)?,
        (None, IpAddr::V4(address)) => class_of(address),
        (None, IpAddr::V6(_)) => 64,
    };
    Ok(How::Fixed { address, prefix, gateway })
}

/// A netmask, or the length of the prefix.
fn prefix(mask: &str, of: IpAddr) -> Result<u8, String> {
    let longest = if of.is_ipv4() { 32 } else { 128 };
    let bits = mask.parse::<Ipv4Addr>().map(Ipv4Addr::to_bits);
    let prefix = match bits {
        // Ones, and then zeroes.
        Ok(bits) if of.is_ipv4() && bits.leading_ones() + bits.trailing_zeros() == 32 => {
            Some(bits.leading_ones() as u8)
        }
        Ok(_) => None,
        Err(_) => mask.parse().ok().filter(|prefix| (1..=longest).contains(prefix)),
    };
    prefix.ok_or_else(|| format!("{mask} is no netmask"))
}

/// What the kernel takes where no netmask is told.
fn class_of(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.trim_matches(['[', ']']).parse().map_err(|_| format!("{text} is no address"))
}

/// `01-52-54-00-12-34-56` of PXELINUX and its successors, or the address alone, as sysfs has it.
fn mac(word: &str) -> Result<String, String> {
    let text = word.to_ascii_lowercase();
    let address =
        text.strip_prefix(ETHERNET).filter(|rest| rest.len() == 17).unwrap_or(&text).replace('-', ":");
    let is_byte = |byte: &str| byte.len() == 2 && u8::from_str_radix(byte, 16).is_ok();
    match address.split(':').count() == 6 && address.split(':').all(is_byte) {
        true => Ok(address),
        false => Err(format!("BOOTIF={word}: is no address of a card, such as 01-52-54-00-12-34-56")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: &str = "52:54:00:12:34:56";

    fn parse(line: &str) -> Result<Asked, String> {
        Asked::parse(&Words::parse(line))
    }

    fn how(line: &str, name: &str, mac: &str) -> Option<How> {
        parse(line).unwrap().of(name, mac)
    }

    fn is_fixed(line: &str, name: &str, expected: &str) {
        let Some(How::Fixed { address, prefix, gateway }) = how(line, name, MAC) else { panic!("{line}") };
        let gateway = gateway.map(|gateway| format!(" by {gateway}")).unwrap_or_default();
        assert_eq!(format!("{address}/{prefix}{gateway}"), expected, "{line}");
    }

    #[test]
    fn without_a_word_every_card_asks() {
        for line in ["quiet", "ip=dhcp", "ip=on", "ip=:::::eth0:dhcp", "ip=eth0:dhcp", "ip=eth0:dhcp:1500"] {
            assert_eq!(how(line, "eth0", MAC), Some(How::Dhcp), "{line}");
        }
        assert_eq!(how("ip=eth0:dhcp", "eth1", MAC), None);
        assert_eq!(how("ip=:::::eth0:dhcp", "eth1", MAC), None);
        assert_eq!(parse("ip=dhcp ip=none").unwrap().cards.len(), 1);
    }

    #[test]
    fn addresses_are_as_the_kernel_has_them() {
        is_fixed("ip=10.0.2.15::10.0.2.2:255.255.255.0:web:eth0:none", "eth0", "10.0.2.15/24 by 10.0.2.2");
        is_fixed("ip=192.168.1.5", "eth7", "192.168.1.5/24");
        is_fixed("ip=10.1.1.1:::::eth0:off:10.1.1.2:10.1.1.3", "eth0", "10.1.1.1/8");
        is_fixed("ip=172.16.0.9::172.16.0.1:22::eth0:none", "eth0", "172.16.0.9/22 by 172.16.0.1");
        is_fixed("ip=[fd00::5]::[fd00::1]:48::eth0:none", "eth0", "fd00::5/48 by fd00::1");
        let asked =
            parse("ip=10.1.1.1:::::eth0:off:10.1.1.2:10.1.1.3 nameserver=[fd00::3] nameserver=1.1.1.1")
                .unwrap();
        let servers: Vec<_> = asked.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.1.1.2", "10.1.1.3", "fd00::3", "1.1.1.1"]);
    }

    #[test]
    fn the_card_that_was_booted_from_is_the_one() {
        let line = "BOOTIF=01-52-54-00-12-34-56";
        assert_eq!(how(line, "eth3", MAC), Some(How::Dhcp));
        assert_eq!(how(line, "eth0", "52:54:00:12:34:57"), None);
        is_fixed(&format!("{line} ip=10.0.0.1:::255.0.0.0"), "eth3", "10.0.0.1/8");
        assert_eq!(how(&format!("{line} ip=eth0:dhcp"), "eth0", "52:54:00:12:34:57"), Some(How::Dhcp));
        assert_eq!(mac("52:54:00:AB:34:56"), Ok("52:54:00:ab:34:56".to_owned()));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (line, reason) in [
            ("ip=10.0.2.256", "neither an address nor"),
            ("ip=auto6", "auto6 is neither"),
            ("ip=eth0:magic", "magic is neither"),
            ("ip=10.0.2.15::10.0.2.2:255.0.255.0", "no netmask"),
            ("ip=10.0.2.15::10.0.2.2:33", "no netmask"),
            ("ip=10.0.2.15::10.0.2.2:0", "no netmask"),
            ("ip=10.0.2.15::[fd00::1]:24", "of another kind"),
            ("ip=[fd00::5", "is not CLIENT"),
            ("ip=1:2:3:4:5:6:7:8:9:10:11", "is not CLIENT"),
            ("nameserver=ns", "ns is no address"),
            ("BOOTIF=eth0", "no address of a card"),
            ("BOOTIF=01-52-54-00-12-34-5g", "no address of a card"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.starts_with(line) && error.contains(reason), "{error}");
        }
    }
}
