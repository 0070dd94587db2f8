//! `install.toml`: what the installer is told. It comes from several places, and the later one counts, key by key.
//!
//! ```text
//! the medium's own ◁ a partition called VMIMAGE or CIDATA ◁ vmimage.install=URL|PATH ◁ vmimage.install.KEY=VALUE
//! ```

mod check;
mod keys;
pub(super) mod sources;
mod words;

use std::net::IpAddr;

use serde::Deserialize;
use toml::{Table, Value};

use crate::medium::After;

pub(super) use check::Size;
#[cfg(test)]
pub(super) use keys::{DISK, INTERFACE, TOP};

/// What it is called everywhere.
pub(super) const NAME: &str = "install.toml";
/// More than any has.
pub(super) const LEN_MAX: u64 = 64 << 10;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Config {
    #[serde(deserialize_with = "wish")]
    pub(super) disk: Wish,
    /// Whether a disk with data may be taken.
    pub(super) overwrite: bool,
    /// Where the disk comes from, in place of the medium: a folder on a web server, or an image in a registry.
    pub(super) source: Option<String>,
    /// SHA-256 of the `medium.json` there.
    pub(super) source_digest: Option<String>,
    pub(super) hostname: Option<String>,
    /// As crypt(5) has it.
    pub(super) root_password: Option<String>,
    /// Who may log in by these keys.
    pub(super) user: String,
    pub(super) ssh_keys: Vec<String>,
    pub(super) interfaces: Vec<Interface>,
    /// Whether nobody is asked.
    pub(super) unattended: bool,
    after: Afterwards,
    /// Whether the firmware is told.
    pub(super) boot_entry: bool,
}

/// What the machine does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Afterwards {
    Reboot,
    PowerOff,
    Shell,
}

/// Which disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Wish {
    /// The only one without data.
    #[default]
    Free,
    Smallest,
    Largest,
    Ask,
    These(Fitting),
}

/// A disk that all of these fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Fitting {
    pub(super) path: Option<String>,
    pub(super) serial: Option<String>,
    /// A pattern.
    pub(super) model: Option<String>,
    pub(super) min_size: Option<Size>,
    pub(super) max_size: Option<Size>,
    pub(super) transport: Option<String>,
}

/// A card of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Interface {
    pub(super) name: Option<String>,
    pub(super) mac: Option<String>,
    #[serde(deserialize_with = "dhcp")]
    pub(super) dhcp: Option<Dhcp>,
    /// `10.0.2.50/24`.
    pub(super) addresses: Vec<String>,
    #[serde(deserialize_with = "one_or_more")]
    pub(super) gateway: Vec<IpAddr>,
    pub(super) dns: Vec<IpAddr>,
}

/// What it gets by DHCP and router advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dhcp {
    Both,
    Ipv4,
    Ipv6,
    None,
}

/// One of the places: what it is called, and what it says.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) from: String,
    pub(super) table: Table,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            disk: Wish::default(),
            overwrite: false,
            source: None,
            source_digest: None,
            hostname: None,
            root_password: None,
            user: "root".to_owned(),
            ssh_keys: Vec::new(),
            interfaces: Vec::new(),
            unattended: false,
            after: Afterwards::Reboot,
            boot_entry: true,
        }
    }
}

impl Config {
    /// What all layers say, of which the last one counts.
    ///
    /// # Errors
    /// What is wrong with one of them, which it is named by.
    pub(super) fn of(layers: Vec<Layer>) -> Result<Self, String> {
        let mut merged = Table::new();
        for Layer { from, table } in layers {
            Self::read(&table).map_err(|reason| format!("{from}: {reason}"))?;
            merged.extend(table);
        }
        Self::read(&merged)
    }

    fn read(table: &Table) -> Result<Self, String> {
        keys::check(table)?;
        let config: Self = table.clone().try_into().map_err(|error: toml::de::Error| one_line(&error))?;
        check::check(&config)?;
        Ok(config)
    }

    /// What the machine does when it is installed.
    pub(super) fn after(&self) -> After {
        match self.after {
            Afterwards::Reboot => After::Restart,
            Afterwards::PowerOff => After::PowerOff,
            Afterwards::Shell => After::Shell,
        }
    }

    /// Whether something is put into the system that was written.
    pub(super) fn seeds(&self) -> bool {
        let Self { hostname, root_password, ssh_keys, interfaces, .. } = self;
        hostname.is_some() || root_password.is_some() || !ssh_keys.is_empty() || !interfaces.is_empty()
    }
}

impl Layer {
    /// # Errors
    /// If it is no TOML.
    pub(super) fn parse(from: &str, text: &[u8]) -> Result<Self, String> {
        let parse = || {
            let text = std::str::from_utf8(text).map_err(|_| "is no text".to_owned())?;
            toml::from_str(text).map_err(|error| one_line(&error))
        };
        let table = parse().map_err(|reason: String| format!("{from}: {reason}"))?;
        Ok(Self { from: from.to_owned(), table })
    }
}

impl Interface {
    /// What it gets, said or not.
    pub(super) fn dhcp(&self) -> Dhcp {
        self.dhcp.unwrap_or(if self.addresses.is_empty() { Dhcp::Both } else { Dhcp::None })
    }
}

impl Dhcp {
    /// Whether addresses of IPv4 come by it, or of IPv6.
    pub(super) fn gives(self, is_v4: bool) -> bool {
        match self {
            Self::Both => true,
            Self::Ipv4 => is_v4,
            Self::Ipv6 => !is_v4,
            Self::None => false,
        }
    }
}

/// Without the lines that show the place.
fn one_line(error: &toml::de::Error) -> String {
    let place = error
        .to_string()
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("TOML parse error at ").map(str::to_owned));
    match place {
        Some(place) => format!("{place}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

fn wish<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Wish, D::Error> {
    use serde::de::Error;
    match Value::deserialize(from)? {
        Value::String(word) => Ok(match &*word {
            "smallest" => Wish::Smallest,
            "largest" => Wish::Largest,
            "ask" => Wish::Ask,
            path if path.starts_with('/') => Wish::These(Fitting { path: Some(word), ..Fitting::default() }),
            _ => {
                return Err(D::Error::custom(format!(
                    "disk: {word:?} is neither the path of a disk nor smallest, largest or ask"
                )));
            }
        }),
        Value::Table(table) if table.is_empty() => Ok(Wish::Free),
        Value::Table(table) => table.try_into().map(Wish::These).map_err(D::Error::custom),
        _ => Err(D::Error::custom("disk: is a path, a word or a table")),
    }
}

fn dhcp<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Dhcp>, D::Error> {
    match Value::deserialize(from)? {
        Value::Boolean(is_on) => Ok(Some(if is_on { Dhcp::Both } else { Dhcp::None })),
        other => other.try_into().map(Some).map_err(serde::de::Error::custom),
    }
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    let value = match Value::deserialize(from)? {
        Value::Array(some) => Value::Array(some),
        one => Value::Array(vec![one]),
    };
    value.try_into().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
