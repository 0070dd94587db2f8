//! What values may be: they become lines of files, names of files, and arguments.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer};
use toml::Value;

use super::{Config, Fitting, Interface, Wish};
use crate::medium::install::disks::TRANSPORTS;
use crate::update::sums;

/// The names that a host may have (hostname(7)).
const HOSTNAME_MAX: usize = 64;
/// A name of the kernel's, with its end (`IFNAMSIZ` of linux/if.h).
const INTERFACE_MAX: usize = 15;
/// No list of these is longer.
const LIST_MAX: usize = 64;
const LINE_MAX: usize = 16 << 10;

/// Bytes, as a number or as `10G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::medium::install) struct Size(pub(in crate::medium::install) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let bytes = match &value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::String(text) => bytes(text),
            _ => None,
        };
        let wrong = || serde::de::Error::custom("is no size, such as \"10G\"");
        bytes.map(Self).ok_or_else(wrong)
    }
}

/// In powers of 1024, as every size of a disk.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let power = match text.get(digits.len()..)?.trim_end_matches("iB") {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power))
}

/// # Errors
/// The first value that cannot be.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let Config { hostname, root_password, user, ssh_keys, interfaces, source, source_digest, .. } = config;
    let one = |key: &str, value: &Option<String>, is: fn(&str) -> bool, what: &str| match value {
        Some(value) if !is(value) => Err(format!("{key}: {value:?} is no {what}")),
        _ => Ok(()),
    };
    one("hostname", hostname, is_hostname, "name of a host: letters, digits, hyphens, at most 64")?;
    if root_password.as_deref().is_some_and(|hash| !is_crypted(hash)) {
        // It is not shown: it may be a password.
        return Err("root-password: is no hash as crypt(5) has it\nhint: openssl passwd -6".to_owned());
    }
    if !is_user(user) {
        return Err(format!("user: {user:?} is no name of a user"));
    }
    if ssh_keys.len() > LIST_MAX || !ssh_keys.iter().all(|key| is_ssh_key(key)) {
        return Err(format!(
            "ssh-keys: are at most {LIST_MAX} lines as in authorized_keys, such as \"ssh-ed25519 AAAA… me\""
        ));
    }
    one("source", source, is_line, "line of text")?;
    one("source-digest", source_digest, |text| sums::parse(text).is_some(), "SHA-256 in hexadecimal")?;
    if let Wish::These(fitting) = &config.disk {
        fitting.check()?;
    }
    if interfaces.len() > LIST_MAX {
        return Err(format!("interfaces: are at most {LIST_MAX}"));
    }
    interfaces.iter().try_for_each(|interface| interface.check().map_err(|why| format!("interfaces.{why}")))
}

impl Fitting {
    fn check(&self) -> Result<(), String> {
        if let Some(transport) = &self.transport
            && !TRANSPORTS.contains(&&**transport)
        {
            return Err(format!("disk.transport: {transport:?} is none of {}", TRANSPORTS.join(", ")));
        }
        match (self.min_size, self.max_size) {
            (Some(least), Some(most)) if least > most => {
                Err("disk.min-size: is more than max-size, no disk is both".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Interface {
    fn check(&self) -> Result<(), String> {
        if let Some(name) = &self.name
            && !is_interface(name)
        {
            return Err(format!("name: {name:?} is no name of a card"));
        }
        if let Some(mac) = &self.mac
            && !is_mac(mac)
        {
            return Err(format!("mac: {mac:?} is no MAC address, such as 52:54:00:12:34:56"));
        }
        let lists = [self.addresses.len(), self.gateway.len(), self.dns.len()];
        if lists.iter().any(|len| *len > LIST_MAX) {
            return Err(format!("addresses: are at most {LIST_MAX}"));
        }
        if let Some(wrong) = self.addresses.iter().find(|text| prefix(text).is_none()) {
            return Err(format!(
                "addresses: {wrong:?} is no address with the length of its prefix, such as 10.0.2.50/24"
            ));
        }
        let per_family = |is_v4: bool| self.gateway.iter().filter(|one| one.is_ipv4() == is_v4).count();
        match per_family(true) > 1 || per_family(false) > 1 {
            true => Err("gateway: is one for IPv4 and one for IPv6 at most".to_owned()),
            false => Ok(()),
        }
    }

    /// Its own addresses, each with the length of its prefix.
    pub(in crate::medium::install) fn prefixes(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.addresses.iter().filter_map(|text| prefix(text))
    }
}

fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, len) = text.split_once('/')?;
    let (address, len) = (address.parse::<IpAddr>().ok()?, len.parse::<u8>().ok()?);
    (len <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, len))
}

/// As in `exporter/src/spec/text.rs`.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(is_plain)
    };
    text.len() <= HOSTNAME_MAX && text.split('.').all(is_label)
}

fn is_crypted(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b":\\".contains(&byte);
    text.len() <= 512 && text.starts_with(['$', '!', '*']) && text.bytes().all(is_plain)
}

fn is_user(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !text.is_empty() && text.len() <= 32 && !text.starts_with(['-', '.']) && text.bytes().all(is_plain)
}

fn is_ssh_key(text: &str) -> bool {
    is_line(text) && text.split_whitespace().nth(1).is_some() && !text.starts_with('#')
}

fn is_interface(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !text.is_empty() && text.len() <= INTERFACE_MAX && !text.starts_with('.') && text.bytes().all(is_plain)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<_> = text.split(':').collect();
    let is_byte = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == 6 && parts.iter().all(is_byte)
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= LINE_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_disks() {
        for (text, size) in [("512", 512), ("10G", 10 << 30), ("2TiB", 2 << 40), ("3M", 3 << 20)] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "G", "-1G", "1.5G", "10g", "1 G", "99999999999T", "10GB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
